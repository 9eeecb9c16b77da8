"""Calibration: slope and intercept of the log-odds, one for all tasks or one for each, and a floor under every doubt.

p = floor + (1 - 2 floor) · sigmoid(slope · log-odds + intercept), the likelihood of labels of which a share `floor` is wrong
whatever was said. All of it is fitted together; models that fit a small training set too well get a floor that says so.
"""

from dataclasses import dataclass

import numpy as np
import scipy  # its parts are imported at their first use

from models.clips.groups import TASKS
from models.ensemble.metrics import Values, expit, logit
from models.ensemble.stack import MOST_CERTAIN

MOST_FLOOR = 0.2
_SLOPES, _INTERCEPTS = (0.05, 5.0), (-5.0, 5.0)


@dataclass(frozen=True)
class Calibration:
    """slopes and intercepts by task; floor in [0, MOST_FLOOR]."""

    slopes: dict[str, float]
    intercepts: dict[str, float]
    floor: float


def fit_calibration(
    labels: Values, odds: Values, tasks: np.ndarray, by_task: bool, floors: tuple[float, float] = (0.0, MOST_FLOOR)
) -> Calibration:
    """The calibration of most likelihood.

    Parameters
    ----------
    labels, odds : [shape=(clips,)]
    tasks
        The place of each clip's task in TASKS [shape=(clips,)].
    by_task
        One slope and intercept for each task; a task without clips keeps its log-odds.
    floors
        Between which the floor lies.
    """
    odds = _limited(odds)
    places = tasks if by_task else np.zeros_like(tasks)
    n = len(TASKS) if by_task else 1
    start = np.concatenate([np.ones(n), np.zeros(n), [min(max(0.001, floors[0]), floors[1])]])
    bounds = [_SLOPES] * n + [_INTERCEPTS] * n + [floors]
    found = scipy.optimize.minimize(_loss, start, (labels, odds, places, n), "L-BFGS-B", jac=True, bounds=bounds).x
    slopes, intercepts = (np.broadcast_to(found[part], len(TASKS)).tolist() for part in (slice(n), slice(n, 2 * n)))
    return Calibration(
        dict(zip(TASKS, slopes, strict=True)), dict(zip(TASKS, intercepts, strict=True)), float(found[-1])
    )


def calibrated(calibration: Calibration, odds: Values, tasks: np.ndarray) -> Values:
    """Probabilities [shape=(clips,)]; arguments as of `fit_calibration`."""
    slopes, intercepts = (
        np.array([each[task] for task in TASKS]) for each in (calibration.slopes, calibration.intercepts)
    )
    floor = calibration.floor
    probabilities: Values = floor + (1 - 2 * floor) * expit(slopes[tasks] * _limited(odds) + intercepts[tasks])
    return probabilities


def _limited(odds: Values) -> Values:
    """No further from 0 than a stack takes a model's to be."""
    most = float(logit(np.array(1 - MOST_CERTAIN)))
    return np.clip(odds, -most, most)


def _loss(found: Values, labels: Values, odds: Values, places: np.ndarray, n: int) -> tuple[float, Values]:
    """The mean log loss and its gradient by slopes, intercepts and floor."""
    floor = found[-1]
    signs = np.where(labels > 0.5, 1.0, -1.0)
    clean = expit(signs * (found[places] * odds + found[n + places]))  # of the true label
    right = np.maximum(floor + (1 - 2 * floor) * clean, 1e-12)
    lost = -1 / (right * len(labels))
    by_odds = signs * lost * (1 - 2 * floor) * clean * (1 - clean)
    gradient = (np.bincount(places, by_odds * odds, n), np.bincount(places, by_odds, n), lost @ (1 - 2 * clean))
    return float(-np.log(right).mean()), np.hstack(gradient)
