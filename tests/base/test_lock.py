"""A second run on the same output is refused while the first is alive, and only then.

Run: .venv/bin/python -m pytest tests/base/test_lock.py
"""

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


def test_the_lock_is_given_back_after_an_error(tmp_path: Path) -> None:
    def fail() -> None:
        with sole_writer(tmp_path / "a"):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with sole_writer(tmp_path / "a"), pytest.raises(InputError, match="another run"), sole_writer(tmp_path / "a"):
        pass
