"""What is done to the simplex's blend of a clip before it is its score: a stack, a calibration, both or nothing."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from models.clips.groups import GRADES, TASKS
from models.ensemble.calibration import MOST_FLOOR, Calibration, calibrated
from models.ensemble.items import LEVELS, ItemTable, difficulties, item_keys, known_items
from models.ensemble.metrics import Values, clip_probabilities, sigmoid
from models.ensemble.stack import Stack, blend_odds, group_codes, stacked_odds


@dataclass(frozen=True)
class Correction:
    """Of the simplex's blend; all of it plain values.

    Attributes
    ----------
    by_sound
        The stack of answers whose item is not told or not known; None: the simplex's blend itself.
    by_item, items
        The stack of answers whose item the table knows; None: items are not told.
    cross_fitted
        Log losses, each fold scored by what was fitted on the others: of the weighted `mean`, and of what is `taken`.
    """

    by_sound: Stack | None = None
    by_item: Stack | None = None
    items: ItemTable | None = None
    calibration: Calibration | None = None
    cross_fitted: dict[str, float] = field(default_factory=dict)


SIMPLEX = Correction()


def corrected(
    correction: Correction,
    predictions: Values,
    weights: Mapping[str, float],
    tasks: Sequence[str],
    grades: Sequence[str],
    texts: Sequence[str],
) -> Values:
    """The ensemble's probability of each clip [shape=(clips,)].

    Parameters
    ----------
    predictions : [shape=(clips, models)]
    weights
        Of the simplex, by model.
    """
    if correction == SIMPLEX:
        return clip_probabilities(predictions @ np.array(list(weights.values())))
    groups = group_codes(tasks, grades)
    odds = blend_odds(predictions, weights)
    if correction.by_sound is not None:
        odds = stacked_odds(correction.by_sound, predictions, weights, groups, 0.0)
    if correction.by_item is not None and correction.items is not None:
        keys = [item_keys(*clip) for clip in zip(tasks, grades, texts, strict=True)]
        told = stacked_odds(correction.by_item, predictions, weights, groups, difficulties(correction.items, keys))
        odds = np.where(known_items(correction.items, keys), told, odds)
    if correction.calibration is None:
        return sigmoid(odds)
    return clip_probabilities(calibrated(correction.calibration, odds, groups // len(GRADES)))


def describe(correction: Correction) -> str:
    """In words, for cards and pages."""
    if correction.by_item is not None:
        told = "stacked, with how hard the item is (where its text is known from training)"
    elif correction.by_sound is not None:
        told = "stacked, by the sound of the answer alone"
    else:
        told = "a weighted mean, by the sound of the answer alone"
    return told if correction.calibration is None else f"{told}, calibrated"


def read_correction(content: Any, models: Sequence[str]) -> Correction:
    """Check what a configuration holds of it.

    Parameters
    ----------
    content
        As `dataclasses.asdict` gives it; None: nothing, as in older configurations.
    models
        The names of the ensemble's.

    Raises
    ------
    ValueError, KeyError, TypeError
        Where it is not complete, or a number lies outside of what it can be.
    """
    if content is None:
        return SIMPLEX
    by_sound, by_item = (_read_stack(content[name], models) for name in ("by_sound", "by_item"))
    items, calibration = _read_items(content["items"]), _read_calibration(content["calibration"])
    if (by_item is None) != (items is None) or (by_item is not None and by_sound is None):
        raise ValueError("a stack that is told items needs their table, and another stack for those that it lacks")
    if unknown := content.keys() - {part.name for part in fields(Correction)}:
        raise ValueError(f"the correction holds {min(unknown)!r}, which this version does not know")
    losses = dict(content["cross_fitted"])
    _check_numbers("the cross-fitted log losses", list(losses.values()), 0.0)
    return Correction(by_sound, by_item, items, calibration, losses)


def _read_stack(content: Any, models: Sequence[str]) -> Stack | None:
    if content is None:
        return None
    stack = Stack(**content)
    if strangers := stack.slopes.keys() - set(models):
        raise ValueError(f"the stack has a slope for {min(strangers)!r}, which is no model of the ensemble")
    intercepts = [stack.intercepts[task][grade] for task, grade in itertools.product(TASKS, GRADES)]
    _check_numbers("the stack", [*stack.slopes.values(), *intercepts, stack.item_slope])
    return stack


def _read_calibration(content: Any) -> Calibration | None:
    if content is None:
        return None
    found = Calibration(**content)
    _check_numbers("the calibration", [each[task] for each in (found.slopes, found.intercepts) for task in TASKS])
    _check_numbers("the calibration's floor", [found.floor], 0.0, MOST_FLOOR)
    return found


def _read_items(content: Any) -> ItemTable | None:
    if content is None:
        return None
    table = ItemTable(**content)
    if len(table.levels) != LEVELS or len(table.strengths) != LEVELS:
        raise ValueError(
            f"the items have {len(table.levels)} levels and {len(table.strengths)} strengths, not {LEVELS}"
        )
    _check_numbers("the items' strengths", table.strengths, 1e-6)
    _check_numbers("the items' share of right answers", [table.overall], 1e-9, 1 - 1e-9)
    for counts in table.levels:
        for key, (rights, clips) in counts.items():
            if not isinstance(key, str):
                raise ValueError(f"an item is called {key!r:.100}, which is no text")
            _check_numbers("an item's clips", [rights, clips - rights], 0.0)
    return table


def _check_numbers(what: str, values: Sequence[Any], low: float = -1e6, high: float = 1e9) -> None:
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{what}: {value!r:.100} is no number")
        if not low <= value <= high:  # nor what is not a number, of which this is never true
            raise ValueError(f"{what}: {value} lies outside {low:g} to {high:g}")
