"""A second run on the same output is refused while the first is alive, and only then.

Run: .venv/bin/python -m pytest tests/base/test_lock.py
"""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fakes import INFER, ROOT, TRAIN, Script, snapshot

from models.base.files import sole_writer
from models.errors import InputError
from models.service.uploads import Uploads

HOLD = """
import sys, time
from pathlib import Path
from models.base.files import sole_writer
with sole_writer(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""
# What each script makes, and how it is called so that there is something to do.
MADE = {"preprocess.py": "tts_data", TRAIN: "runs/model2s_1", INFER: "submission.csv"}
ARGUMENTS: dict[str, tuple[object, ...]] = {"preprocess.py": (), TRAIN: ("--fold", 1), INFER: ()}


@pytest.fixture
def hold() -> Iterator[Callable[[Path], subprocess.Popen[str]]]:
    """Another process that writes there."""
    started: list[subprocess.Popen[str]] = []

    def call(path: Path) -> subprocess.Popen[str]:
        process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    yield call
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("name", MADE)
def test_a_second_run_is_refused_while_the_first_is_alive(
    name: str, work: Path, script: Script, hold: Callable[[Path], subprocess.Popen[str]]
) -> None:
    other = hold(work / MADE[name])
    before = snapshot(work)
    outcome = script(name, *ARGUMENTS[name])
    assert outcome.code == 1
    assert MADE[name] in outcome.error
    assert "another run" in outcome.error
    assert snapshot(work) == before
    other.send_signal(signal.SIGKILL)  # it can't tidy up
    other.wait()
    assert script(name, *ARGUMENTS[name]).code == 0


def test_runs_on_different_outputs_do_not_disturb_each_other(tmp_path: Path) -> None:
    with sole_writer(tmp_path / "a"), sole_writer(tmp_path / "b"):
        assert sorted(os.listdir(tmp_path)) == [".a.lock", ".b.lock"]


@pytest.fixture(params=[errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL], ids=errno.errorcode.get)
def no_locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that answers so to each `flock`, as NFS without its daemon."""
    fcntl = pytest.importorskip("fcntl")

    def refuse(*_: object) -> None:
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", refuse)


@pytest.mark.usefixtures("no_locks")
def test_without_locks_a_second_run_is_refused_too(tmp_path: Path) -> None:
    for _ in range(2):
        with (
            sole_writer(tmp_path / "a"),
            pytest.raises(InputError, match="another run") as refused,
            sole_writer(tmp_path / "a"),
        ):
            pass
        assert ".a.held" in str(refused.value)  # what to delete where the other was killed


@pytest.mark.slow
@pytest.mark.usefixtures("no_locks")
@pytest.mark.parametrize("name", [INFER])
def test_scripts_run_without_locks(name: str, work: Path, script: Script) -> None:
    outcome = script(name, *ARGUMENTS[name])
    assert outcome.code == 0, outcome.error


@pytest.mark.usefixtures("no_locks")
def test_a_page_s_folder_needs_no_locks() -> None:
    uploads = Uploads(1000)
    other = Uploads(1000)
    assert uploads.folder.is_dir()
    uploads.close()
    other.close()
    assert not uploads.folder.exists()


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="has no users")
def test_who_may_write_into_a_folder_may_lock_what_another_user_has_made(tmp_path: Path) -> None:
    with sole_writer(tmp_path / "a"):
        assert (tmp_path / ".a.lock").stat().st_mode & 0o777 == 0o666


def test_a_link_in_the_place_of_a_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / ".a.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match=r"\.a\.lock"), sole_writer(tmp_path / "a"):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_the_lock_is_given_back_after_an_error(tmp_path: Path) -> None:
    def fail() -> None:
        with sole_writer(tmp_path / "a"):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with sole_writer(tmp_path / "a"), pytest.raises(InputError, match="another run"), sole_writer(tmp_path / "a"):
        pass
