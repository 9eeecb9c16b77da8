"""Figures for predictions: log loss, AUC, accuracy, calibration."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

N_BINS = 20  # of predictions, of equal width: thresholds at multiples of 0.05 can be judged exactly
SMALLEST_PROBABILITY = 1e-7  # far enough from 0 and 1 for a finite loss, and exact in float32
_LARGEST_EXPONENT = 700.0  # of a float64


def expit(log_odds: Values) -> Values:
    """Probabilities of log-odds, in float64; by numpy alone, since `scipy.special` takes half a second to import."""
    probabilities: Values = 1.0 / (1.0 + np.exp(np.minimum(-np.asarray(log_odds, dtype=np.float64), _LARGEST_EXPONENT)))
    return probabilities


def logit(probabilities: Values) -> Values:
    """Log-odds of probabilities inside (0, 1)."""
    log_odds: Values = np.log(probabilities) - np.log1p(-probabilities)
    return log_odds


def sigmoid(logits: Values) -> Values:
    """Probabilities inside (0, 1), in float64."""
    return clip_probabilities(expit(logits))


def clip_probabilities(probabilities: Values) -> Values:
    return np.clip(probabilities, SMALLEST_PROBABILITY, 1.0 - SMALLEST_PROBABILITY)


def clip_losses(labels: Values, probabilities: Values) -> Values:
    """The log loss of each clip, in nats."""
    right = np.where(labels > 0.5, probabilities, 1.0 - probabilities)
    return -np.log(np.maximum(right, SMALLEST_PROBABILITY))


def log_loss(labels: Values, probabilities: Values) -> float:
    return float(clip_losses(labels, probabilities).mean())


def base_rate_loss(labels: Values) -> float:
    """The log loss of always answering with the share of right answers: the prior that a model must beat."""
    rate = float(labels.mean())
    return -sum(p * math.log(p) for p in (rate, 1 - rate) if p > 0)


def calibration_bins(probabilities: Values) -> NDArray[np.int64]:
    """The bin of each; one on an edge belongs to the bin above it, as a threshold there decides."""
    return np.minimum((probabilities * N_BINS).astype(np.int64), N_BINS - 1)


def ece(labels: Values, probabilities: Values) -> float:
    """Expected calibration error (Guo et al. 2017): |mean probability - share right| by bin, weighted by clips."""
    bins = calibration_bins(probabilities)
    gaps = np.bincount(bins, weights=probabilities - labels, minlength=N_BINS)
    return float(np.abs(gaps).sum() / len(labels))


def ece_if_perfect(probabilities: Values, n_draws: int = 1000, seed: int = 0) -> tuple[float, float]:
    """Where 95 % of the calibration errors lie of labels that are drawn with these very probabilities.

    A bin's gap is about normal, as the sum of its clips'.
    """
    spreads = np.sqrt(np.bincount(calibration_bins(probabilities), probabilities * (1 - probabilities), N_BINS))
    gaps = np.abs(np.random.default_rng(seed).normal(0.0, 1.0, (n_draws, N_BINS)) * spreads).sum(axis=1)
    low, high = np.percentile(gaps / len(probabilities), (2.5, 97.5))
    return float(low), float(high)


@dataclass(frozen=True)
class Figures:
    """auc is NaN where all labels are the same."""

    clips: int
    log_loss: float
    auc: float
    accuracy: float


def figures(labels: Values, probabilities: Values) -> Figures:
    from sklearn.metrics import roc_auc_score  # a second to import, and scoring needs none

    both = len(np.unique(labels)) == 2
    return Figures(
        clips=len(labels),
        log_loss=log_loss(labels, probabilities),
        auc=float(roc_auc_score(labels, probabilities)) if both else float("nan"),
        accuracy=float(((probabilities > 0.5) == (labels > 0.5)).mean()),
    )
