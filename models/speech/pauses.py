"""Where an answer pauses: stretches of silence between its first and its last sound.

As in De Jong & Wempe 2009, "Praat script to detect syllable nuclei and measure speech rate automatically": silent is what lies
25 dB below nearly the loudest, and pauses last 0.3 s at least. Here the threshold rises where the room is louder than that.
"""

import numpy as np

from models.speech.samples import SAMPLE_RATE_HZ, Waveform
from models.speech.signal import HOP_SECONDS, frame_levels

LEAST_PAUSE_SECONDS = 0.3
_LEAST_SOUND_SECONDS = 0.06  # what is shorter is a click
_SILENCE_DB = 25.0  # below nearly the loudest
_ROOM_DB = 6.0  # above the softest tenth, which is the room
_NEARLY_LOUDEST = 99  # percent of the frames are softer

Seconds = tuple[float, float]


def find_sounds(waveform: Waveform) -> list[Seconds]:
    """Beginning and end of each stretch of sound between pauses; waveform : float32 [shape=(n,)] at 16 kHz."""
    levels = frame_levels(waveform)
    loudest = float(np.percentile(levels, _NEARLY_LOUDEST))
    room = float(np.percentile(levels, 10)) + _ROOM_DB
    is_sound = levels > min(max(loudest - _SILENCE_DB, room), loudest)
    sounds = [each for each in _stretches(is_sound) if each[1] - each[0] >= _LEAST_SOUND_SECONDS]
    joined: list[Seconds] = []
    for start, end in sounds:
        if joined and start - joined[-1][1] < LEAST_PAUSE_SECONDS:
            start = joined.pop()[0]
        joined.append((start, min(end, len(waveform) / SAMPLE_RATE_HZ)))
    return joined


def _stretches(is_sound: "np.ndarray[tuple[int], np.dtype[np.bool_]]") -> list[Seconds]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], is_sound, [False]]).astype(int)))
    return [(start * HOP_SECONDS, end * HOP_SECONDS) for start, end in edges.reshape(-1, 2).tolist()]
