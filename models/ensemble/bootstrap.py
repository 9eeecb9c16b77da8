"""Bootstrap intervals (Efron & Tibshirani 1993), quick enough for 1,000 draws of 40,000 clips and many models.

A draw is how often each clip counts, so every figure of a draw is a weighted one, and sums over all draws are one product of
matrices. What is drawn are units: clips, or speakers with all their clips where it is known who speaks.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models.ensemble.metrics import Values

N_DRAWS = 1000
_LEVEL = 95.0  # % of an interval
_MANY_UNITS = 10_000  # a multinomial draw looks at each unit, in which drawing them one by one is eight times as fast
_BLOCK = 100  # draws at a time, so that what is gathered for them stays in the cache
_MOST_UNDEFINED = 0.05  # share of the draws; an interval that says nothing of more of them would mislead

Counts = NDArray[np.float32]
Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Estimate:
    """A figure with its interval; NaN where it is not defined.

    Attributes
    ----------
    draws
        The figure in each draw [shape=(draws,)].
    """

    value: float
    low: float
    high: float
    draws: Values = field(repr=False, compare=False)


@dataclass(frozen=True)
class Bootstrap:
    """Draws of all clips of the report.

    Attributes
    ----------
    units
        The unit of each clip [shape=(clips,)].
    counts
        How often each draw holds it [shape=(clips, draws)].
    """

    units: Rows
    counts: Counts

    def of(self, rows: Rows) -> Counts:
        return self.counts[rows]

    def number_of_units(self, rows: Rows) -> int:
        return len(np.unique(self.units[rows]))


def bootstrap(units: Rows, n_draws: int = N_DRAWS, seed: int = 0) -> Bootstrap:
    """Draw all clips of a report.

    Parameters
    ----------
    units
        The unit of each clip, from 0 without gaps [shape=(clips,)].
    """
    return Bootstrap(units, draw_counts(units, n_draws, seed))


def draw_counts(units: Rows, n_draws: int = N_DRAWS, seed: int = 0) -> Counts:
    """How often each clip is drawn: as often as its unit.

    Parameters
    ----------
    units
        The unit of each clip, from 0 without gaps [shape=(clips,)].

    Returns
    -------
    Counts
        Whole numbers, as float32 [shape=(clips, draws)].
    """
    n_units, rng = int(units.max()) + 1, np.random.default_rng(seed)
    drawn = np.empty((n_draws, n_units), np.float32)
    for counts in drawn:
        if n_units > _MANY_UNITS:
            counts[:] = np.bincount(rng.integers(0, n_units, n_units), minlength=n_units)
        else:
            counts[:] = rng.multinomial(n_units, np.full(n_units, 1 / n_units))
    return drawn.T if np.array_equal(units, np.arange(n_units)) else drawn.T[units]


def weighted_sums(columns: Values, counts: Counts | Values) -> Values:
    """The sum of each column over the clips of each draw.

    Parameters
    ----------
    columns : [shape=(clips, columns)]

    Returns
    -------
    [shape=(draws, columns)]
        To the precision of `counts`.
    """
    return np.asarray(counts.T @ columns.astype(counts.dtype), np.float64)


def weighted_auc(labels: Values, predictions: Values, counts: Counts) -> Values:
    """AUC of each draw: the share of pairs of a right and a wrong answer in which the right one scores higher, ties half.

    Returns
    -------
    [shape=(draws,)]
        NaN where a draw has answers of one kind only.
    """
    order = np.argsort(predictions, kind="stable")
    right, wrong = order[labels[order] > 0.5], order[labels[order] <= 0.5]
    below = np.searchsorted(predictions[wrong], predictions[right], "left")
    not_above = np.searchsorted(predictions[wrong], predictions[right], "right")
    found = np.empty(counts.shape[1])
    for start in range(0, counts.shape[1], _BLOCK):
        block = slice(start, start + _BLOCK)
        wrongs = np.zeros((len(wrong) + 1, counts[:, block].shape[1]), np.float32)
        np.cumsum(counts[wrong, block], axis=0, out=wrongs[1:])
        beaten = wrongs[below] if np.array_equal(below, not_above) else (wrongs[below] + wrongs[not_above]) / 2
        rights = counts[right, block]
        won = np.einsum("ij,ij->j", rights, beaten, dtype=np.float64)
        found[block] = divide(won, rights.sum(axis=0, dtype=np.float64) * wrongs[-1])
    return found


def divide(numerator: Values, denominator: Values) -> Values:
    """NaN where there is nothing to divide by."""
    denominator = np.broadcast_to(denominator, np.shape(numerator))
    return np.divide(numerator, denominator, out=np.full(np.shape(numerator), np.nan), where=denominator > 0)


def estimate(value: float, draws: Values, centred: bool = False) -> Estimate:
    """A figure with the percentiles of its draws.

    Parameters
    ----------
    centred
        Move the draws to the figure first, for figures that grow by drawing, such as the calibration error.
    """
    undefined = np.isnan(draws).mean()
    if np.isnan(value) or undefined > _MOST_UNDEFINED:
        return Estimate(value, float("nan"), float("nan"), draws)
    moved = draws - np.nanmean(draws) + value if centred else draws
    low, high = np.nanpercentile(moved, ((100 - _LEVEL) / 2, (100 + _LEVEL) / 2))
    return Estimate(value, float(low), float(high), draws)


def simultaneous(values: Values, draws: Values) -> list[Estimate]:
    """Intervals that hold all at once in 95 % of the cases, since of many separate ones some fail by chance.

    Each is the value ± c of its standard errors; c is the 95th percentile, over the draws, of the largest deviation of any
    value from its mean in standard errors (max-t; Westfall & Young 1993).

    Parameters
    ----------
    values : [shape=(n,)]
    draws : [shape=(n, draws)]
        A value with many undefined draws, or draws that never differ, has no interval.
    """
    usable = np.isfinite(values) & (np.isnan(draws).mean(axis=1) <= _MOST_UNDEFINED)
    errors = np.array([np.nanstd(own) if use else 0.0 for own, use in zip(draws, usable, strict=True)])
    usable &= errors > 1e-9
    width = np.full(len(values), np.nan)
    if usable.any():
        centred = draws[usable] - np.nanmean(draws[usable], axis=1, keepdims=True)
        largest = np.abs(np.nan_to_num(centred) / errors[usable, None]).max(axis=0)
        width[usable] = np.percentile(largest, _LEVEL) * errors[usable]
    parts = zip(values.tolist(), (values - width).tolist(), (values + width).tolist(), draws, strict=True)
    return [Estimate(*part) for part in parts]
