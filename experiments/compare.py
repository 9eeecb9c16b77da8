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
from models.ensemble.metrics import clip_losses
from models.errors import InputError

RESAMPLES = 2000
OTHER_SENTENCE = "other sentence"  # the kind of wrong answer that is not a near miss

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


def parts_of(labels: Values, kinds: NDArray[np.str_], grades: NDArray[np.str_]) -> Iterator[Part]:
    """All; right against each kind of wrong, near misses together too; each grade."""
    right = labels > 0.5
    wrong_kinds = sorted(set(kinds[~right]) - {OTHER_SENTENCE})
    yield Part("all", np.ones(len(labels), bool))
    yield Part(f"right against {OTHER_SENTENCE}", right | (kinds == OTHER_SENTENCE))
    yield Part("right against near miss", right | np.isin(kinds, wrong_kinds))
    yield from (Part(f"… {kind}", right | (kinds == kind)) for kind in wrong_kinds)
    yield from (Part(f"grade {grade}", grades == grade) for grade in sorted(set(grades), key=grade_order))


def grade_order(grade: str) -> str:
    return grade if grade.isdigit() else ""


def draw_weights(speakers: NDArray[np.str_], rng: np.random.Generator) -> Values:
    """How often each clip is drawn [shape=(resamples, clips)]: as often as its speaker."""
    names, of_clip = np.unique(speakers, return_inverse=True)
    return rng.multinomial(len(names), np.full(len(names), 1 / len(names)), RESAMPLES)[:, of_clip].astype(np.float64)


def area_under_curve(labels: Values, scores: Values, weights: Values) -> Values:
    """AUC with each clip counted `weights` times [shape=(draws, clips)]: [shape=(draws,)], NaN where one class is missing."""
    right = labels > 0.5
    higher = np.sign(scores[right][:, None] - scores[~right][None, :]) / 2 + 0.5
    pairs = weights[:, right].sum(axis=1) * weights[:, ~right].sum(axis=1)
    won = ((weights[:, right] @ higher) * weights[:, ~right]).sum(axis=1)
    return np.divide(won, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)


def mean_loss(labels: Values, scores: Values, weights: Values) -> Values:
    """Log loss in the same way."""
    drawn = weights.sum(axis=1)
    return np.divide(weights @ clip_losses(labels, scores), drawn, out=np.full(len(drawn), np.nan), where=drawn > 0)


def cell(value: float, draws: Values) -> str:
    low, high = np.nanpercentile(draws, (2.5, 97.5))
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


def table_of(figure, labels: Values, models: dict[str, Values], parts: list[Part], weights: Values) -> str:  # type: ignore[no-untyped-def]
    """Markdown: a row for each part, a column for each model."""
    lines = [f"| | clips | {' | '.join(models)} |", "|---" * (2 + len(models)) + "|"]
    for part in parts:
        own, once = labels[part.chosen], np.ones((1, int(part.chosen.sum())))
        cells = []
        for scores in models.values():
            mine = scores[part.chosen]
            cells.append(cell(float(figure(own, mine, once)[0]), figure(own, mine, weights[:, part.chosen])))
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
    parts = list(parts_of(labels, kinds, table["grade"].to_numpy(str)))
    weights = draw_weights(speakers, np.random.default_rng(0))
    print(f"Log loss\n\n{table_of(mean_loss, labels, models, parts, weights)}\n")
    print(f"AUC\n\n{table_of(area_under_curve, labels, models, parts, weights)}")


if __name__ == "__main__":
    run(main)
