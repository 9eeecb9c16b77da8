"""What leaving doubted clips out of training does out of fold: runs on the same folds against the first of them.

    python experiments/leave_out.py KIDS --left_out doubted.csv base=assets without=assets_without

All runs are scored against the labels of KIDS, on the clips that each of them held out: all, and those that the list leaves.
Intervals are of the difference to the first run, over speakers (--group_by).
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from models.base.cli import run
from models.clips.left_out import read_left_out
from models.clips.tables import read_groups, read_training_table
from models.ensemble.bootstrap import draw_counts, estimate
from models.ensemble.metrics import clip_losses, figures
from tools.list_contradicted import contradicted, read_checkpoints


def read_scores(folder: Path) -> pd.Series:
    """Each held-out clip's score by all models of a folder, by its name."""
    return contradicted(read_checkpoints(folder), 1.0).set_index("filename")["score"]


def compare(scores: pd.DataFrame, labels: np.ndarray, speakers: list[str]) -> Iterator[str]:
    """A line for each column, against the first."""
    counts = draw_counts(np.unique(speakers, return_inverse=True)[1])
    losses = {name: clip_losses(labels, scores[name].to_numpy(np.float64)) for name in scores}
    first = losses[scores.columns[0]]
    for name, own in losses.items():
        found, more = figures(labels, scores[name].to_numpy(np.float64)), own - first
        by = estimate(float(more.mean()), more @ counts / counts.sum(axis=0))
        yield f"{name} | {found.clips} | {found.log_loss:.4f} | {found.auc:.4f} | {by.value:+.4f} [{by.low:+.4f}, {by.high:+.4f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_dir", type=Path, help="folder with the labels, and train_source.csv")
    parser.add_argument("runs", nargs="+", metavar="NAME=FOLDER", help="of .pth files")
    parser.add_argument("--left_out", type=Path, required=True, help="a list of train.py --leave_out")
    parser.add_argument(
        "--group_by",
        default="speaker",
        help="the column of train_source.csv that intervals draw (default: %(default)s)",
    )
    options = parser.parse_args()
    runs = dict(pair.split("=", 1) for pair in options.runs)
    table = read_training_table(options.data_dir).set_index("filename", drop=False)
    scores = pd.DataFrame({name: read_scores(Path(folder)) for name, folder in runs.items()}).dropna()
    rest = scores[~scores.index.isin(read_left_out(options.left_out, table))]
    print(f"| clips | run | | log loss | AUC | difference |\n|{'---|' * 6}")
    for what, part in (("all", scores), ("not in the list", rest)):
        speakers = read_groups(options.data_dir / "train_source.csv", options.group_by, table["filename"].tolist())
        known = dict(zip(table["filename"], speakers, strict=True))
        labels = table.loc[part.index, "score"].to_numpy(np.float64)
        for line in compare(part, labels, [known[name] for name in part.index]):
            print(f"| {what} | {line} |")


if __name__ == "__main__":
    run(main)
