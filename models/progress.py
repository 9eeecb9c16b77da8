"""What a training run shows of itself."""

import time
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ProgressCallback


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
