"""Terminals of other encodings than UTF-8: what they can't show is replaced, and what they send is named.

Run: .venv/bin/python -m pytest tests/base/test_encodings.py
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes import INFER, ROOT

PRINT = """
import sys
from models.base.cli import run
def main():
    print("ʃɪp", "caf\\udcc3")
    print("ŋ", file=sys.stderr)
    print("done")
run(main)
"""
FIND = """
from pathlib import Path
from models.clips.tables import clip_paths
clip_paths(Path("."), ["n\\xe9.wav"])
"""
NOT_UTF_8 = os.fsdecode(b"it\x92s")


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "latin-1", "utf-8", "cp1252:strict"])
def test_what_can_not_be_shown_is_replaced(encoding: str) -> None:
    told = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", PRINT], env=told, capture_output=True, check=True, timeout=300)
    assert b"done" in done.stdout
    assert (b"\xca\x83\xc9\xaap" if encoding == "utf-8" else rb"\u0283\u026ap") in done.stdout


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("localize.py", ["--audio", "data/test0.wav", "--text", NOT_UTF_8]),
        ("localize.py", ["--audio", "data/test0.wav", "--text", "\ud800"]),
        (INFER, ["--data_dir", NOT_UTF_8]),
        ("preprocess.py", ["--voice", NOT_UTF_8]),
        ("train.py", ["--models", NOT_UTF_8]),
        ("get_config.py", ["--assets_dir", NOT_UTF_8]),
    ],
)
def test_an_argument_that_is_not_utf_8_is_named(
    refused: Callable[..., str], work: Path, name: str, arguments: list[str]
) -> None:
    try:  # a folder whose name libraries can't be told
        shutil.copytree(work / "data", work / "data" / NOT_UTF_8)
    except OSError:
        pytest.skip("this file system takes no such names")
    message = refused(name, *arguments)
    assert "\\ud" in message.encode("ascii", "backslashreplace").decode()
    assert "Traceback" not in message


def test_a_name_that_the_system_can_not_write_is_named() -> None:
    told = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "utf-8", "PYTHONPATH": str(ROOT)}
    if (
        subprocess.run([sys.executable, "-c", "open('\xe9')"], env=told, capture_output=True).stderr.count(b"Encode")
        == 0
    ):
        pytest.skip("this system takes any name")
    done = subprocess.run([sys.executable, "-c", FIND], env=told, capture_output=True, text=True, timeout=300)
    assert "InputError" in done.stderr
    assert "ascii alone" in done.stderr
