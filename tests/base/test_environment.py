"""What the environment says does not end a program: homes that can't be written, users without names, backends that are not here.

Run: .venv/bin/python -m pytest tests/base/test_environment.py
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fakes import ROOT

from models.base import environment

SHOW = """
import os, models, numba, getpass, matplotlib, matplotlib.figure
from huggingface_hub import constants
from models.inference.published_references import default_cache
from torch._inductor.runtime.cache_dir_utils import default_cache_dir
for found in (default_cache(), numba.config.CACHE_DIR, matplotlib.get_cachedir(), constants.HF_HOME, default_cache_dir()):
    print(found or "its own")
"""


def show(temporary: Path, **changes: str | None) -> list[Path]:
    """Where libraries and scorers keep things, in a process with this environment; None takes a variable away."""
    unset = ("XDG_CACHE_HOME", "NUMBA_CACHE_DIR", "MPLCONFIGDIR", "HF_HOME", "TRITON_HOME", "TORCHINDUCTOR_CACHE_DIR")
    given = {**os.environ, **dict.fromkeys(unset), "TMPDIR": str(temporary), "PYTHONPATH": str(ROOT), **changes}
    kept = {name: value for name, value in given.items() if value is not None}
    done = subprocess.run(
        [sys.executable, "-c", SHOW], env=kept, cwd=temporary, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "temporary" not in done.stderr  # matplotlib's warning
    return [Path(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("home", ["a file", "a file/home/user"])
def test_without_a_home_that_can_be_written_caches_are_in_a_private_temporary_folder(tmp_path: Path, home: str) -> None:
    (tmp_path / "a file").touch()
    found = show(tmp_path, HOME=str(tmp_path / home))
    private = tmp_path / f"speech-text-comparison-caches-{os.getuid()}"
    assert [path.is_relative_to(private) for path in found[:4]] == [True] * 4
    assert found[4].is_relative_to(tmp_path)
    assert private.stat().st_mode & 0o777 == 0o700


@pytest.mark.slow
def test_with_a_home_nothing_changes(tmp_path: Path) -> None:
    found = show(tmp_path, HOME=str(tmp_path))
    own, cache = tmp_path / ".cache", [path.name for path in tmp_path.iterdir()]
    assert found[:4] == [own / "speech-text-comparison", Path("its own"), own / "matplotlib", own / "huggingface"]
    assert not [name for name in cache if name.startswith("speech-text-comparison-caches")]


@pytest.fixture
def no_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a home should be is a file."""
    (tmp_path / "home").touch()
    for name in ("XDG_CACHE_HOME", "NUMBA_CACHE_DIR", "MPLCONFIGDIR", "TRITON_HOME", "HF_HOME"):
        monkeypatch.setenv(name, "to be put back")
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_a_folder_of_somebody_else_is_not_trusted(no_home: Path) -> None:
    """What lies in caches is run."""
    expected = no_home / f"speech-text-comparison-caches-{os.getuid()}"
    expected.mkdir()
    expected.chmod(0o777)
    environment.mend()
    assert environment.cache_folder() != expected
    assert environment.cache_folder().stat().st_mode & 0o777 == 0o700


def test_a_cache_that_is_named_stays(no_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(no_home / "mine"))
    environment.mend()
    assert os.environ["NUMBA_CACHE_DIR"] == str(no_home / "mine")
    monkeypatch.setenv("XDG_CACHE_HOME", str(no_home / "other"))
    environment.mend()
    assert environment.cache_folder() == no_home / "other"


def test_a_cache_that_can_only_be_read_is_read(no_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Models that an image was made with, under a user who may not write there."""
    (no_home / "cache" / "huggingface").mkdir(parents=True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(no_home / "cache"))
    monkeypatch.setattr(os, "access", lambda *_: False)
    environment.mend()
    assert os.environ["HF_HOME"] == str(no_home / "cache" / "huggingface")


def test_where_nothing_can_be_written_libraries_may_do_without(no_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(no_home / "home" / "tmp"))
    environment.mend()
    assert "NUMBA_CACHE_DIR" not in os.environ


@pytest.mark.parametrize("error", [KeyError("uid not found"), OSError("No username set in the environment")])
def test_a_user_without_a_name_gets_one(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def nobody() -> str:
        raise error

    monkeypatch.setenv("LOGNAME", "to be put back")
    monkeypatch.setattr("getpass.getuser", nobody)
    environment.mend()
    assert os.environ["LOGNAME"] == str(os.getuid())


BACKEND = "import matplotlib; print(matplotlib.get_backend())"
LIBRARY = f"from models.localize.picture import draw\n{BACKEND}"
SCRIPT = f"""
from models.base.cli import run
def main():
    import models.localize.picture, models.report.svg
    {BACKEND}
run(main)
"""
ABSENT = "module://not_installed.backend_inline"  # as of Jupyter, where matplotlib_inline is not installed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "program"), [(ABSENT, LIBRARY), (ABSENT, SCRIPT), ("inline", SCRIPT), ("nonsense", SCRIPT)]
)
def test_pictures_do_not_depend_on_a_backend(backend: str, program: str) -> None:
    told = {**os.environ, "MPLBACKEND": backend, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", program]
    process = subprocess.run(command, env=told, check=True, timeout=300, capture_output=True, text=True)
    assert process.stdout.strip().lower() == "agg"


@pytest.mark.parametrize("backend", ["module://json.decoder", "TkAgg"])
def test_a_notebook_keeps_its_backend(monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    monkeypatch.setenv("MPLBACKEND", backend)
    monkeypatch.delitem(sys.modules, "matplotlib", raising=False)
    environment.mend()
    assert os.environ["MPLBACKEND"] == backend
