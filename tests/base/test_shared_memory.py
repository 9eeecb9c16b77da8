"""Where processes can't share memory (no /dev/shm to write into), one process does all the work.

Run: .venv/bin/python -m pytest tests/base/test_shared_memory.py
"""

import errno
import multiprocessing.synchronize
import os
import shutil
from pathlib import Path

import pytest
import torch
from fakes import INFER, TRAIN, Script, snapshot

from models.base.processes import possible_processes

pytestmark = pytest.mark.slow


@pytest.fixture
def no_shared_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(multiprocessing.synchronize.SemLock, "__init__", refuse)
    monkeypatch.setattr(torch.Tensor, "share_memory_", refuse)


@pytest.mark.usefixtures("no_shared_memory")
@pytest.mark.parametrize("workers", [0, 2])
def test_clips_are_scored_without_shared_memory(work: Path, script: Script, workers: int) -> None:
    outcome = script(INFER, "--num_workers", workers)
    assert outcome.code == 0, outcome.error
    assert (work / "submission.csv").is_file()


@pytest.mark.usefixtures("no_shared_memory")
@pytest.mark.parametrize("workers", [0, 2])
def test_a_fold_is_trained_without_shared_memory(work: Path, script: Script, workers: int) -> None:
    outcome = script(TRAIN, "--num_workers", workers, "--max_tries", 1)
    assert outcome.code == 0, outcome.error
    assert (work / "model2s_0.pth").is_file()


@pytest.mark.usefixtures("no_shared_memory")
def test_texts_are_spoken_without_shared_memory(work: Path, script: Script) -> None:
    before = snapshot(work / "tts_data")
    shutil.rmtree(work / "tts_data")
    assert script("preprocess.py", "--jobs", 2).code == 0
    assert snapshot(work / "tts_data") == before


def test_where_there_is_shared_memory_there_are_as_many_processes_as_wanted() -> None:
    assert [possible_processes(wanted) for wanted in (0, 1, 3)] == [0, 1, 3]
