"""Runs that stop learning: noticed, and begun again with another seed.

Of the published runs about one in fifty collapsed: gradients died, or the model ended at the prior.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from models.metrics import log_loss

SEEDS_APART = 1000  # more than there are folds, so that no try has the seed of another fold
_VANISHED = 1e-7  # gradient norm; a run that learns lies above 1e-3
_SILENT_LOGS = 3  # one after the other; the Trainer logs 20 times in an epoch
_OF_THE_PRIOR = 0.99  # a log loss above this share of the prior's has learnt next to nothing


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
    """raises : Collapse where the best validation log loss is that of always answering with the training's base rate"""
    prior = log_loss(labels, np.full(len(labels), train_labels.mean()))
    if loss > _OF_THE_PRIOR * prior:
        raise Collapse(f"it ended at the prior (validation log loss {loss:.4f}, prior {prior:.4f})")
