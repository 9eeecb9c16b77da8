"""What samples must be, wherever they come from: files, Python code, voices. And which of them are no answer."""

import numpy as np
from numpy.typing import NDArray

from models.errors import InputError

SAMPLE_RATE_HZ = 16_000
SILENCE_LEVEL = 1e-4  # -80 dB of full scale: what stays below it holds no speech
SHORTEST_SECONDS = 0.05  # of an answer
# Floats go beyond full scale where something was amplified, or an encoder rounded. Of 16-bit samples that were never scaled, even
# the softest that are not silent (three of 32768 steps) are as loud as that.
HIGHEST_PEAK = 4.0
_FULL_SCALES = (2**7, 2**15, 2**23, 2**31)  # of samples of 8, 16, 24 and 32 bits

Waveform = NDArray[np.float32]


def check_samples(samples: NDArray[np.floating]) -> None:
    """Raises InputError where they are not finite, or on another scale than [-1, 1]."""
    if not np.isfinite(samples).all():
        raise InputError("the audio holds NaN or infinite samples; convert it again from its source")
    peak = float(np.abs(samples).max(initial=0.0))
    if peak > HIGHEST_PEAK:
        scale = next((scale for scale in _FULL_SCALES if peak <= scale), peak)
        raise InputError(
            f"the audio's samples reach {peak:.6g}, where 1 is full scale; divide them by {scale:.6g}, or save them as integers"
        )


def is_silent(waveform: Waveform) -> bool:
    """Whether it never moves: a recording of nothing may lie beside zero."""
    return float(np.ptp(waveform)) / 2 < SILENCE_LEVEL if len(waveform) else True


def check_is_answer(waveform: Waveform) -> None:
    """One rule for what is scored, everywhere.

    Parameters
    ----------
    waveform : float32 [shape=(n,)]
        At 16 kHz.

    Raises
    ------
    InputError
        Where it is too short or silent: the score would say something of the recording, and nothing of the answer.
    """
    seconds = len(waveform) / SAMPLE_RATE_HZ
    if seconds < SHORTEST_SECONDS:
        raise InputError(
            f"the recording lasts {seconds * 1000:.0f} ms only, of {SHORTEST_SECONDS * 1000:.0f} at least; record it again",
            "short recording",
            milliseconds=f"{seconds * 1000:.0f}",
        )
    if is_silent(waveform):
        raise InputError("the recording is silent; look at the microphone and record it again", "silent")


def to_mono(samples: NDArray[np.float32]) -> Waveform:
    """The mean of the channels [shape=(n, channels)]; where they cancel each other, the loudest of them.

    They do where their mean is softer than half of what one channel alone would leave of itself in it.
    """
    if samples.shape[1] == 1:
        return samples[:, 0]
    mean = samples.mean(axis=1, dtype=np.float32)
    levels = samples.std(axis=0)
    loudest = int(levels.argmax())
    return samples[:, loudest] if mean.std() < 0.5 * levels[loudest] / samples.shape[1] else mean
