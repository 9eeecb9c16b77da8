"""The clips whose label the models contradict most, as a list for a person to listen to, or for `train.py --leave_out`.

They are judged by folds that held them out, each by the mean of its models' log odds. For example the worst 2 % of a folder:

    python tools/list_contradicted.py assets 0.02 contradicted.csv
    python train.py --models aligntiny --leave_out contradicted.csv --output_dir assets_without
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from models import ensemble
from models.base.cli import run
from models.base.files import replace_when_done
from models.ensemble.metrics import clip_losses
from models.errors import InputError
from models.report.held_out import line_up


def contradicted(checkpoints: Sequence[ensemble.Checkpoint], share: float) -> pd.DataFrame:
    """This share of the clips that were held out: filename, label, score and loss, the largest first."""
    clips, models = line_up(checkpoints)
    odds, times, labels = (np.zeros(len(clips.filenames)) for _ in range(3))
    for model in models:
        odds[model.rows] += logit(model.scores)
        times[model.rows] += 1
        labels[model.rows] = model.labels
    scores = expit(odds / times)
    table = pd.DataFrame(
        {"filename": clips.filenames, "label": labels, "score": scores, "loss": clip_losses(labels, scores)}
    )
    return table.sort_values("loss", ascending=False, kind="stable").head(round(share * len(table)))


def read_checkpoints(folder: Path) -> list[ensemble.Checkpoint]:
    """All of a folder. Raises InputError where one can't be read."""
    checkpoints = []
    for item in ensemble.read_assets(folder).values():
        if isinstance(item, InputError):
            raise item
        checkpoints.append(item)
    return checkpoints


def write_list(folder: Path, share: float, output: Path) -> pd.DataFrame:
    """Raises InputError where a file in the folder can't be read, or the share is none."""
    if not 0 < share < 0.5:
        raise InputError(f"a share of {share}: must lie between 0 and 0.5")
    table = contradicted(read_checkpoints(folder), share)
    if table.empty:
        raise InputError(f"{folder}: a share of {share} of its held-out clips is none; give a larger one")
    with replace_when_done(output) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6f")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("assets_dir", type=Path, help="folder with the .pth files")
    parser.add_argument("share", type=float, help="of the clips that they held out")
    parser.add_argument("output", type=Path, help="CSV: filename, label, score, loss")
    options = parser.parse_args()
    table = write_list(options.assets_dir, options.share, options.output)
    print(f"wrote {options.output}: {len(table)} clips, of a loss of {table['loss'].min():.3f} and more")


if __name__ == "__main__":
    run(main)
