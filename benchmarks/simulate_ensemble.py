"""Write the checkpoints of simulated models, sixty folds at the size of the real training set, to time what follows training.

    python benchmarks/simulate_ensemble.py /tmp/assets --metadata ../shared/goodnight_moon
    time python get_config.py --assets_dir /tmp/assets --data_dir ../shared/goodnight_moon --output /tmp/model_configs.pkl

The predictions are made up, of log losses from 0.23 to 0.30: what a model hears speaks for the truth, with an error of which most
is the same for all models, and of some labels the truth is the other. Their weights are empty.
"""

import argparse
import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.optimize import brentq
from scipy.special import expit, logit
from torch import Tensor

from models.clips.folds import split_fold
from models.clips.groups import GRADES, TASKS
from models.clips.tables import fingerprint, read_training_table
from models.ensemble.checkpoint import Checkpoint, OutOfFold, save_checkpoint
from models.ensemble.metrics import Values, log_loss
from models.recipe import PUBLISHED

N_FOLDS = 6
LOSSES = (0.23, 0.30)  # of the best and of the worst model
LABEL_NOISE = 0.03
CERTAINTY = 0.02  # a model has learnt that labels can be wrong
SHARED_ERROR, OWN_ERRORS = 1.0, (0.3, 0.75)  # of the best and of the worst model: their log-odds correlate with 0.95
VOICE = {"engine": "simulated", "speed": 1.0, "source": "simulated"}
HISTORY = [
    {"epoch": epoch, "train_loss": 0.5 / epoch, "validation_log_loss": 0.3 / epoch + 0.1, "validation_auc": 0.9}
    for epoch in (1.0, 2.0, 3.0, 4.0)
]
NO_WEIGHTS = {"w": torch.zeros(1, dtype=torch.float16)}


def made_table(n_clips: int) -> pd.DataFrame:
    """Metadata and labels of clips that are nowhere."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "filename": [f"{index}.wav" for index in range(n_clips)],
            "task": rng.choice(TASKS, n_clips),
            "expected_text": "text",
            "grade": rng.choice(GRADES, n_clips),
            "score": rng.integers(0, 2, n_clips).astype(np.float64),
        }
    )


def simulate_predictions(table: pd.DataFrame, told: float, rng: np.random.Generator, n_models: int = 10) -> Values:
    """What each model gives for each clip [shape=(clips, models)].

    Parameters
    ----------
    told
        How much a model knows of how hard an item is: 0, nothing; 1, all that the table's labels say.
    """
    labels = table["score"].to_numpy(np.float64)
    truth = np.where(rng.random(len(labels)) < LABEL_NOISE, 1 - labels, labels)
    by_text = table.groupby(["task", "expected_text"])["score"]
    rights, clips = by_text.transform("sum").to_numpy(), by_text.transform("size").to_numpy()
    known = told * logit((rights + 0.7) / (clips + 1.5))
    shared = rng.normal(0, SHARED_ERROR, len(labels))
    found = []
    for loss, own in zip(np.linspace(*LOSSES, n_models), np.linspace(*OWN_ERRORS, n_models), strict=True):
        error, variance = shared + rng.normal(0, own, len(labels)), SHARED_ERROR**2 + own**2

        def predict(distance: float, error: Values = error, variance: float = variance) -> Values:
            odds = 2 * distance * (distance * (2 * truth - 1) + error) / variance + known
            return CERTAINTY + (1 - 2 * CERTAINTY) * expit(odds)

        distance = brentq(lambda far, predict=predict, loss=loss: log_loss(labels, predict(far)) - loss, 0.05, 3.0)
        found.append(predict(distance))
    return np.array(found).T


def simulate(
    folder: Path, table: pd.DataFrame, weights: dict[str, Tensor], encoder: dict[str, Any] | None = None
) -> None:
    """Write one checkpoint for each published model and fold, all with the same weights."""
    data = fingerprint(table)
    predictions = simulate_predictions(table, 0.0, np.random.default_rng(0), len(PUBLISHED))
    for index, name in enumerate(PUBLISHED):
        recipe = importlib.import_module(f"train_{name}").recipe
        own = table.assign(prediction=predictions[:, index])
        for fold in range(N_FOLDS):
            _, held_out = split_fold(own, fold, N_FOLDS, recipe.data_seed)
            texts = (held_out[column].tolist() for column in ("filename", "task", "grade"))
            oof = OutOfFold(*texts, held_out["score"].to_numpy(np.float64), held_out["prediction"].to_numpy())
            checkpoint = Checkpoint(recipe, fold, N_FOLDS, weights, encoder or {}, oof, VOICE, data, {}, HISTORY, {})
            save_checkpoint(folder / checkpoint.file_name, checkpoint)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where to write the checkpoints")
    parser.add_argument(
        "--metadata", type=Path, required=True, help="folder with train_metadata.csv and train_labels.csv"
    )
    arguments = parser.parse_args()
    table = read_training_table(arguments.metadata)
    simulate(arguments.folder, table, NO_WEIGHTS)
    print(f"wrote {len(PUBLISHED) * N_FOLDS} checkpoints of {len(table)} clips per model to {arguments.folder}")


if __name__ == "__main__":
    main()
