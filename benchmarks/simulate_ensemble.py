"""Write the checkpoints of simulated models, ten × six folds at the size of the real training set, to time what follows training.

    python benchmarks/simulate_ensemble.py /tmp/assets --metadata ../shared/goodnight_moon
    time python get_config.py --assets_dir /tmp/assets --output /tmp/model_configs.pkl

The predictions are made up: logits that know the label, with a part of the error shared by all models. Their weights are empty.
"""

import argparse
import importlib
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from models.checkpoint import Checkpoint, OutOfFold, save_checkpoint
from models.folds import split_fold
from models.metrics import sigmoid
from models.recipe import PUBLISHED
from models.tables import fingerprint, read_training_table

N_FOLDS = 6
VOICE = {"engine": "simulated", "speed": 1.0, "source": "simulated"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where to write the checkpoints")
    parser.add_argument(
        "--metadata", type=Path, required=True, help="folder with train_metadata.csv and train_labels.csv"
    )
    arguments = parser.parse_args()
    table = read_training_table(arguments.metadata)
    rng = np.random.default_rng(0)
    table["shared_error"] = rng.normal(0, 1.2, len(table))
    for index, name in enumerate(PUBLISHED):
        recipe = importlib.import_module(f"train_{name}").recipe
        for fold in range(N_FOLDS):
            _, held_out = split_fold(table, fold, N_FOLDS, recipe.data_seed)
            labels = held_out["score"].to_numpy(np.float64)
            own_error = rng.normal(0, 0.8 + 0.05 * index, len(labels))
            logits = (2 * labels - 1) * 2.5 + held_out["shared_error"].to_numpy() + own_error
            texts = (held_out[column].tolist() for column in ("filename", "task", "grade"))
            oof = OutOfFold(*texts, labels, sigmoid(logits))
            weights = {"w": torch.zeros(1, dtype=torch.float16)}
            checkpoint = Checkpoint(recipe, fold, N_FOLDS, weights, {}, oof, VOICE, fingerprint(table), {}, [], {})
            save_checkpoint(arguments.folder / checkpoint.file_name, checkpoint)
    print(f"wrote {len(PUBLISHED) * N_FOLDS} checkpoints of {len(table)} clips per model to {arguments.folder}")


if __name__ == "__main__":
    main()
