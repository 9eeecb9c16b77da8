"""Where children are recorded: other voices, reverberation, telephone bands, overloaded microphones, distance.

On waveforms, where what happens is exact: a reverberant or clipped waveform has no simple magnitude. Bands and levels are changed
on the magnitudes (`augment.py`).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import scipy  # its parts are imported at their first use
from numpy.typing import NDArray

from models.clips.augment import LEAST_DB, check_range
from models.speech.samples import SAMPLE_RATE_HZ, Waveform

Recordings = Callable[[np.random.Generator], Waveform]  # one of them, drawn
OTHER_RECORDINGS = 128  # kept in memory by each loading process: 30 MB of clips of 4 s
_PROBABILITY = 0.4  # as of the transforms of magnitudes
_SILENCE = 1e-9  # mean square of samples: nothing can be set in proportion to it


@dataclass(frozen=True)
class Babble:
    """Several other recordings at once, each as loud as the others, at a signal-to-noise ratio drawn evenly in dB."""

    min_voices: int = 1
    max_voices: int = 4
    min_snr_db: float = 0.0
    max_snr_db: float = 20.0

    def __post_init__(self) -> None:
        check_range("voices", self.min_voices, self.max_voices, least=1)
        check_range("signal-to-noise ratio in dB", self.min_snr_db, self.max_snr_db, LEAST_DB)

    def __call__(self, waveform: Waveform, others: Recordings, rng: np.random.Generator) -> Waveform:
        n_voices = int(rng.integers(self.min_voices, self.max_voices, endpoint=True))
        voices = [_cut(others(rng), len(waveform), rng) for _ in range(n_voices)]
        noise = np.sum([voice / math.sqrt(_power(voice)) for voice in voices], axis=0)
        ratio = 10 ** (rng.uniform(self.min_snr_db, self.max_snr_db) / 10)
        return (waveform + noise * math.sqrt(_power(waveform) / (_power(noise) * ratio))).astype(np.float32)


@dataclass(frozen=True)
class Reverberation:
    """A simulated room: the direct sound, then noise that falls by 60 dB within its reverberation time (Polack 1988).

    The ratio of the direct to the reverberant sound's energy stands for the distance to the microphone. The answer is as loud as
    before.
    """

    min_rt60_seconds: float = 0.2
    max_rt60_seconds: float = 0.8
    min_direct_db: float = -3.0
    max_direct_db: float = 12.0
    delay_seconds: float = 0.002  # of the first reflection

    def __post_init__(self) -> None:
        check_range("reverberation time in seconds", self.min_rt60_seconds, self.max_rt60_seconds, least=0.01)
        check_range("direct-to-reverberant ratio in dB", self.min_direct_db, self.max_direct_db, LEAST_DB)

    def __call__(self, waveform: Waveform, others: Recordings, rng: np.random.Generator) -> Waveform:
        heard = scipy.signal.fftconvolve(waveform, self.response(rng))[: len(waveform)]
        return (heard * math.sqrt(_power(waveform) / _power(heard))).astype(np.float32)

    def response(self, rng: np.random.Generator) -> Waveform:
        """The room's impulse response at 16 kHz: float32 [shape=(n,)], its direct sound 1."""
        rt60_seconds = rng.uniform(self.min_rt60_seconds, self.max_rt60_seconds)
        direct = 10 ** (rng.uniform(self.min_direct_db, self.max_direct_db) / 20)
        seconds = np.arange(round(rt60_seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
        found = rng.standard_normal(len(seconds)) * 10 ** (-3 * seconds / rt60_seconds)
        found[seconds < self.delay_seconds] = 0.0
        found /= direct * np.sqrt((found**2).sum())
        found[0] = 1.0
        return found.astype(np.float32)


@dataclass(frozen=True)
class Clipping:
    """Samples beyond a share of the peak, drawn evenly in dB, are cut off, as where a microphone is too near."""

    min_db: float = 3.0
    max_db: float = 18.0

    def __post_init__(self) -> None:
        check_range("clipping in dB", self.min_db, self.max_db)

    def __call__(self, waveform: Waveform, others: Recordings, rng: np.random.Generator) -> Waveform:
        limit = np.float32(np.abs(waveform).max() * 10 ** (-rng.uniform(self.min_db, self.max_db) / 20))
        return waveform.clip(-limit, limit)


WaveformTransform = Callable[[Waveform, Recordings, np.random.Generator], Waveform]


@dataclass(frozen=True)
class Room:
    """Apply each transform with a probability of its own, in order: other voices are in the same room."""

    transforms: Sequence[WaveformTransform] = field(default=(Babble(), Reverberation(), Clipping()))
    probability: float = _PROBABILITY

    def __call__(self, waveform: Waveform, others: Recordings, rng: np.random.Generator) -> Waveform:
        for transform in self.transforms:
            if rng.random() < self.probability and _power(waveform) > _SILENCE:
                waveform = transform(waveform, others, rng)
        return waveform


ROOMS: dict[str, Room] = {"rooms": Room()}  # settings of `Recipe.augment` that have one


class OtherRecordings:
    """A few rows' recordings, to be heard behind those of other rows: each is read once, when it is first asked for.

    Which rows they are depends on the seed alone. A row never hears what was recorded for its own text behind it, itself least
    of all: that would make a wrong answer half right.

    Parameters
    ----------
    texts
        The expected text of each row.
    """

    def __init__(self, texts: Sequence[str], seed: int, n_clips: int = OTHER_RECORDINGS) -> None:
        self._texts, self._seed, self._n_clips = texts, seed, n_clips
        self._read: dict[int, Waveform] = {}

    @cached_property
    def _rows(self) -> list[int]:
        """Drawn when they are first asked for: most data sets never ask."""
        rows: list[int] = np.random.default_rng(self._seed).permutation(len(self._texts))[: self._n_clips].tolist()
        return rows

    def draw(self, row: int, read: Callable[[int], Waveform], rng: np.random.Generator) -> Waveform:
        """One of them; silence where all were asked for the text of `row`. `read` gives a row's recording."""
        rows = [other for other in self._rows if self._texts[other] != self._texts[row]]
        if not rows:
            return np.zeros(1, np.float32)
        chosen = rows[int(rng.integers(len(rows)))]
        if chosen not in self._read:
            self._read[chosen] = read(chosen)
        return self._read[chosen]


def _power(waveform: NDArray[np.floating]) -> float:
    return float(np.mean(np.square(waveform), dtype=np.float64)) + 1e-20


def _cut(waveform: Waveform, n_samples: int, rng: np.random.Generator) -> Waveform:
    """So many samples from anywhere in a recording, which begins anew where it ends."""
    start = int(rng.integers(len(waveform)))
    return np.resize(np.roll(waveform, -start), n_samples)
