"""Stacking: the simplex's blend, corrected by logistic regression on what it knows of a clip.

The correction starts from the log-odds of the blend and adds those of its models, an intercept by task and grade and, where
items are told, how hard the item is. It is shrunk towards nothing (`fit_shrunk`), so where it has nothing to add the blend stays.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.clips.groups import GRADES, TASKS
from models.ensemble.metrics import Values, logit
from models.ensemble.shrinkage import fit_shrunk
from models.errors import InputError

MOST_CERTAIN = (
    1e-4  # a model's probabilities count as no nearer to 0 and 1: labels of some thousand clips can't tell more
)
_MODELS, _INTERCEPTS, _ITEMS = range(3)  # blocks of coefficients

Groups = NDArray[np.intp]


@dataclass(frozen=True)
class Stack:
    """Added to the log-odds of the simplex's blend, as plain values.

    Attributes
    ----------
    slopes
        By model, on its log-odds.
    intercepts
        By task and grade.
    item_slope
        On an item's difficulty.
    """

    slopes: dict[str, float]
    intercepts: dict[str, dict[str, float]]
    item_slope: float


def group_codes(tasks: Sequence[str], grades: Sequence[str]) -> Groups:
    """The place of each clip's task and grade among all [shape=(clips,)].

    Raises
    ------
    InputError
        Where one of them is not known.
    """
    places = {pair: place for place, pair in enumerate(itertools.product(TASKS, GRADES))}
    if unknown := set(zip(tasks, grades, strict=True)) - places.keys():
        task, grade = min(unknown)
        raise InputError(f"task {task!r}, grade {grade!r}: must be of {', '.join(TASKS)} and of {', '.join(GRADES)}")
    return np.fromiter((places[pair] for pair in zip(tasks, grades, strict=True)), np.intp, len(tasks))


def fit_stack(
    labels: Values, predictions: Values, weights: Mapping[str, float], groups: Groups, items: Values | None
) -> Stack:
    """Fit the correction of a blend.

    Parameters
    ----------
    labels : [shape=(clips,)]
    predictions : [shape=(clips, models)]
    weights
        Of the simplex, by model; those of no weight are left out.
    groups
        Of `group_codes`.
    items
        How hard each clip's item is, not known from its own label [shape=(clips,)]; None: not told.
    """
    names = [name for name, weight in weights.items() if weight > 0]
    odds = model_odds(predictions)[:, [weight > 0 for weight in weights.values()]]
    mean, spread = odds.mean(axis=0), np.maximum(odds.std(axis=0), 1e-6)
    n_groups = len(TASKS) * len(GRADES)
    parts = [(odds - mean) / spread, np.ones((len(labels), 1)), (groups[:, None] == np.arange(n_groups)).astype(float)]
    blocks = [_MODELS] * len(names) + [_INTERCEPTS] * (1 + n_groups)
    if items is not None:
        parts, blocks = [*parts, items[:, None]], [*blocks, _ITEMS]
    blended = blend_odds(predictions, weights)
    found = fit_shrunk(labels, blended, np.hstack(parts), blocks)
    slopes = found[: len(names)] / spread
    intercepts = found[len(names)] - slopes @ mean + found[len(names) + 1 :][:n_groups].reshape(len(TASKS), -1)
    by_task = {task: dict(zip(GRADES, row, strict=True)) for task, row in zip(TASKS, intercepts.tolist(), strict=True)}
    return Stack(dict(zip(names, slopes.tolist(), strict=True)), by_task, 0.0 if items is None else float(found[-1]))


def stacked_odds(
    stack: Stack, predictions: Values, weights: Mapping[str, float], groups: Groups, items: Values | float
) -> Values:
    """The corrected log-odds [shape=(clips,)]; arguments as of `fit_stack`."""
    slopes = np.array([stack.slopes.get(name, 0.0) for name in weights])
    intercepts = np.array([[stack.intercepts[task][grade] for grade in GRADES] for task in TASKS]).ravel()
    added = model_odds(predictions) @ slopes + intercepts[groups] + stack.item_slope * np.asarray(items)
    odds: Values = blend_odds(predictions, weights) + added
    return odds


def blend_odds(predictions: Values, weights: Mapping[str, float]) -> Values:
    """Log-odds of the simplex's blend [shape=(clips,)]."""
    return model_odds(predictions @ np.array(list(weights.values())))


def model_odds(probabilities: Values) -> Values:
    return logit(np.clip(probabilities, MOST_CERTAIN, 1 - MOST_CERTAIN))
