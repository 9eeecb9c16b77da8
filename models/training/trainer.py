"""The Hugging Face Trainer with a recipe's optimiser, schedule and order of clips."""

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch.utils.data import Sampler
from tqdm import tqdm
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ProgressCallback

from models.base.compute import release_freed, settle_before_forking
from models.base.processes import wait_for_all
from models.clips.dataset import EpochShuffle
from models.clips.features import frames_for_seconds
from models.ensemble.metrics import log_loss
from models.errors import InputError
from models.network.comparison import parameter_groups
from models.recipe import Recipe
from models.training.graphs import GraphedSteps

ADAM_BETAS = (0.9, 0.999)
ADAM_EPS = 1e-6
SEEDS_APART = 1000  # more than there are folds, so that no try has the seed of another fold
_LOGS_PER_SAVE = 5
_VANISHED = 1e-7  # gradient norm; a run that learns lies above 1e-3
_SILENT_LOGS = 3  # one after the other; the Trainer logs 20 times in an epoch
_OF_THE_PRIOR = 0.99  # a log loss above this share of the prior's has learnt next to nothing
_BATCHES_PER_RELEASE = 20  # of memory, which takes time to have back


class FoldTrainer(Trainer):  # type: ignore[misc]
    """The Trainer with a recipe's optimiser, schedule and order of clips.

    Parameters
    ----------
    cuda_graphs
        Steps are recorded (`graphs.check_recordable`).
    """

    optimizer: Any
    lr_scheduler: Any

    def __init__(self, recipe: Recipe, order: EpochShuffle, cuda_graphs: bool = False, **arguments: Any) -> None:
        self.recipe = recipe
        self._order = order
        self._cuda_graphs = cuda_graphs
        self._graphed: GraphedSteps | None = None
        super().__init__(**arguments)

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        if self.optimizer is None:
            groups = parameter_groups(self.model, self.recipe)
            self.optimizer = torch.optim.AdamW(
                groups, lr=self.recipe.learning_rate, betas=ADAM_BETAS, eps=ADAM_EPS, fused=True
            )
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> torch.optim.lr_scheduler.LRScheduler:
        """Cosine over the schedule's epochs, which may be more than are trained."""
        n_steps = schedule_steps(len(self.train_dataset), self.recipe)
        if self.lr_scheduler is None:
            self.lr_scheduler = transformers.get_cosine_schedule_with_warmup(
                optimizer or self.optimizer,
                num_warmup_steps=round(self.recipe.warmup * n_steps),
                num_training_steps=n_steps,
                num_cycles=self.recipe.schedule_cycles,
            )
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:
        """As the Trainer's, or as a CUDA graph."""
        if not self._cuda_graphs:
            return super().training_step(model, inputs, num_items_in_batch)
        model.train()
        if self._graphed is None:
            dtype = torch.bfloat16 if self.args.bf16 else None
            self._graphed = GraphedSteps(model, dtype, frames_for_seconds(self.recipe.max_seconds))
        return self._graphed(self._prepare_inputs(inputs))

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

    def evaluation_loop(self, *arguments: Any, **more: Any) -> Any:
        """As ever; loading processes start in it, and in each epoch (`ReleaseMemory`)."""
        settle_before_forking()
        return super().evaluation_loop(*arguments, **more)

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

    def on_epoch_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        settle_before_forking()

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


class Collapse(Exception):
    """A run does not learn; says how that showed."""


class CollapseWatch(TrainerCallback):
    """Raises Collapse where a loss is not finite, or where gradients have vanished.

    It counts in the Trainer's own log, which is part of a saved state, so that a run which was cut off decides as it would have.
    """

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: Any = None, **_: Any
    ) -> None:
        found: Mapping[str, Any] = logs or {}
        if "loss" in found and not math.isfinite(float(found["loss"])):
            raise Collapse(f"the training loss was {found['loss']} at step {state.global_step}")
        norms = [float(entry["grad_norm"]) for entry in state.log_history if "grad_norm" in entry][-_SILENT_LOGS:]
        if len(norms) == _SILENT_LOGS and all(norm < _VANISHED for norm in norms):
            raise Collapse(f"the gradients vanished (norm {norms[-1]:.2g} at step {state.global_step})")


def check_learnt(loss: float, train_labels: NDArray[np.float64], labels: NDArray[np.float64]) -> None:
    """Check that a run has learnt something.

    Raises
    ------
    Collapse
        Where the best validation log loss is that of always answering with the training's base rate.
    """
    prior = log_loss(labels, np.full(len(labels), train_labels.mean()))
    if loss > _OF_THE_PRIOR * prior:
        raise Collapse(f"it ended at the prior (validation log loss {loss:.4f}, prior {prior:.4f})")


class HasEpoch(Protocol):
    def set_epoch(self, epoch: int) -> None: ...


class EpochReport(TrainerCallback):
    """Tells those that draw at random which epoch begins, and prints a line when it ends.

    The Trainer tells the sampler too, but doesn't reach it where several processes go on from the middle of an epoch.
    """

    def __init__(self, *told: HasEpoch) -> None:
        self._told = told
        self._start_seconds = time.monotonic()

    def on_epoch_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        for one in self._told:
            one.set_epoch(int(state.epoch or 0))
        self._start_seconds = time.monotonic()

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        epochs = self.history(state)
        if not state.is_world_process_zero or not epochs:
            return
        last = epochs[-1]
        seconds = time.monotonic() - self._start_seconds
        tqdm.write(
            f"epoch {last['epoch']:g}/{args.num_train_epochs:g}: training loss {last['train_loss']:.4f}, "
            f"validation log loss {last['validation_log_loss']:.4f}, AUC {last['validation_auc']:.3f}, {seconds:.0f} s"
        )

    @staticmethod
    def history(state: TrainerState) -> list[dict[str, float]]:
        """One row per epoch, from the Trainer's log: the mean training loss and the validation figures."""
        rows: list[dict[str, float]] = []
        losses: list[float] = []
        for entry in state.log_history:
            if "loss" in entry:
                losses.append(float(entry["loss"]))
            if "eval_log_loss" in entry:
                rows.append(
                    {
                        "epoch": float(entry["epoch"]),
                        "train_loss": _mean(losses),
                        "validation_log_loss": float(entry["eval_log_loss"]),
                        "validation_auc": float(entry["eval_auc"]),
                    }
                )
                losses = []
        return rows


class QuietProgress(ProgressCallback):  # type: ignore[misc]
    """The Trainer's progress bar without its lines of raw figures, which `EpochReport` tells better."""

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: Any = None, **_: Any
    ) -> None:
        if self.training_bar is not None and logs and "loss" in logs:
            self.training_bar.set_postfix(loss=f"{float(logs['loss']):.4f}")


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
