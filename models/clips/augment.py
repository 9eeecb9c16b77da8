"""Augmentation of magnitude spectrograms, for training only.

The model sees log-mel magnitudes, never phases, so a time stretch or a pitch shift need not go through a waveform: it is
an interpolation of the spectrogram that has to be computed anyway. Each transform takes magnitudes, float32
[shape=(201, frames)], and a generator, and returns new magnitudes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from models.clips.features import HOP_LENGTH, stft
from models.errors import InputError
from models.speech.samples import SAMPLE_RATE_HZ

LEAST_DB = -120.0  # of a range in decibels


def check_range(name: str, low: float, high: float, least: float = 0.0) -> None:
    """Raises InputError where a range is not in order, not finite, or begins below `least`."""
    if not least <= low <= high < math.inf:
        raise InputError(
            f"augmentation range of {name}: {low} to {high} must be ordered, finite and at least {least:g}"
        )


class Transform(Protocol):
    def __call__(self, magnitudes: Tensor, rng: np.random.Generator) -> Tensor: ...


@dataclass(frozen=True)
class PitchShift:
    """Scale the frequency axis by a factor drawn evenly in semitones; the duration stays.

    Power is divided by the factor, so that a harmonic that the interpolation widened keeps its energy.
    """

    max_semitones: float = 5.0

    def __post_init__(self) -> None:
        check_range("max_semitones", 0.0, self.max_semitones)

    def __call__(self, magnitudes: Tensor, rng: np.random.Generator) -> Tensor:
        factor = 2.0 ** (rng.uniform(-self.max_semitones, self.max_semitones) / 12)
        n_bins = magnitudes.shape[0]
        source = torch.arange(n_bins) / factor
        shifted = _interpolate_rows(magnitudes, source.clamp(max=n_bins - 1))
        shifted[source > n_bins - 1] = 0.0
        return shifted / factor**0.5


@dataclass(frozen=True)
class TimeStretch:
    """Play at a rate drawn evenly; above 1 is faster. The interpolation is the phase vocoder's, without its phases."""

    min_rate: float = 0.7
    max_rate: float = 1.3

    def __post_init__(self) -> None:
        check_range("rate", self.min_rate, self.max_rate)

    def __call__(self, magnitudes: Tensor, rng: np.random.Generator) -> Tensor:
        rate = rng.uniform(self.min_rate, self.max_rate)
        n_frames = magnitudes.shape[1]
        source = torch.arange(max(1, round(n_frames / rate))) * rate
        return _interpolate_rows(magnitudes.T, source.clamp(max=n_frames - 1)).T.contiguous()


@dataclass(frozen=True)
class WhiteNoise:
    """Add white noise of a standard deviation given in units of the waveform.

    The noise goes through a transform of its own and is added as complex numbers: its phase is even over the circle, so
    the missing phase of the speech makes no difference to the distribution of the sum's magnitude.
    """

    standard_deviation: float = 0.03

    def __post_init__(self) -> None:
        check_range("standard_deviation", 0.0, self.standard_deviation)

    def __call__(self, magnitudes: Tensor, rng: np.random.Generator) -> Tensor:
        n_frames = magnitudes.shape[1]
        n_samples = max(n_frames, 3) * HOP_LENGTH  # the transform reflects at its ends and needs a window's length
        noise = rng.standard_normal(n_samples, dtype=np.float32) * np.float32(self.standard_deviation)
        return (magnitudes + stft(torch.from_numpy(noise))[:, :n_frames]).abs()


@dataclass(frozen=True)
class Gain:
    """Multiply by a factor drawn evenly."""

    min_factor: float = 0.7
    max_factor: float = 1.3

    def __post_init__(self) -> None:
        check_range("factor", self.min_factor, self.max_factor)

    def __call__(self, magnitudes: Tensor, rng: np.random.Generator) -> Tensor:
        return magnitudes * rng.uniform(self.min_factor, self.max_factor)


@dataclass(frozen=True)
class BandLimit:
    """Only a band of frequencies: a telephone's, or what is left of a low sampling rate; beyond it 12 dB less every 100 Hz.

    Parameters
    ----------
    bands_hz
        From and to, each band as likely as the others.
    """

    bands_hz: tuple[tuple[float, float], ...] = ((300, 3400), (200, 3000), (0, 4000), (0, 5500), (50, 7000))

    def __post_init__(self) -> None:
        if not self.bands_hz:
            raise InputError("augmentation bands_hz: (): at least one band is needed")
        for low_hz, high_hz in self.bands_hz:
            check_range("band in Hz", low_hz, high_hz)

    def __call__(self, magnitudes: Tensor, rng: np.random.Generator) -> Tensor:
        low_hz, high_hz = self.bands_hz[int(rng.integers(len(self.bands_hz)))]
        frequencies_hz = np.linspace(0, SAMPLE_RATE_HZ / 2, magnitudes.shape[0])
        beyond_hz = np.maximum(low_hz - frequencies_hz, frequencies_hz - high_hz).clip(0, 1000)
        return magnitudes * torch.from_numpy((10 ** (-12 * beyond_hz / 100 / 20)).astype(np.float32))[:, None]


@dataclass(frozen=True)
class Level:
    """Softer or louder, drawn evenly in dB."""

    min_db: float = -12.0
    max_db: float = 6.0

    def __post_init__(self) -> None:
        check_range("level in dB", self.min_db, self.max_db, LEAST_DB)

    def __call__(self, magnitudes: Tensor, rng: np.random.Generator) -> Tensor:
        return magnitudes * 10 ** (rng.uniform(self.min_db, self.max_db) / 20)


@dataclass(frozen=True)
class SpanMask:
    """Silence a few spans of time, anywhere in the clip."""

    min_spans: int = 1
    max_spans: int = 6
    min_fraction: float = 0.025
    max_fraction: float = 0.075

    def __post_init__(self) -> None:
        check_range("spans", self.min_spans, self.max_spans)
        check_range("fraction", self.min_fraction, self.max_fraction)

    def __call__(self, magnitudes: Tensor, rng: np.random.Generator) -> Tensor:
        n_frames = magnitudes.shape[1]
        masked = magnitudes.clone()
        for _ in range(rng.integers(self.min_spans, self.max_spans, endpoint=True)):
            width = max(1, round(n_frames * rng.uniform(self.min_fraction, self.max_fraction)))
            start = rng.integers(0, n_frames - width, endpoint=True)
            masked[:, start : start + width] = 0.0
        return masked


@dataclass(frozen=True)
class Chain:
    """Apply each transform with a probability of its own, in order."""

    transforms: Sequence[Transform]
    probability: float = 0.4

    @property
    def changes_nothing(self) -> bool:
        """Asked of the chain itself: a loading process may hold a copy, which is no more the one that stands here."""
        return not self.transforms

    def __call__(self, magnitudes: Tensor, rng: np.random.Generator) -> Tensor:
        for transform in self.transforms:
            if rng.random() < self.probability:
                magnitudes = transform(magnitudes, rng)
        return magnitudes


_WAVEFORM_EFFECTS = (TimeStretch(), WhiteNoise(), Gain())
_NOTHING = Chain(())

# What each setting of `Recipe.augment` does to the reference and to the response.
AUGMENTATIONS: dict[str, tuple[Chain, Chain]] = {
    "none": (_NOTHING, _NOTHING),
    "response": (_NOTHING, Chain((PitchShift(), *_WAVEFORM_EFFECTS))),
    "rooms": (_NOTHING, Chain((PitchShift(), *_WAVEFORM_EFFECTS, BandLimit(), Level()))),  # and `rooms.ROOMS` before
    "both": (Chain((*_WAVEFORM_EFFECTS, SpanMask())), Chain((PitchShift(), *_WAVEFORM_EFFECTS, SpanMask()))),
}


def _interpolate_rows(values: Tensor, positions: Tensor) -> Tensor:
    """Rows of `values` [shape=(n, m)] at fractional row `positions` [shape=(k,)], linearly: [shape=(k, m)]."""
    lower = positions.floor().long()
    upper = (lower + 1).clamp(max=values.shape[0] - 1)
    return torch.lerp(values[lower], values[upper], (positions - lower).to(values.dtype)[:, None])
