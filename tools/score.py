"""Score a submission against labels: log loss and AUC with bootstrap intervals, beside the prior's."""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from models.base.cli import run
from models.clips.tables import read_groups, read_labels
from models.ensemble.bootstrap import draw_counts, estimate, weighted_auc
from models.ensemble.metrics import base_rate_loss, clip_losses, figures
from models.errors import InputError

RESAMPLES = 2000


def read_scored(submission: Path, labels: Path) -> pd.DataFrame:
    """Filename, label and predicted score of every labelled clip."""
    predictions = pd.read_csv(submission, dtype={"filename": str})
    table = read_labels(labels).merge(predictions, on="filename", how="left", suffixes=("", "_predicted"))
    if table["score_predicted"].isna().any():
        raise InputError(
            f"{submission}: lacks a score for {int(table['score_predicted'].isna().sum())} clips of {labels}"
        )
    return table


def interval(value: float, draws: np.ndarray) -> str:
    found = estimate(value, draws)
    return f"{value:.4f} [{found.low:.4f}, {found.high:.4f}]"


def describe(name: str, labels: np.ndarray, scores: np.ndarray) -> str:
    """A line of figures with bootstrap intervals over clips; AUC and the prior need both right and wrong answers."""
    found, losses = figures(labels, scores), clip_losses(labels, scores)
    counts = draw_counts(np.arange(len(labels)), RESAMPLES)
    text = f"{name}: {found.clips} clips, log loss {interval(found.log_loss, losses @ counts / len(losses))}"
    if np.isfinite(found.auc):
        text += (
            f" (prior {base_rate_loss(labels):.4f}), AUC {interval(found.auc, weighted_auc(labels, scores, counts))}"
        )
        text += f", accuracy {found.accuracy:.3f}"
    return text


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="example: python tools/score.py submission.csv test_labels.csv"
    )
    parser.add_argument("submission", type=Path, help="CSV with filename and score")
    parser.add_argument("labels", type=Path, help="CSV with filename and the true score")
    parser.add_argument(
        "--groups", type=Path, metavar="FILE", help="CSV with filename and COLUMN: score each group by itself too"
    )
    parser.add_argument("--group_by", metavar="COLUMN", help="the column of --groups")
    arguments = parser.parse_args()
    if (arguments.groups is None) != (arguments.group_by is None):
        parser.error("--groups and --group_by belong together")
    table = read_scored(arguments.submission, arguments.labels)
    labels, scores = table["score"].to_numpy(), table["score_predicted"].to_numpy()
    print(describe("all", labels, scores))
    if arguments.groups:
        groups = np.array(read_groups(arguments.groups, arguments.group_by, table["filename"]))
        for group in np.unique(groups):
            print(describe(f"  {group}", labels[groups == group], scores[groups == group]))


if __name__ == "__main__":
    run(main)
