"""Out-of-fold (OOF) figures of an ensemble as plain values, for its `config.json` and its model card.

Every clip is judged by models that did not see it in training. Intervals are 95 % bootstrap intervals over clips; a checkpoint
does not say whose clips are one child's, so with several clips by a child they are too narrow.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from models.clips.groups import GRADES, TASKS
from models.ensemble.blend import cross_fitted_loss, gather_blend
from models.ensemble.bootstrap import Counts, draw_counts, estimate
from models.ensemble.checkpoint import Checkpoint
from models.ensemble.metrics import N_BINS, Values, calibration_bins, clip_losses, ece, figures
from models.inference.scoring import Member, model_weights


def member_figures(members: Sequence[Member]) -> dict[str, Any]:
    """The figures of an ensemble whose members have their OOF predictions."""
    return ensemble_figures([member.checkpoint for member in members], model_weights(members))


def ensemble_figures(checkpoints: Sequence[Checkpoint], weights: Mapping[str, float]) -> dict[str, Any]:
    """All figures of a blend: each clip is judged by those that held it out, all models or the folds at hand.

    Parameters
    ----------
    weights
        Of each model by name, summing to 1.
    """
    rows, cross_fitted = _blended_rows(checkpoints, weights)
    by = {name: _groups(rows, columns) for name, columns in _GROUPINGS.items()}
    return {
        "clips": len(rows),
        "cross_fitted_log_loss": cross_fitted,
        "bins": _bins(rows["label"].to_numpy(np.float64), rows["prediction"].to_numpy(np.float64)),
        **by,
    }


_GROUPINGS: dict[str, list[str]] = {
    "overall": [],
    "by_task": ["task"],
    "by_grade": ["grade"],
    "by_task_and_grade": ["task", "grade"],
}


def review_figures(bins: Sequence[Mapping[str, float]], low: float, high: float) -> tuple[float, float]:
    """The share of clips that lie in [low, high), and the accuracy of the others' verdicts (NaN where there are none).

    Parameters
    ----------
    low, high
        Edges of bins.
    """
    total = sum(row["clips"] for row in bins)
    below = [row for row in bins if row["to"] <= low + 1e-9]
    above = [row for row in bins if row["from"] >= high - 1e-9]
    decided = sum(row["clips"] for row in [*below, *above])
    right = sum(row["clips"] - row["right"] for row in below) + sum(row["right"] for row in above)
    return 1.0 - decided / total, right / decided if decided else float("nan")


def largest_gap(groups: Sequence[Mapping[str, Any]], figure: str, smallest: int) -> float | None:
    """The largest difference of a figure between groups of at least `smallest` clips; None where fewer than two have it."""
    values = [group[figure] for group in groups if group["clips"] >= smallest and group[figure] is not None]
    return max(values) - min(values) if len(values) > 1 else None


def _blended_rows(checkpoints: Sequence[Checkpoint], weights: Mapping[str, float]) -> tuple[pd.DataFrame, float | None]:
    """task, grade, label, prediction of every clip; and the cross-fitted log loss where there are weights to fit."""
    groups = {
        name: (task, grade)
        for item in checkpoints
        for name, task, grade in zip(item.oof.filenames, item.oof.tasks, item.oof.grades, strict=True)
    }
    labels, predictions, said = (dict.fromkeys(groups, 0.0) for _ in range(3))
    for item in checkpoints:
        weight = weights[item.recipe.name]
        for name, label, prediction in zip(
            item.oof.filenames, item.oof.labels.tolist(), item.oof.predictions.tolist(), strict=True
        ):
            labels[name] = label
            predictions[name] += weight * prediction
            said[name] += weight
    rows = pd.DataFrame(groups.values(), columns=["task", "grade"])
    blended = [predictions[name] / said[name] for name in groups]
    return rows.assign(label=list(labels.values()), prediction=blended), _cross_fitted(checkpoints)


def _cross_fitted(checkpoints: Sequence[Checkpoint]) -> float | None:
    """With weights of the other folds; None where none can be fitted."""
    names = Counter(item.recipe.name for item in checkpoints)
    n_folds = checkpoints[0].n_folds
    if len(names) == 1 or n_folds == 1 or any(count < n_folds for count in names.values()):
        return None
    return cross_fitted_loss(gather_blend(checkpoints))


def _groups(rows: pd.DataFrame, columns: list[str]) -> list[dict[str, Any]]:
    """The figures of each group, tasks and grades in their own order; of all rows where there are no columns."""
    if not columns:
        return [_describe(rows)]
    order = {"task": TASKS, "grade": GRADES}
    ordered = rows.assign(**{name: pd.Categorical(rows[name], order[name], ordered=True) for name in columns})
    return [
        {**dict(zip(columns, key, strict=True)), **_describe(group)}
        for key, group in ordered.groupby(columns, observed=True, sort=True)
    ]


def _describe(rows: pd.DataFrame) -> dict[str, Any]:
    """One group's figures. A rejection or acceptance is a verdict at 0.5."""
    labels, predictions = (rows[name].to_numpy(np.float64) for name in ("label", "prediction"))
    scores = figures(labels, predictions)
    rate, is_right, says_right = float(labels.mean()), labels > 0.5, predictions > 0.5
    losses, draws = clip_losses(labels, predictions), draw_counts(np.arange(len(labels)))
    return {
        "clips": scores.clips,
        "right": int(is_right.sum()),
        "prior_log_loss": figures(labels, np.full(len(labels), rate)).log_loss,
        "log_loss": scores.log_loss,
        "log_loss_interval": _interval(losses, draws),
        "auc": _finite(scores.auc),
        "accuracy": scores.accuracy,
        "accuracy_interval": _interval((says_right == is_right).astype(float), draws),
        "mean_prediction": float(predictions.mean()),
        "brier": float(np.square(predictions - labels).mean()),
        "calibration_error": ece(labels, predictions),
        "false_rejections": _finite(_share(~says_right[is_right])),
        "false_acceptances": _finite(_share(says_right[~is_right])),
    }


def _bins(labels: Values, predictions: Values) -> list[dict[str, float]]:
    """How many clips have a prediction in each bin, how many of them are right, and the sum of their predictions."""
    places = calibration_bins(predictions)
    counts, right, predicted = (
        np.bincount(places, weights, N_BINS) for weights in (np.ones(len(labels)), labels, predictions)
    )
    return [
        {
            "from": place / N_BINS,
            "to": (place + 1) / N_BINS,
            "clips": int(counts[place]),
            "right": int(right[place]),
            "predicted_sum": float(predicted[place]),
        }
        for place in range(N_BINS)
    ]


def _interval(values: Values, draws: Counts) -> list[float]:
    """Of the mean."""
    found = estimate(float(values.mean()), draws.T @ values / len(values))
    return [found.low, found.high]


def _share(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
