"""How many labels are wrong: what is to be reached under noise, and what the models' contradictions say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import logit

from models.ensemble.bootstrap import Bootstrap, Counts, Estimate, divide, draw_counts, estimate, weighted_sums
from models.ensemble.calibration import MOST_FLOOR, calibrated, fit_calibration
from models.ensemble.metrics import Values, clip_losses, clip_probabilities
from models.report.held_out import Clips, Predictions

SHARES = (0.02, 0.05, 0.08)
SUREST = 0.25  # of the clips
EXTREME = 0.05  # of the clips: those of the texts that nearly everybody, or nearly nobody, gets right
MANY = 20  # clips of a text that is known well enough
_GRID = 30  # floors that are tried
_LIKELY = 1.92  # nats below the largest likelihood: 95 % of a chi-squared distribution of one degree, halved


@dataclass(frozen=True)
class LabelNoise:
    """What is known of the labels' noise.

    Attributes
    ----------
    best
        By share of wrong labels, the log loss of one who knows the truth.
    floor
        Share of labels that contradict the scores however sure these are, as makes the labels most likely; and between which
        it is about as likely.
    sure_clips, contradicted
        The clips of which all models are surest together; the share of them whose label says otherwise.
    by_texts
        Share of the rarer label in the most extreme texts; None where there are no texts with clips enough.
    """

    best: dict[float, float]
    floor: tuple[float, float, float]
    sure_clips: int
    contradicted: Estimate
    by_texts: Estimate | None


def label_noise(
    main: Predictions, models: list[Predictions], clips: Clips, texts: Mapping[str, str], draws: Bootstrap
) -> LabelNoise:
    """Estimate the noise from three sides, each of which counts something else as wrong labels too, but needs no truth.

    Parameters
    ----------
    texts
        The expected text by file name; empty where they are not known.
    """
    places, said = _surest(main, models)
    contradictions = (said != (main.labels[places] > 0.5)).astype(np.float64)
    names = [clips.filenames[row] for row in main.rows.tolist()]
    return LabelNoise(
        best={share: noise_entropy(share) for share in SHARES},
        floor=_floor(main),
        sure_clips=len(contradictions),
        contradicted=_share(contradictions, draws.of(main.rows[places])),
        by_texts=rarer_labels(main.labels, [texts[name] for name in names]) if texts else None,
    )


def rarer_labels(labels: Values, texts: Sequence[str]) -> Estimate | None:
    """The share of the rarer label in the texts that nearly everybody, or nearly nobody, gets right: no more can be wrong there.

    Which texts these are, and which label is the rarer, is read off every second of their clips, the share off the others.
    """
    codes = np.unique(texts, return_inverse=True)[1]
    shown, asked = (np.isin(_place_in_text(codes) % 2, part) for part in (0, 1))
    clips, rights = (np.bincount(codes[shown], of[shown], codes.max() + 1) for of in (np.ones(len(labels)), labels))
    share = (rights + 0.5) / (clips + 1)
    known = np.flatnonzero(clips >= MANY / 2)
    order = known[np.argsort(np.minimum(share, 1 - share)[known], kind="stable")]
    covered = np.cumsum(np.bincount(codes, minlength=len(clips))[order])
    chosen = order[: int(np.searchsorted(covered, EXTREME * len(labels))) + 1]
    rows = np.flatnonzero(asked & np.isin(codes, chosen))
    if not len(rows):
        return None
    rarer = ((labels[rows] > 0.5) != (share[codes[rows]] > 0.5)).astype(np.float64)
    return _share(rarer, draw_counts(np.unique(codes[rows], return_inverse=True)[1]))


def _place_in_text(codes: np.ndarray) -> np.ndarray:
    """How many clips of the same text come before each."""
    order = np.argsort(codes, kind="stable")
    starts = np.concatenate([[0], np.flatnonzero(np.diff(codes[order])) + 1])
    places = np.arange(len(codes)) - np.repeat(starts, np.diff([*starts, len(codes)]))
    return places[np.argsort(order, kind="stable")]


def noise_entropy(share: float) -> float:
    """The log loss of one who knows which answers are right, where so many labels are wrong at random."""
    return float(-(share * np.log(share) + (1 - share) * np.log1p(-share)))


def _surest(main: Predictions, models: list[Predictions]) -> tuple[np.ndarray, np.ndarray]:
    """The places of the clips that even the least sure model is surest of, all saying the same; and what they say."""
    n_clips = max(int(model.rows.max()) for model in [main, *models]) + 1
    low, high = np.ones(n_clips), np.zeros(n_clips)
    for model in models:
        low[model.rows] = np.minimum(low[model.rows], model.scores)
        high[model.rows] = np.maximum(high[model.rows], model.scores)
    right, wrong = low[main.rows] - 0.5, 0.5 - high[main.rows]
    certainty = np.maximum(right, wrong)
    places = np.argsort(-certainty, kind="stable")[: max(1, round(SUREST * len(certainty)))]
    places = places[certainty[places] > 0]
    return places, right[places] > wrong[places]


def _share(found: Values, counts: Counts) -> Estimate:
    if not len(found):
        return Estimate(float("nan"), float("nan"), float("nan"), np.zeros(0))
    sums = weighted_sums(np.column_stack([found, np.ones(len(found))]), counts)
    return estimate(float(found.mean()), divide(sums[:, 0], sums[:, 1]))


def _floor(main: Predictions) -> tuple[float, float, float]:
    """The floor of the calibration that is most likely, and between which it is about as likely."""
    odds: Values = logit(clip_probabilities(main.scores))
    places = np.zeros(len(odds), np.intp)
    found = fit_calibration(main.labels, odds, places, by_task=False)
    least = float(clip_losses(main.labels, calibrated(found, odds, places)).sum())

    def surprise(floor: float) -> float:
        fixed = fit_calibration(main.labels, odds, places, by_task=False, floors=(floor, floor))
        return float(clip_losses(main.labels, calibrated(fixed, odds, places)).sum())

    grid = np.linspace(0.0, 1.0, _GRID) ** 2 * MOST_FLOOR  # closer where floors are small
    likely = [floor for floor in grid.tolist() if surprise(floor) <= least + _LIKELY]
    return found.floor, min([*likely, found.floor]), max([*likely, found.floor])
