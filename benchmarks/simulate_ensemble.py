"""Write the checkpoints of simulated models, ten × six folds at the size of the real training set, to time what follows training.

    python benchmarks/simulate_ensemble.py /tmp/assets --metadata ../shared/goodnight_moon
    time python get_config.py --assets_dir /tmp/assets --output /tmp/model_configs.pkl

The predictions are made up: logits that know the label, with a part of the error shared by all models. Their weights are empty.
"""

import argparse
import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from models.clips.folds import split_fold
from models.clips.tables import GRADES, TASKS, fingerprint, read_training_table
from models.ensemble.checkpoint import Checkpoint, OutOfFold, save_checkpoint
from models.ensemble.metrics import sigmoid
from models.recipe import PUBLISHED

N_FOLDS = 6
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


def simulate(
    folder: Path, table: pd.DataFrame, weights: dict[str, Tensor], encoder: dict[str, Any] | None = None
) -> None:
    """Write one checkpoint for each published model and fold, all with the same weights."""
    rng = np.random.default_rng(0)
    data = fingerprint(table)
    table = table.assign(shared_error=rng.normal(0, 1.2, len(table)))
    for index, name in enumerate(PUBLISHED):
        recipe = importlib.import_module(f"train_{name}").recipe
        for fold in range(N_FOLDS):
            _, held_out = split_fold(table, fold, N_FOLDS, recipe.data_seed)
            labels = held_out["score"].to_numpy(np.float64)
            own_error = rng.normal(0, 0.8 + 0.05 * index, len(labels))
            logits = (2 * labels - 1) * 2.5 + held_out["shared_error"].to_numpy() + own_error
            texts = (held_out[column].tolist() for column in ("filename", "task", "grade"))
            oof = OutOfFold(*texts, labels, sigmoid(logits))
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
