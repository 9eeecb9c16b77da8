"""Which checkpoints to take where there is time for some alone: those that add most to the blend per second.

What a model adds is the out-of-fold (OOF) log loss that the blend, its weights fitted anew, loses by it. What a further fold
of the same model adds can't be read off OOF predictions, since only one fold held each clip out. It averages away some of
the difference between folds, for which `_stand_ins` takes that between similar models.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.ensemble.blend import Blend, fit_weights, likelihoods
from models.ensemble.metrics import Values
from models.errors import InputError

Counts = NDArray[np.int64]  # folds of each model [shape=(models,)]

_LEAST_GAIN = 1e-7  # nats; less is the solver's own error


@dataclass(frozen=True)
class Selection:
    """folds and weights : of each chosen model; loss : OOF log loss, one fold per clip; seconds : of all checkpoints"""

    folds: dict[str, int]
    weights: dict[str, float]
    loss: float
    seconds: float


def select(blend: Blend, seconds: Mapping[str, float], most_folds: int, budget_seconds: float) -> Selection:
    """The models, and how many folds of each, whose blend is expected to be best within the time.

    Greedy: again and again the checkpoint that adds most per second, among those that still fit. Once begun with each of
    the models, since a cheap first step can block the way of a better one; the best end counts.

    seconds : of one checkpoint of each model of `blend`
    raises : InputError where not one checkpoint fits
    """
    search = _Search(blend, seconds, most_folds, budget_seconds)
    starts = [index for index in range(len(blend.models)) if search.costs[index] <= budget_seconds]
    if not starts:
        cheapest = min(seconds, key=lambda name: seconds[name])
        raise InputError(
            f"--time_budget_minutes: leaves {budget_seconds:.0f} s for checkpoints, and the cheapest, of {cheapest}, takes "
            f"{seconds[cheapest]:.0f} s; give more time, or --teraflops as measured where it runs"
        )
    counts = min((search.grow(start) for start in starts), key=search.expected_loss)
    chosen = np.flatnonzero(counts)
    weights = search.weights(counts)
    return Selection(
        folds={blend.models[index]: int(counts[index]) for index in chosen},
        weights={blend.models[index]: float(weights[index]) for index in chosen},
        loss=search.loss(counts),
        seconds=float(counts @ search.costs),
    )


class _Search:
    """The states of the search, and what they are worth."""

    def __init__(self, blend: Blend, seconds: Mapping[str, float], most_folds: int, budget_seconds: float) -> None:
        self.costs = np.array([seconds[name] for name in blend.models])
        self._blend = blend
        self._likelihoods = likelihoods(blend.labels, blend.predictions)
        self._stand_ins = _stand_ins(self._likelihoods)
        self._most_folds, self._budget = most_folds, budget_seconds
        self._fitted: dict[bytes, Values] = {}

    def grow(self, start: int) -> Counts:
        """From one fold of the model `start` until nothing more fits or helps."""
        counts = np.zeros(len(self.costs), np.int64)
        counts[start] = 1
        while True:
            left = self._budget - counts @ self.costs
            open_models = np.flatnonzero((counts < self._most_folds) & (self.costs <= left)).tolist()
            gains = {index: self._gain(counts, index) for index in open_models}
            helpful = {index: gain / self.costs[index] for index, gain in gains.items() if gain > _LEAST_GAIN}
            if not helpful:
                return counts
            counts = _with_fold(counts, max(helpful, key=lambda index: helpful[index]))
            counts = np.where(self.weights(counts) > 0, counts, 0)  # what another model replaced gives its time back

    def expected_loss(self, counts: Counts) -> float:
        """The OOF log loss of the fitted blend, less what averaging over the folds of each model is expected to gain."""
        gained = [
            _averaged(counts[index]) * self._variation(counts, index) for index in np.flatnonzero(counts > 1).tolist()
        ]
        return self.loss(counts) - sum(gained)

    def _gain(self, counts: Counts, index: int) -> float:
        """What one fold more of a model is expected to take off the log loss."""
        more = _with_fold(counts, index)
        if counts[index] == 0:
            return self.loss(counts) - self.loss(more)
        return (_averaged(more[index]) - _averaged(counts[index])) * self._variation(counts, index)

    def _variation(self, counts: Counts, index: int) -> float:
        """How much log loss the differences between a model's folds cost the blend.

        With a stand-in for a second fold, what is gained by averaging the two is how far the loss of their mean lies below
        the mean of their losses (Jensen's inequality); that takes off half the variance.
        """
        weights = self.weights(counts)
        first = self._likelihoods @ weights
        second = first + weights[index] * (self._stand_ins[:, index] - self._likelihoods[:, index])
        return 2.0 * float(np.log((first + second) / 2.0 / np.sqrt(first * second)).mean())

    def loss(self, counts: Counts) -> float:
        return -float(np.log(self._likelihoods @ self.weights(counts)).mean())

    def weights(self, counts: Counts) -> Values:
        """Fitted on the chosen models, 0 for the others [shape=(models,)]."""
        chosen = counts > 0
        key = chosen.tobytes()
        if key not in self._fitted:
            weights = np.zeros(len(counts))
            weights[chosen] = fit_weights(self._blend.labels, self._blend.predictions[:, chosen])
            self._fitted[key] = weights
        return self._fitted[key]


def _with_fold(counts: Counts, index: int) -> Counts:
    more = counts.copy()
    more[index] += 1
    return more


def _averaged(folds: int) -> float:
    """The part of a variance that averaging so many folds takes off."""
    return 1.0 - 1.0 / folds


def _stand_ins(right: Values) -> Values:
    """For each model, predictions that could be another fold's: those of the model that is most alike.

    Two models that were trained on the same clips differ by what two folds of one model differ by, and by their kinds; the
    most similar one is the closest that OOF predictions come to another fold. A single model has no other, and then the
    choice does not depend on it.
    """
    n_models = right.shape[1]
    if n_models == 1:
        return 1.0 - np.sqrt(1.0 - right)
    distances = np.array([np.square(right - right[:, [index]]).mean(axis=0) for index in range(n_models)])
    np.fill_diagonal(distances, np.inf)
    return right[:, distances.argmin(axis=1)]
