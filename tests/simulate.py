"""Checkpoints with made-up predictions, for tests of what comes after training."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.clips.tables import GRADES, TASKS
from models.ensemble.checkpoint import Checkpoint, OutOfFold
from models.network.build import make_network, network_settings
from models.network.comparison import half_weights
from models.network.encoder import load_encoder
from models.recipe import Recipe

VOICE = {"engine": "espeak-ng", "version": "1.52.0", "language": "en-us", "speed": 0.7, "source": "espeak"}


def recipe(name: str = "model2s", max_seconds: float = 4.0) -> Recipe:
    """Named align… for an aligned model, matched… for a matched one, anything else for a plain joint one."""
    pooling = "alignment" if name.startswith("align") else "mean"
    joint = "matched" if name.startswith("matched") else "plain"
    settings = {"pooling": pooling, "joint": joint, "seed": 1, "data_seed": 1, "batch_size": 4}
    return Recipe(name=name, encoder="somewhere", max_seconds=max_seconds, **settings)


def noisy_predictions(labels: np.ndarray, noise: float, rng: np.random.Generator) -> np.ndarray:
    """Probabilities from logits that know the label, more or less."""
    logits = (2 * labels - 1) * 1.5 + rng.normal(0, noise, len(labels))
    return 1 / (1 + np.exp(-logits))


def checkpoints(
    name: str = "model2s",
    n_folds: int = 6,
    clips_per_fold: int = 200,
    noise: float = 1.0,
    seed: int = 0,
    weights: dict[str, torch.Tensor] | None = None,
    encoder: dict[str, object] | None = None,
) -> list[Checkpoint]:
    """All folds of a model: the same clips and labels for every name and seed, other predictions."""
    labels = np.random.default_rng(123).integers(0, 2, n_folds * clips_per_fold).astype(float)
    rng = np.random.default_rng(seed)
    found = []
    for fold in range(n_folds):
        rows = np.arange(fold, n_folds * clips_per_fold, n_folds)
        oof = OutOfFold(
            filenames=[f"{row}.wav" for row in rows],
            tasks=[TASKS[row % 4] for row in rows],
            grades=[GRADES[row // 4 % 4] for row in rows],
            labels=labels[rows],
            predictions=noisy_predictions(labels[rows], noise, rng),
        )
        found.append(
            Checkpoint(
                recipe=recipe(name),
                fold=fold,
                n_folds=n_folds,
                weights=weights or {"w": torch.zeros(1, dtype=torch.float16)},
                encoder=encoder or {},
                oof=oof,
                voice=VOICE,
                data_fingerprint="data",
                options={"encoder": "some where", "epochs": 2},
                history=[],
                versions={},
            )
        )
    return found


def trained_checkpoint(encoder_dir: Path, name: str = "model2s", fold: int = 0, max_seconds: float = 4.0) -> Checkpoint:
    """A checkpoint with a real, small network of random weights."""
    torch.manual_seed(fold)
    own = recipe(name, max_seconds)
    network = make_network(load_encoder(str(encoder_dir), round(max_seconds * 100)), own)
    blank = checkpoints(name, weights=half_weights(network), encoder=network_settings(network))[fold]
    return replace(blank, recipe=own)


def priors() -> dict[str, dict[str, float]]:
    """Another for each task and grade."""
    return {
        task: {grade: 0.1 + 0.2 * column + 0.01 * row for column, grade in enumerate(GRADES)}
        for row, task in enumerate(TASKS)
    }


class Payload:
    """Unpickling this leaves a file behind."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.marker),)
