"""The page's pictures. The figures in them are in its tables too, or in their alternative texts."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from models.ensemble.bootstrap import Estimate
from models.ensemble.checkpoint import Checkpoint
from models.report.blending import Contribution
from models.report.content import Fold, ReportBody
from models.report.held_out import Predictions
from models.report.review import Review
from models.report.scores import Bin, Scores, roc_points
from models.report.svg import FOLDS, INK, MAIN, MUTED, PALE, WRONG, Picture, draw

_MARKERS = ("o", "s", "^", "D", "v", "P")
_HISTOGRAM_BINS = 20
_LARGEST_NAME = 32  # letters
_MOST_IN_LEGEND = 12
_IN_HISTORY = {"epoch", "train_loss", "validation_log_loss"}


def forest(
    name: str, what: str, rows: Sequence[tuple[str, Estimate]], mark: float | None, percent: bool = False
) -> Picture:
    """A dot with its interval for each row, the first one in front of the others.

    Parameters
    ----------
    mark
        Where to draw a line to compare with.
    """

    def paint(axes: Axes) -> None:
        for position, (_, found) in enumerate(rows):
            colour = MAIN if position == 0 else INK
            axes.plot([found.low, found.high], [position] * 2, color=colour, linewidth=2)
            axes.plot(found.value, position, "o", color=colour, markersize=6 if position == 0 else 4.5)
        if mark is not None:
            axes.axvline(mark, color=MUTED, linestyle="--", linewidth=1)
        axes.set_yticks(range(len(rows)), [_shorten(label) for label, _ in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel(what)
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        if percent:
            axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=None))

    listed = "; ".join(f"{label} {found.value:.3f} [{found.low:.3f}, {found.high:.3f}]" for label, found in rows)
    return draw(name, f"{what} with 95 % intervals: {listed}", paint, 0.9 + 0.27 * len(rows))


def draw_reliability(name: str, bins: Sequence[Bin], title: str = "") -> Picture:
    def paint(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=MUTED, linestyle="--", linewidth=1, label="perfect")
        x = [bin.score for bin in bins]
        for bin in bins:
            axes.plot([bin.score] * 2, [bin.right.low, bin.right.high], color=MAIN, linewidth=1.5, alpha=0.6)
        axes.plot(x, [bin.right.value for bin in bins], "o-", color=MAIN, markersize=5, label="found")
        _unit_square(axes, "mean score of the clips", "share of right answers")
        axes.legend(loc="upper left")
        axes.set_title(title)

    listed = "; ".join(f"{bin.score:.2f}: {bin.right.value:.2f} of {bin.clips}" for bin in bins)
    return draw(
        name, f"Reliability diagram {title}. Mean score: share of right answers of so many clips. {listed}", paint, 4.0
    )


def draw_roc(name: str, main: Predictions, others: Sequence[Predictions], scores: Sequence[Scores]) -> Picture:
    """ROC curves of the main predictions and of the others.

    Parameters
    ----------
    scores
        Of `main` and of each of the others.
    """

    def paint(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=MUTED, linestyle="--", linewidth=1)
        curves = [(item, roc_points(item.labels, item.scores)) for item in (*others, main)]
        label = "each model"
        for item, points in curves:
            if points is not None and item is not main:
                axes.plot(*points, color=PALE, linewidth=1.2, label=label)
                label = ""
            elif points is not None:
                axes.plot(*points, color=MAIN, linewidth=2.2, label=_shorten(main.name))
        _unit_square(axes, "wrong answers scored above the threshold", "right answers scored above it")
        if any(points is not None for _, points in curves):
            axes.legend(loc="lower right")

    listed = "; ".join(f"{item.name} {item.figures['auc'].value:.3f}" for item in scores)
    return draw(name, f"ROC curves. Areas under them: {listed}", paint, 4.0)


def draw_histogram(name: str, predictions: Predictions) -> Picture:
    edges = np.linspace(0, 1, _HISTOGRAM_BINS + 1)
    rights, wrongs = (np.histogram(predictions.scores[predictions.labels == label], edges)[0] for label in (1, 0))

    def paint(axes: Axes) -> None:
        centres = (edges[:-1] + edges[1:]) / 2
        axes.bar(centres, rights, 0.044, color=MAIN, label="right answers")
        axes.bar(centres, -wrongs, 0.044, color=WRONG, label="wrong answers (downwards)")
        axes.axhline(0, color=MUTED, linewidth=0.8)
        axes.yaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")
        axes.margins(y=0.25)
        axes.set_xlim(0, 1)
        axes.set_xlabel("score")
        axes.set_ylabel("clips")
        axes.legend(loc="upper center", ncols=1)

    alt = (
        f"Histogram of scores. Of {rights.sum()} right answers {rights[10:].sum()} score above 0.5; "
        f"of {wrongs.sum()} wrong ones {wrongs[:10].sum()} below"
    )
    return draw(name, alt, paint, 4.0)


def draw_folds(folds: Sequence[Fold], checkpoints: Sequence[Checkpoint]) -> Picture:
    """Every fold's log loss, a row for each model; what stands out is ringed and named."""
    found = {fold.name: fold for fold in folds if fold.figures is not None}
    models = list(dict.fromkeys(item.recipe.name for item in checkpoints))
    odd: list[str] = []

    def paint(axes: Axes) -> None:
        for item in checkpoints:
            fold = found[item.file_name]
            loss, row = fold.figures.log_loss if fold.figures else 0.0, models.index(item.recipe.name)
            axes.plot(loss, row, _marker(item.fold), color=_colour(item.fold), markersize=6)
            if any(problem.kind == "outlier" for problem in fold.problems):
                odd.append(item.file_name)
                axes.plot(loss, row, "o", color=WRONG, markersize=13, fillstyle="none", markeredgewidth=2)
                axes.annotate(f"fold {item.fold}  ", (loss, row), ha="right", va="center", color=WRONG, fontsize=9)
        for fold_number in sorted({item.fold for item in checkpoints})[:_MOST_IN_LEGEND]:
            axes.plot([], [], _marker(fold_number), color=_colour(fold_number), markersize=6, label=str(fold_number))
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=6, title="fold", handletextpad=0)
        axes.set_yticks(range(len(models)), [_shorten(name) for name in models])
        axes.set_ylim(len(models) - 0.4, -0.6)
        axes.set_xlabel("log loss of each fold")

    picture = draw("folds", "", paint, 1.5 + 0.3 * len(models))
    marked = f"Standing out: {', '.join(odd)}" if odd else "None stands out"
    return Picture(
        picture.svg, f"The log loss of every fold, by model. {marked}. The fold table holds the same figures"
    )


def draw_learning(name: str, checkpoints: Sequence[Checkpoint]) -> Picture:
    """Training and validation loss by epoch for the folds of one model; the epoch that was kept is ringed."""

    def paint(axes: Axes) -> None:
        for item in checkpoints:
            colour = _colour(item.fold)
            epochs = [row["epoch"] for row in item.history]
            losses = [row["validation_log_loss"] for row in item.history]
            axes.plot(epochs, losses, color=colour, marker=_marker(item.fold), markersize=4, label=f"fold {item.fold}")
            axes.plot(epochs, [row["train_loss"] for row in item.history], ":", color=colour, linewidth=1.2)
            kept = int(np.argmin(np.nan_to_num(losses, nan=np.inf)))
            axes.plot(epochs[kept], losses[kept], "o", color=INK, markersize=10, fillstyle="none", markeredgewidth=1)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("epoch")
        axes.set_ylabel("log loss")
        axes.set_title(_shorten(checkpoints[0].recipe.name))
        axes.margins(y=0.1)
        axes.legend(loc="best", ncols=2, fontsize=8)

    ends = (f"fold {item.fold} {min(row['validation_log_loss'] for row in item.history):.3f}" for item in checkpoints)
    alt = f"Learning curves of {checkpoints[0].recipe.name}. Lowest validation log loss: {', '.join(ends)}"
    return draw(name, alt, paint)


def draw_weights(parts: Sequence[Contribution]) -> Picture:
    def paint(axes: Axes) -> None:
        for row, part in enumerate(parts):
            axes.barh(row, part.weight, 0.6, color=MAIN)
            axes.plot([part.lowest, part.highest], [row] * 2, color=INK, linewidth=2)
        axes.set_yticks(range(len(parts)), [_shorten(part.model) for part in parts])
        axes.set_ylim(len(parts) - 0.4, -0.6)
        axes.set_xlim(left=0)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("weight; line: range over the folds")

    listed = ", ".join(f"{part.model} {part.weight:.3f}" for part in parts)
    return draw("weights", f"The blend's weights: {listed}", paint, 0.9 + 0.27 * len(parts))


def draw_review(review: Review) -> Picture:
    curve = review.curve

    def paint(axes: Axes) -> None:
        axes.fill_between(curve.shares, curve.left_low, curve.left_high, color=MAIN, alpha=0.2, linewidth=0)
        axes.plot(curve.shares, curve.left, color=MAIN, label="marks left to the models")
        axes.plot(curve.shares, curve.all_marks, "--", color=WRONG, label="all marks, the reviewer always right")
        axes.set_xlim(0, 1)
        axes.set_ylim(top=1.002)
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
        axes.set_xlabel("share of clips reviewed, the least certain first")
        axes.set_ylabel("accuracy")
        axes.legend(loc="lower right")

    listed = "; ".join(f"{need.target:.1%}: {need.all_marks.value:.1%}" for need in review.needs)
    return draw(
        "review", f"Accuracy by share of clips reviewed. Accuracy of all marks: share to review. {listed}", paint, 4.0
    )


def _unit_square(axes: Axes, x: str, y: str) -> None:
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel(x)
    axes.set_ylabel(y)


def _marker(fold: int) -> str:
    return _MARKERS[fold % len(_MARKERS)]


def _colour(fold: int) -> str:
    """With the marker, another look for each of the first 36 folds."""
    return FOLDS[(fold + fold // len(_MARKERS)) % len(FOLDS)]


def _shorten(name: str) -> str:
    return name if len(name) <= _LARGEST_NAME else f"{name[: _LARGEST_NAME - 1]}…"


def draw_all(evidence: ReportBody, folds: Sequence[Fold], checkpoints: Sequence[Checkpoint]) -> dict[str, Any]:
    """The pictures by the name that the page calls them by; `learning` and `calibration` are lists, one for each model."""
    scores, main = evidence.scores, evidence.main
    others = [model for model in evidence.models if model is not main]
    pictures: dict[str, Any] = {
        "folds": draw_folds(folds, checkpoints),
        "reliability": draw_reliability("reliability", evidence.reliability[main.name]),
        "roc": draw_roc("roc", main, others, scores),
        "histogram": draw_histogram("histogram", main),
        "review": draw_review(evidence.review),
    }
    for figure, what in (("log_loss", "log loss"), ("auc", "AUC"), ("ece", "calibration error (ECE)")):
        rows = [(item.name, item.figures[figure]) for item in scores]
        pictures[f"models_{figure}"] = forest(f"models-{figure}", what, rows, scores[0].figures[figure].value)
    pictures["calibration"] = [
        draw_reliability(f"calibration{index}", evidence.reliability[model.name], _shorten(model.name))
        for index, model in enumerate(others)
    ]
    told = [item for item in checkpoints if item.history and all(row.keys() >= _IN_HISTORY for row in item.history)]
    pictures["learning"] = [
        draw_learning(f"learning{index}", [item for item in told if item.recipe.name == name])
        for index, name in enumerate(dict.fromkeys(item.recipe.name for item in told))
    ]
    if len(evidence.contributions) > 1:
        rows = [(part.model, part.adds) for part in evidence.contributions if part.adds is not None]
        pictures["weights"] = draw_weights(evidence.contributions)
        pictures["adds"] = forest("adds", "rise of the log loss without it", rows, 0.0)
    if evidence.parts:
        cut = evidence.parts[-1]
        for figure, what in (("log_loss", "log loss"), ("auc", "AUC"), ("rejected", "right answers rejected")):
            rows = [("all", scores[0].figures[figure]), *((group.name, group.figures[figure]) for group in cut.groups)]
            rows = [row for row in rows if np.isfinite(row[1].value)]
            mark = scores[0].figures[figure].value
            pictures[f"groups_{figure}"] = forest(f"groups-{figure}", what, rows, mark, percent=figure == "rejected")
    return pictures
