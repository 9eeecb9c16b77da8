"""Pitches in a recording: whether something repeats itself as a voice does, and whether there are two voices at once."""

import numpy as np
from numpy.typing import NDArray

from models.speech.samples import SAMPLE_RATE_HZ

FRAME, HOP = 640, 320  # samples: 40 and 20 ms
PERIODS = np.arange(SAMPLE_RATE_HZ // 500, SAMPLE_RATE_HZ // 73)  # in samples, of voices from 73 to 500 Hz
HISTORY = int(PERIODS[-1])  # samples before a frame, with which it is compared
_VOICED = 0.6  # of an autocorrelation that is 1 for what repeats itself
_SECOND_VOICED = 0.7  # likewise, of what is left without the first pitch
_SECOND_DB = -8.0  # of what is left beside the whole: less is what one voice leaves that changes its pitch
_RELATED = 0.12  # periods whose ratio lies so near to a whole number may be one voice's
_SHORTER = (
    6e-4  # of the autocorrelation, taken off for each sample of a period: its double repeats itself nearly as well
)
_SILENCE = 1e-10

Frames = NDArray[np.float64]


def repetition(frames: Frames) -> Frames:
    """How well each frame repeats itself after each of the PERIODS: its autocorrelation over that of the window (Boersma 1993).

    Parameters
    ----------
    frames : [shape=(frames, HISTORY + FRAME)]

    Returns
    -------
    [shape=(frames, periods)]
        1 where it does wholly.
    """
    return _repetition(frames[:, HISTORY:])


def is_voiced(repeats: Frames) -> NDArray[np.bool_]:
    """Whether each frame repeats itself as a voice does: of its `repetition`."""
    return np.asarray(repeats.max(axis=1) > _VOICED)


def has_two_pitches(frames: Frames, repeats: Frames) -> NDArray[np.bool_]:
    """Whether much is left of each frame when the stronger pitch is taken away, which repeats itself with another period.

    What is a period ago is subtracted, by which a voice cancels itself and another one does not (de Cheveigné 1993).

    Parameters
    ----------
    frames : [shape=(frames, HISTORY + FRAME)]
    repeats
        Their `repetition`.
    """
    now = frames[:, HISTORY:]
    periods = PERIODS[(repeats - _SHORTER * (PERIODS - PERIODS[0])).argmax(axis=1)]
    places = HISTORY + np.arange(FRAME) - periods[:, None]
    rest = now - np.take_along_axis(frames, places, axis=1)
    left = (rest**2).sum(axis=1) / (2 * (now**2).sum(axis=1) + _SILENCE)
    ratios = np.maximum(PERIODS / periods[:, None], periods[:, None] / PERIODS)
    is_other = np.abs(ratios - np.round(ratios)) >= _RELATED
    second = np.where(is_other, _repetition(rest), 0.0).max(axis=1)
    return np.asarray((left > 10 ** (_SECOND_DB / 10)) & (second > _SECOND_VOICED))


def _repetition(frames: Frames) -> Frames:
    """[shape=(frames, FRAME)] -> [shape=(frames, periods)]"""
    window = np.hanning(FRAME)
    own = _autocorrelation(window[None])[0]
    found = _autocorrelation((frames - frames.mean(axis=1, keepdims=True)) * window)
    return np.asarray(found[:, PERIODS] / (found[:, :1] + _SILENCE) / (own[PERIODS] / own[0]))


def _autocorrelation(frames: Frames) -> Frames:
    """By the spectrum, padded so that nothing wraps around; [shape=(frames, lags)]."""
    length = frames.shape[1]
    return np.asarray(np.fft.irfft(np.abs(np.fft.rfft(frames, 2 * length)) ** 2)[:, :length])
