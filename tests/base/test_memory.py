"""Memory that is free goes back to the system.

Run: .venv/bin/python -m pytest tests/base/test_memory.py
"""

import gc
import os
import subprocess
import sys
import weakref
from pathlib import Path

import pytest
from fakes import ROOT
from transformers import Trainer, TrainerControl, TrainerState, TrainingArguments

from models.base import compute
from models.training import trainer
from models.training.trainer import FoldTrainer, ReleaseMemory

GAPS = """
import os, sys
from models.base import compute

def held_mb():
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) / 1000 for line in lines if line.startswith("RssAnon"))

blocks = [bytes(100_000) for _ in range(2000)]
blocks = [bytearray(block) for block in blocks]
blocks = blocks[::10]
before = held_mb()
getattr(compute, sys.argv[1])()
if sys.argv[2] == "fork" and os.fork():
    os.wait()
else:
    print(before - held_mb())
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="reads the memory held from /proc")
@pytest.mark.parametrize(
    "call", [("release_freed", "here"), ("settle_before_forking", "here"), ("settle_before_forking", "fork")]
)
def test_gaps_between_blocks_are_given_back(call: tuple[str, str]) -> None:
    """And a process that is started as a copy does not inherit them."""
    command = [sys.executable, "-c", GAPS, *call]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=300)
    assert float(process.stdout) > 100


class _Garbage:
    """Refers to itself, so that the collector alone finds it."""

    def __init__(self) -> None:
        self.own = self


def test_what_the_collector_leaves_alone_it_still_collects_later() -> None:
    garbage = _Garbage()
    try:
        compute.settle_before_forking()
        assert gc.get_freeze_count() > 1000
        gone = weakref.ref(garbage)
        del garbage
        gc.collect()
        assert gone() is not None
        compute.settle_before_forking()
        assert gone() is None
    finally:
        gc.unfreeze()


def test_training_settles_before_each_time_that_loading_processes_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    monkeypatch.setattr(trainer, "settle_before_forking", lambda: done.append("settled"))
    ReleaseMemory().on_epoch_begin(TrainingArguments(tmp_path), TrainerState(), TrainerControl())
    monkeypatch.setattr(Trainer, "evaluation_loop", lambda *_, **__: done.append("evaluated"))
    FoldTrainer.evaluation_loop(FoldTrainer.__new__(FoldTrainer), "loader", "held out")
    assert done == ["settled", "settled", "evaluated"]


LENGTHS = """
import torch
from models.base.compute import release_freed

def held_mb():
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) / 1000 for line in lines if line.startswith("RssAnon"))

torch.set_num_threads(1)
layers = torch.nn.Sequential(torch.nn.Linear(256, 1024), torch.nn.GELU(), torch.nn.Linear(1024, 256)).bfloat16()

def compute(length):
    layers(torch.zeros(8, length, 256, dtype=torch.bfloat16)).sum().backward()
    release_freed()
    return held_mb()

before = max(compute(length) for length in range(100, 140))
print(max(compute(length) for length in range(140, 180)) - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="reads the memory held from /proc")
def test_batches_of_ever_new_lengths_take_no_more_memory() -> None:
    """Where bf16 is computed by oneDNN: 65 MB for 40 lengths of these two layers alone, if nothing bounds what it keeps."""
    surroundings = {name: value for name, value in os.environ.items() if "CACHE_CAPACITY" not in name}
    command = [sys.executable, "-c", LENGTHS]
    process = subprocess.run(
        command, cwd=ROOT, env=surroundings, capture_output=True, text=True, check=True, timeout=300
    )
    assert float(process.stdout) < 25


def test_where_there_is_no_glibc_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute.sys, "platform", "win32")
    opened: list[object] = []
    monkeypatch.setattr(compute.ctypes, "CDLL", opened.append)
    compute.release_freed()
    assert not opened


def test_training_and_evaluation_release_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    released = []
    monkeypatch.setattr(trainer, "release_freed", lambda: released.append(1))
    callback, told = ReleaseMemory(), (TrainingArguments(tmp_path), TrainerState(), TrainerControl())
    for _ in range(3 * trainer._BATCHES_PER_RELEASE):
        callback.on_step_end(*told)
        callback.on_prediction_step(*told)
    assert len(released) == 6
