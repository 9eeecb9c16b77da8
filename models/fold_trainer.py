"""The Hugging Face Trainer with a recipe's optimiser, schedule and order of clips."""

from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from torch.utils.data import Sampler
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from models.dataset import EpochShuffle
from models.errors import InputError
from models.memory import release_freed
from models.network import parameter_groups
from models.processes import wait_for_all
from models.recipe import Recipe

ADAM_BETAS = (0.9, 0.999)
ADAM_EPS = 1e-6
_LOGS_PER_SAVE = 5
_BATCHES_PER_RELEASE = 20  # of memory, which takes time to have back


class FoldTrainer(Trainer):  # type: ignore[misc]
    """The Trainer with a recipe's optimiser, schedule and order of clips."""

    optimizer: Any
    lr_scheduler: Any

    def __init__(self, recipe: Recipe, order: EpochShuffle, **arguments: Any) -> None:
        self.recipe = recipe
        self._order = order
        super().__init__(**arguments)

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        if self.optimizer is None:
            groups = parameter_groups(self.model, self.recipe.weight_decay)
            self.optimizer = torch.optim.AdamW(
                groups, lr=self.recipe.learning_rate, betas=ADAM_BETAS, eps=ADAM_EPS, fused=True
            )
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> torch.optim.lr_scheduler.LRScheduler:
        """Cosine without warm-up over the schedule's epochs, which may be more than are trained."""
        if self.lr_scheduler is None:
            self.lr_scheduler = transformers.get_cosine_schedule_with_warmup(
                optimizer or self.optimizer,
                num_warmup_steps=0,
                num_training_steps=schedule_steps(len(self.train_dataset), self.recipe),
                num_cycles=self.recipe.schedule_cycles,
            )
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def _save_checkpoint(self, *arguments: Any, **more: Any) -> None:
        try:
            super()._save_checkpoint(*arguments, **more)
        except (OSError, SafetensorError, RuntimeError) as error:  # each library has its own for a full disk
            raise InputError(
                f"{self.args.output_dir}: the run's state could not be written ({error}); make room and run again: "
                "it goes on from the state before"
            ) from error

    def _save_rng_state(self, *arguments: Any) -> None:
        """The last part of a state before the Trainer's own, which says that a state is whole: so all must have theirs."""
        super()._save_rng_state(*arguments)
        wait_for_all()

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        return self._order


class SaveWithinEpochs(TrainerCallback):
    """Saves the run's state about four times in an epoch, so that little is lost with it.

    Only where the Trainer logs: its sum of losses since the last log is not part of the state.
    """

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        control.should_save |= state.global_step % (_LOGS_PER_SAVE * int(args.logging_steps)) == 0
        return control


class ReleaseMemory(TrainerCallback):
    """Gives freed memory back now and then: what is free after batches of many lengths fits few others."""

    def __init__(self) -> None:
        self._batches = 0

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._count()

    def on_prediction_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._count()

    def _count(self) -> None:
        self._batches += 1
        if self._batches % _BATCHES_PER_RELEASE == 0:
            release_freed()


def logging_steps(n_train: int, batch_size: int) -> int:
    """Steps between two logs, 20 of them in an epoch that is long enough."""
    return max(1, n_train // batch_size // 20)


def schedule_steps(n_train: int, recipe: Recipe) -> int:
    """Optimiser steps over which the learning rate falls."""
    return int(n_train / recipe.batch_size * recipe.schedule_epochs)
