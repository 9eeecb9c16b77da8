"""Tables in Markdown of several submissions: log loss and AUC with bootstrap intervals, on all clips and on parts of them.

The wrong answers may be of several kinds; of each kind, right answers are scored together with the wrong ones of that kind.
Speakers are drawn anew in the bootstrap, not clips, since the clips of one child are alike.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.base.cli import run
from models.clips.tables import read_groups, read_labels, read_metadata
from models.ensemble.bootstrap import Counts, divide, draw_counts, estimate, weighted_auc
from models.ensemble.metrics import clip_losses
from models.errors import InputError

RESAMPLES = 2000
FAR = "other "  # how kinds of wrong answers begin that are no near misses: other sentence, other word, other nonword

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Part:
    """Some of the clips, bool [shape=(clips,)]."""

    name: str
    chosen: NDArray[np.bool_]


def read_scores(submission: Path, filenames: pd.Series) -> Values:
    scores = pd.read_csv(submission, dtype={"filename": str}).set_index("filename")["score"].reindex(filenames)
    missing = scores.index[scores.isna()]
    if len(missing):
        raise InputError(f"{submission}: lacks a score for {len(missing)} clips, such as {missing[0]}")
    return scores.to_numpy(np.float64)


def parts_of(
    labels: Values, kinds: NDArray[np.str_], grades: NDArray[np.str_], tasks: NDArray[np.str_]
) -> Iterator[Part]:
    """All; of each task, right against each kind of wrong, near misses together too; each grade."""
    several = len(set(tasks)) > 1
    yield Part("all", np.ones(len(labels), bool))
    for task in sorted(set(tasks)):
        if several:
            yield Part(task.replace("_", " "), tasks == task)
        yield from _kinds_of(labels, kinds, tasks == task)
    yield from (Part(f"grade {grade}", grades == grade) for grade in sorted(set(grades), key=grade_order))


def _kinds_of(labels: Values, kinds: NDArray[np.str_], asked: NDArray[np.bool_]) -> Iterator[Part]:
    right, wrong = asked & (labels > 0.5), asked & (labels < 0.5)
    far_kinds = sorted(kind for kind in set(kinds[wrong]) if kind.startswith(FAR))
    near_kinds = sorted(set(kinds[wrong]) - set(far_kinds))
    yield from (Part(f"right against {kind}", right | wrong & (kinds == kind)) for kind in far_kinds)
    yield Part("right against near miss", right | wrong & np.isin(kinds, near_kinds))
    yield from (Part(f"… {kind}", right | wrong & (kinds == kind)) for kind in near_kinds)


def grade_order(grade: str) -> str:
    return grade if grade.isdigit() else ""


def draws_of(speakers: NDArray[np.str_]) -> Counts:
    """How often each clip is drawn [shape=(clips, draws)]: as often as its speaker."""
    return draw_counts(np.unique(speakers, return_inverse=True)[1], RESAMPLES)


def mean_loss(labels: Values, scores: Values, counts: Counts) -> Values:
    """Log loss of each draw [shape=(draws,)], NaN where it holds no clip."""
    return divide(clip_losses(labels, scores) @ counts, counts.sum(axis=0, dtype=np.float64))


def cell(value: float, draws: Values) -> str:
    found = estimate(value, draws)
    return f"{value:.3f} [{found.low:.3f}, {found.high:.3f}]"


def table_of(figure, labels: Values, models: dict[str, Values], parts: list[Part], counts: Counts) -> str:  # type: ignore[no-untyped-def]
    """Markdown: a row for each part, a column for each model."""
    lines = [f"| | clips | {' | '.join(models)} |", "|---" * (2 + len(models)) + "|"]
    for part in parts:
        own, once = labels[part.chosen], np.ones((int(part.chosen.sum()), 1), np.float32)
        cells = []
        for scores in models.values():
            mine = scores[part.chosen]
            cells.append(cell(float(figure(own, mine, once)[0]), figure(own, mine, counts[part.chosen])))
        lines.append(f"| {part.name} | {len(own)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def named_file(text: str) -> tuple[str, Path]:
    name, separator, path = text.partition("=")
    if not separator or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=FILE")
    return name, Path(path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: python experiments/compare.py --data_dir kids aligned=aligned.csv joint=joint.csv",
    )
    parser.add_argument(
        "submissions", nargs="+", type=named_file, metavar="NAME=FILE", help="CSV with filename and score"
    )
    parser.add_argument("--data_dir", type=Path, required=True, help="folder with test_{metadata,labels,source}.csv")
    options = parser.parse_args()
    labelled = read_labels(options.data_dir / "test_labels.csv")
    table = read_metadata(options.data_dir / "test_metadata.csv").merge(labelled, on="filename")
    labels = table["score"].to_numpy(np.float64)
    source = options.data_dir / "test_source.csv"
    speakers, kinds = (np.array(read_groups(source, column, table["filename"])) for column in ("speaker", "kind"))
    models = {"prior": np.full(len(labels), labels.mean())}
    models |= {name: read_scores(path, table["filename"]) for name, path in options.submissions}
    parts = list(parts_of(labels, kinds, *(table[column].to_numpy(str) for column in ("grade", "task"))))
    counts = draws_of(speakers)
    print(f"Log loss\n\n{table_of(mean_loss, labels, models, parts, counts)}\n")
    print(f"AUC\n\n{table_of(weighted_auc, labels, models, parts, counts)}")


if __name__ == "__main__":
    run(main)
