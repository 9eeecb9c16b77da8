"""Start-up: a script tells how it is used without importing what only its work needs.

Run: .venv/bin/python -m pytest tests/scripts/test_start_up.py
"""

import subprocess
import sys

import pytest
from fakes import ROOT

_LISTS = """
import runpy, sys
sys.argv = [sys.argv[1], "--help"]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit:
    pass
print("IMPORTED", *sys.modules)
"""
_NEVER = {"torch", "torchaudio", "transformers", "librosa", "numba", "sklearn", "scipy", "pandas"}


def heavy_modules(script: str) -> set[str]:
    """Those of `_NEVER` that `script --help` imports, in a process of its own."""
    found = subprocess.run([sys.executable, "-c", _LISTS, script], cwd=ROOT, capture_output=True, text=True, check=True)
    return _NEVER & set(found.stdout.rpartition("IMPORTED")[2].split())


@pytest.mark.parametrize(
    "script",
    [
        *("app.py", "get_config.py", "infer.py", "localize.py", "preprocess.py", "pretrain_encoder.py", "serve.py"),
        *("train.py", "train_verifytiny.py"),
    ],
)
def test_help_imports_nothing_heavy(script: str) -> None:
    assert not heavy_modules(script)
