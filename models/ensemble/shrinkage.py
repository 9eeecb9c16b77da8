"""Logistic regression around an offset, whose coefficients are shrunk towards 0 as strongly as the data say.

Coefficients come in blocks, each with a normal prior of its own width; the widths maximise the evidence (MacKay 1992, Neural
Computation 4:415). A block that explains nothing gets a width of almost nothing, so that the offset is left as it is.
"""

from collections.abc import Sequence

import numpy as np

from models.ensemble.metrics import Values, expit

_MOST_STEPS = 60
_STEPS_OF_PRECISIONS = 10  # in each of these
_TOLERANCE, _PRECISION_TOLERANCE = 1e-3, 0.05  # of a coefficient; of a precision's logarithm
_NOTHING, _MOST_PRECISION = 1e4, 1e9  # precisions: of a block that is as good as left out, and the highest
_LARGEST_STEP = 4.0  # of a clip's log-odds


def fit_shrunk(labels: Values, offset: Values, columns: Values, blocks: Sequence[int]) -> Values:
    """The coefficients of `columns` in log-odds of `offset + columns @ coefficients` [shape=(columns,)].

    Parameters
    ----------
    labels, offset : [shape=(clips,)]
    columns : [shape=(clips, columns)]
    blocks
        The block of each column, from 0 without gaps [shape=(columns,)].
    """
    block = np.asarray(blocks)
    found, precisions = np.zeros(columns.shape[1]), np.ones(block.max() + 1)
    odds, weighted = offset, np.empty_like(columns)  # of some megabytes, which each step would else be given anew
    for _ in range(_MOST_STEPS):
        rights = expit(odds)
        np.multiply(columns, np.sqrt(rights * (1 - rights))[:, None], out=weighted)
        curvature = weighted.T @ weighted
        pull = curvature @ found + columns.T @ (labels - rights)
        before, (aim, precisions) = precisions, _aim(curvature, pull, precisions, block)
        step = aim - found
        moved = columns @ step
        part = min(1.0, _LARGEST_STEP / max(np.abs(moved).max(), 1e-12))
        found, odds = found + part * step, odds + part * moved
        if np.abs(step).max() < _TOLERANCE and _is_settled(before, precisions):
            break
    return found


def _aim(curvature: Values, pull: Values, precisions: Values, block: np.ndarray) -> tuple[Values, Values]:
    """The coefficients that are best where the likelihood is a parabola, and the precisions of most evidence there.

    These settle slowly, and here each step of theirs needs no clip.
    """
    for _ in range(_STEPS_OF_PRECISIONS):
        inverse = np.asarray(np.linalg.inv(curvature + np.diag(precisions[block])), np.float64)
        aim = inverse @ pull
        before, precisions = precisions, _precisions(aim, inverse, precisions, block)
        if _is_settled(before, precisions):
            break
    return aim, precisions


def _is_settled(before: Values, precisions: Values) -> bool:
    settled = np.abs(np.log(precisions / before)) < _PRECISION_TOLERANCE
    return bool((settled | (precisions >= _NOTHING)).all())


def _precisions(found: Values, inverse: Values, before: Values, block: np.ndarray) -> Values:
    """What maximises the evidence: of each block the coefficients that the data decide, by their sum of squares."""
    size = np.bincount(block)
    decided = size - before * np.bincount(block, np.diag(inverse))
    return np.clip(decided / np.maximum(np.bincount(block, found**2), 1e-12), 1e-3, _MOST_PRECISION)
