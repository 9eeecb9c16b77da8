"""How many clips a human must review to reach a given accuracy: the least certain first (El-Yaniv & Wiener 2010)."""

from dataclasses import dataclass

import numpy as np

from models.ensemble.bootstrap import Bootstrap, Counts, Estimate, estimate
from models.ensemble.metrics import Values
from models.report.held_out import Predictions

TARGETS = (0.90, 0.95, 0.97, 0.98, 0.99, 0.995)
_CURVE_POINTS = 101
_BLOCK = 100  # draws at a time


@dataclass(frozen=True)
class Curve:
    """Accuracy by the share of clips that are reviewed.

    Attributes
    ----------
    shares
        Share of clips reviewed [shape=(points,)].
    left, left_low, left_high
        Accuracy of the marks that are left to the models, with its interval; 1 where none is left.
    all_marks
        Accuracy of all marks, where the reviewer's are always right.
    """

    shares: Values
    left: Values
    left_low: Values
    left_high: Values
    all_marks: Values


@dataclass(frozen=True)
class Need:
    """What reaches a target accuracy.

    Attributes
    ----------
    all_marks
        The smallest share of clips to review so that all marks together reach it, where the reviewer is always right.
    left
        The smallest share so that the marks left to the models reach it.
    low, high
        For `all_marks`, the clips to review are those scored between these.
    """

    target: float
    all_marks: Estimate
    left: Estimate
    low: float
    high: float


@dataclass(frozen=True)
class Review:
    curve: Curve
    needs: list[Need]

    @property
    def next_need(self) -> Need:
        """The first target that is not reached without any review, or the last one."""
        return next((need for need in self.needs if need.all_marks.value > 0), self.needs[-1])


@dataclass(frozen=True)
class _Sums:
    """Clips and wrong marks that are reviewed at each cut, in each draw [shape=(cuts, draws)]. The last cut reviews all."""

    clips: Values
    errors: Values

    @property
    def shares(self) -> Values:
        return self.clips / self.clips[-1]

    @property
    def all_marks(self) -> Values:
        return 1 - (self.errors[-1] - self.errors) / self.clips[-1]

    @property
    def left(self) -> Values:
        kept = self.clips[-1] - self.clips
        return 1 - (self.errors[-1] - self.errors) / np.maximum(kept, 1e-9)

    def share_needed(self, accuracy: Values, target: float) -> Values:
        """The smallest share reviewed at which the accuracy is reached, in each draw."""
        first = (accuracy >= target - 1e-9).argmax(axis=0)
        return np.take_along_axis(self.shares, first[None], axis=0)[0]


def review(predictions: Predictions, draws: Bootstrap) -> Review:
    labels, scores = predictions.labels, predictions.scores
    certainty = np.abs(scores - 0.5)
    order = np.argsort(certainty, kind="stable")
    wrong = ((scores > 0.5) != (labels > 0.5))[order]
    # Clips of the same certainty are reviewed together: a cut lies where certainty rises, before the first and after the last.
    cuts = np.concatenate([[0], np.flatnonzero(np.diff(certainty[order]) > 0) + 1, [len(order)]])
    once = _sums_at(cuts, wrong, np.ones((len(order), 1), np.float32))
    own = draws.of(predictions.rows[order])
    points = np.unique(np.searchsorted(cuts / len(order), np.linspace(0, 1, _CURVE_POINTS)))
    drawn_left, needed = _draw(cuts, wrong, own, points)
    low, high = np.percentile(drawn_left, (2.5, 97.5), axis=1)
    curve = Curve(once.shares[points, 0], once.left[points, 0], low, high, once.all_marks[points, 0])
    return Review(curve, _needs(once, needed, certainty[order], cuts))


def _needs(once: _Sums, drawn: Values, certainty: Values, cuts: np.ndarray) -> list[Need]:
    """How much review each target needs.

    Parameters
    ----------
    drawn
        Shares needed by target, for all marks and for those left [shape=(targets, 2, draws)].
    """
    needs = []
    for target, (all_marks, left) in zip(TARGETS, drawn, strict=True):
        share = float(once.share_needed(once.all_marks, target)[0])
        reviewed = round(share * float(cuts[-1]))
        width = float(certainty[reviewed - 1]) if reviewed else 0.0
        needs.append(
            Need(
                target,
                estimate(share, all_marks),
                estimate(float(once.share_needed(once.left, target)[0]), left),
                0.5 - width,
                0.5 + width,
            )
        )
    return needs


def _draw(cuts: np.ndarray, wrong: np.ndarray, counts: Counts, points: np.ndarray) -> tuple[Values, Values]:
    """The accuracy left at some cuts [shape=(points, draws)], and the shares needed [shape=(targets, 2, draws)]."""
    lefts, needed = [], []
    for start in range(0, counts.shape[1], _BLOCK):
        sums = _sums_at(cuts, wrong, counts[:, start : start + _BLOCK])
        all_marks, left = sums.all_marks, sums.left
        lefts.append(left[points])
        needed.append([[sums.share_needed(kind, target) for kind in (all_marks, left)] for target in TARGETS])
    return np.concatenate(lefts, axis=1), np.concatenate([np.array(part) for part in needed], axis=2)


def _sums_at(cuts: np.ndarray, wrong: np.ndarray, counts: Counts) -> _Sums:
    nothing = np.zeros((1, counts.shape[1]), np.float32)
    clips, errors = (
        np.concatenate([nothing, np.cumsum(counted, axis=0)])[cuts] for counted in (counts, counts * wrong[:, None])
    )
    return _Sums(clips.astype(np.float64), errors.astype(np.float64))
