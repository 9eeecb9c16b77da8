"""Memory that is free goes back to the system.

Run: .venv/bin/python -m pytest tests/base/test_memory.py
"""

import subprocess
import sys
from pathlib import Path

import pytest
from fakes import ROOT
from transformers import TrainerControl, TrainerState, TrainingArguments

from models.base import compute
from models.training import trainer
from models.training.trainer import ReleaseMemory

GAPS = """
from models.base.compute import release_freed

def held_mb():
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) / 1000 for line in lines if line.startswith("RssAnon"))

blocks = [bytes(100_000) for _ in range(2000)]
blocks = [bytearray(block) for block in blocks]
blocks = blocks[::10]
before = held_mb()
release_freed()
print(before - held_mb())
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="reads the memory held from /proc")
def test_gaps_between_blocks_are_given_back() -> None:
    process = subprocess.run(
        [sys.executable, "-c", GAPS], cwd=ROOT, capture_output=True, text=True, check=True, timeout=300
    )
    assert float(process.stdout) > 100


def test_where_there_is_no_glibc_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute.sys, "platform", "win32")
    monkeypatch.setattr(compute.ctypes, "CDLL", None)
    compute.release_freed()


def test_training_and_evaluation_release_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    released = []
    monkeypatch.setattr(trainer, "release_freed", lambda: released.append(1))
    callback, told = ReleaseMemory(), (TrainingArguments(tmp_path), TrainerState(), TrainerControl())
    for _ in range(3 * trainer._BATCHES_PER_RELEASE):
        callback.on_step_end(*told)
        callback.on_prediction_step(*told)
    assert len(released) == 6
