"""What test_distributed.py starts under torchrun: trains the jobs of a pickle one after the other, some of them disturbed.

Run: torchrun --nproc_per_node 2 tests/training/one_of_several.py JOBS
"""

import os
import pickle
import signal
import sys
import time
from pathlib import Path

import torch
from transformers import Trainer

from models.base.cli import run
from models.errors import InputError
from models.training.fold import train_fold
from models.training.trainer import FoldTrainer

torch.set_num_threads(1)
STEP, TRAIN, SAVE = FoldTrainer.training_step, FoldTrainer.train, Trainer._save_rng_state
RANK = int(os.environ.get("RANK", "0"))


def disturb(how: str | None, seed: int, at_step: int) -> None:
    """What happens to process 1 alone, from a step on that saves a state, and only with this seed."""

    def is_due(trainer: FoldTrainer) -> bool:
        return RANK == 1 and trainer.state.global_step >= at_step and trainer.args.seed == seed

    def step(self: FoldTrainer, *arguments: object, **more: object) -> torch.Tensor:
        loss = STEP(self, *arguments, **more)
        if how == "fail" and is_due(self):
            raise InputError("this process alone has a fault")
        return loss * float("nan") if how == "NaN" and is_due(self) else loss

    def save(self: FoldTrainer, folder: str) -> None:
        if how == "kill" and is_due(self):
            time.sleep(1)  # so that the other process is far ahead
            os.kill(os.getpid(), signal.SIGKILL)
        SAVE(self, folder)

    FoldTrainer.training_step = step
    Trainer._save_rng_state = save


def train(self: FoldTrainer, **more: object) -> object:
    print(f"process {RANK} drops out with seed {torch.initial_seed()}")
    return TRAIN(self, **more)


def main() -> None:
    FoldTrainer.train = train
    for job, how in pickle.loads(Path(sys.argv[1]).read_bytes()):
        disturb(how, job.recipe.seed, at_step=12 if how == "kill" else 10)
        train_fold(job)


if __name__ == "__main__":
    run(main)
