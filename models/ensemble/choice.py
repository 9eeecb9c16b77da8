"""Which blend: the candidates, each judged on clips that nothing of it was fitted on, and the one to take.

Nested cross-fitting: weights, item table, stack and calibration are all fitted without the fold that is scored, and the item's
difficulty of a clip that a stack is fitted on comes from the other folds among those.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.base.blas import one_blas_thread
from models.clips.groups import GRADES
from models.ensemble.blend import Blend, fit_weights
from models.ensemble.bootstrap import Estimate, divide, draw_counts, estimate, weighted_sums
from models.ensemble.calibration import calibrated, fit_calibration
from models.ensemble.correction import SIMPLEX, Correction
from models.ensemble.items import Codes, difficulties_of_others, encode, fit_items, item_keys
from models.ensemble.metrics import Values, clip_losses, clip_probabilities, log_loss, logit, sigmoid
from models.ensemble.stack import Stack, fit_stack, group_codes, stacked_odds

Kind = Literal["simplex", "stack", "best"]
KINDS: tuple[Kind, ...] = ("simplex", "stack", "best")
PLAIN, SOUND, ITEM = "simplex", "stack, by sound alone", "stack, with items"
ENOUGH_UNITS = 10  # with fewer texts no difference is clear: the bootstrap's intervals are too narrow
CALIBRATIONS = {"calibrated": False, "calibrated by task": True}
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Candidate:
    """A way to blend.

    Attributes
    ----------
    scores
        Cross-fitted [shape=(clips,)].
    difference
        Of its log loss to the simplex's; of one that is calibrated, to the same without.
    """

    name: str
    scores: Values
    log_loss: float
    difference: Estimate | None


@dataclass(frozen=True)
class Choice:
    """What was tried, and what is taken."""

    candidates: list[Candidate]
    chosen: Candidate
    weights: Values
    correction: Correction


@dataclass(frozen=True)
class _Clips:
    """What candidates are fitted on; groups of `group_codes`, items of `encode`, None where they are not to be told."""

    models: list[str]
    labels: Values
    predictions: Values
    folds: np.ndarray
    groups: NDArray[np.intp]
    items: Codes | None

    @property
    def tasks(self) -> NDArray[np.intp]:
        return self.groups // len(GRADES)


@dataclass(frozen=True)
class _Fit:
    """A simplex with its stacks, fitted on some clips; odds of each candidate there [shape=(train clips,)]."""

    weights: dict[str, float]
    by_sound: Stack
    by_item: Stack | None
    odds: dict[str, Values]


@one_blas_thread()
def choose(blend: Blend, texts: Sequence[str] | None, kind: Kind) -> Choice:
    """Cross-fit the candidates, and fit the one that is taken on all clips.

    Whatever else is asked for is taken only where it is clearly better: its difference's interval, over clips grouped by text,
    lies below 0.

    Parameters
    ----------
    texts
        The expected text of each clip; None: items are not to be told, and intervals are over clips.
    kind
        simplex: the weighted mean as it is. stack: with items where they are told. best: the stack, told items or not, of the
        lowest loss where it is clearly better than the simplex. The last two are calibrated where that is clearly better.
    """
    keys = None if texts is None else [item_keys(*clip) for clip in zip(blend.tasks, blend.grades, texts, strict=True)]
    items = None if keys is None else encode(keys)[1]
    clips = _Clips(
        blend.models, blend.labels, blend.predictions, blend.folds, group_codes(blend.tasks, blend.grades), items
    )
    judge = _Judge(clips.labels, np.arange(len(clips.labels)) if items is None else items[1])
    fits = {fold: (clips.folds == fold, _fit(clips, clips.folds != fold)) for fold in np.unique(clips.folds)}
    odds = _cross_fitted(clips, list(fits.values()))
    candidates = judge.compare({name: sigmoid(found) for name, found in odds.items()})
    taken = _take(candidates, kind)
    calibrations = (
        [] if kind == "simplex" else _calibrations(clips, list(fits.values()), taken, odds[taken.name], judge)
    )
    chosen = _best([taken, *calibrations])
    whole = _fit(clips, np.ones(len(clips.labels), bool))
    correction = _correction(whole, taken.name)
    if correction.by_item is not None and keys is not None:
        correction = replace(correction, items=fit_items(keys, clips.labels))
    if chosen is not taken:
        by_task = CALIBRATIONS[chosen.name.removeprefix(f"{taken.name}, ")]
        calibration = fit_calibration(clips.labels, whole.odds[taken.name], clips.tasks, by_task)
        correction = replace(correction, calibration=calibration)
    if correction != SIMPLEX:
        correction = replace(correction, cross_fitted={"mean": candidates[0].log_loss, "taken": chosen.log_loss})
    return Choice([*candidates, *calibrations], chosen, np.array(list(whole.weights.values())), correction)


def _fit(clips: _Clips, train: Mask) -> _Fit:
    labels, predictions, groups = clips.labels[train], clips.predictions[train], clips.groups[train]
    weights = dict(zip(clips.models, fit_weights(labels, predictions).tolist(), strict=True))
    by_sound = fit_stack(labels, predictions, weights, groups, None)
    odds = {PLAIN: _plain_odds(predictions, weights), SOUND: stacked_odds(by_sound, predictions, weights, groups, 0.0)}
    if clips.items is None:
        return _Fit(weights, by_sound, None, odds)
    hard, known = _of_other_folds(clips, train, clips.items)
    by_item, told = None, odds[SOUND]
    if known.any():
        by_item = fit_stack(labels[known], predictions[known], weights, groups[known], hard[known])
        told = np.where(known, stacked_odds(by_item, predictions, weights, groups, hard), told)
    return _Fit(weights, by_sound, by_item, {**odds, ITEM: told})


def _plain_odds(predictions: Values, weights: dict[str, float]) -> Values:
    return logit(clip_probabilities(predictions @ np.array(list(weights.values()))))


def _of_other_folds(clips: _Clips, train: Mask, items: Codes) -> tuple[Values, Mask]:
    """How hard each training clip's item is by the others' labels, and whether they know it [shape=(train clips,) each]."""
    hard, known = np.zeros(len(train)), np.zeros(len(train), bool)
    parts = clips.folds if len(np.unique(clips.folds[train])) > 1 else np.cumsum(train) % 2
    for part in np.unique(parts[train]):
        own, others = train & (parts == part), train & (parts != part)
        hard[own], known[own] = _item_facts(clips.labels, items, others, own)
    return hard[train], known[train]


def _item_facts(labels: Values, items: Codes, train: Mask, asked: Mask) -> tuple[Values, Mask]:
    there = np.bincount(items[1][train], minlength=int(items[1].max()) + 1) > 0
    return difficulties_of_others(items, labels, train, asked), there[items[1][asked]]


def _cross_fitted(clips: _Clips, fits: Sequence[tuple[Mask, _Fit]]) -> dict[str, Values]:
    """The log-odds of every candidate, each clip's by the fit that has not seen its fold [shape=(clips,) each]."""
    found = {name: np.empty(len(clips.labels)) for name in fits[0][1].odds}
    for asked, fit in fits:
        predictions, groups = clips.predictions[asked], clips.groups[asked]
        found[PLAIN][asked] = _plain_odds(predictions, fit.weights)
        found[SOUND][asked] = stacked_odds(fit.by_sound, predictions, fit.weights, groups, 0.0)
        if clips.items is not None:
            found[ITEM][asked] = found[SOUND][asked]
        if clips.items is not None and fit.by_item is not None:
            hard, known = _item_facts(clips.labels, clips.items, ~asked, asked)
            told = stacked_odds(fit.by_item, predictions, fit.weights, groups, hard)
            found[ITEM][asked] = np.where(known, told, found[SOUND][asked])
    return found


def _calibrations(
    clips: _Clips, fits: Sequence[tuple[Mask, _Fit]], taken: Candidate, odds: Values, judge: "_Judge"
) -> list[Candidate]:
    """The same blend calibrated in each way, cross-fitted."""
    found = []
    for name, by_task in CALIBRATIONS.items():
        scores = np.empty(len(odds))
        for asked, fit in fits:
            calibration = fit_calibration(clips.labels[~asked], fit.odds[taken.name], clips.tasks[~asked], by_task)
            scores[asked] = calibrated(calibration, odds[asked], clips.tasks[asked])
        found.append(judge.candidate(f"{taken.name}, {name}", scores, taken.scores))
    return found


def _take(candidates: Sequence[Candidate], kind: Kind) -> Candidate:
    """The candidates come with the simplex first, and with what is told most last."""
    if kind == "simplex":
        return candidates[0]
    return candidates[-1] if kind == "stack" else _best(candidates)


def _best(candidates: Sequence[Candidate]) -> Candidate:
    """Of those that are clearly better than the first the one of the lowest loss; else the first."""
    better = [one for one in candidates[1:] if one.difference is not None and one.difference.high < 0]
    return min(better, key=lambda one: one.log_loss, default=candidates[0])


def _correction(fit: _Fit, name: str) -> Correction:
    """All but the item table and the calibration."""
    return {
        PLAIN: SIMPLEX,
        SOUND: Correction(fit.by_sound),
        ITEM: Correction(fit.by_sound, fit.by_item),
    }[name]


class _Judge:
    """Compares scores, on the same draws of units."""

    def __init__(self, labels: Values, units: NDArray[np.intp]) -> None:
        self._labels, self._units = labels, units
        self._sizes = np.bincount(units).astype(np.float64)
        self._counts = draw_counts(np.arange(len(self._sizes)))

    def compare(self, scores: dict[str, Values]) -> list[Candidate]:
        """The candidates, the first without a difference."""
        first = next(iter(scores.values()))
        return [self.candidate(name, found, None if found is first else first) for name, found in scores.items()]

    def candidate(self, name: str, scores: Values, other: Values | None) -> Candidate:
        difference = None if other is None else self._difference(scores, other)
        return Candidate(name, scores, log_loss(self._labels, scores), difference)

    def _difference(self, scores: Values, other: Values) -> Estimate:
        differences = clip_losses(self._labels, scores) - clip_losses(self._labels, other)
        by_unit = np.column_stack([np.bincount(self._units, differences), self._sizes])
        sums = weighted_sums(by_unit, self._counts)
        draws = divide(sums[:, 0], sums[:, 1])
        if len(self._sizes) < ENOUGH_UNITS:
            return Estimate(float(differences.mean()), float("nan"), float("nan"), draws)
        return estimate(float(differences.mean()), draws)
