"""An answer that a visitor can try with one click: a synthetic voice says something else than was expected."""

import numpy as np

from models.inference.published_references import speaking
from models.speech.audio import SAMPLE_RATE_HZ, Waveform, resample
from models.speech.espeak import SAMPLE_RATE_HZ as SPOKEN_RATE_HZ
from models.speech.espeak import Espeak

EXPECTED = "my brother found a big bone in the old garden"
SAID = "my father found a big bone in the garden"
TASK = "sentence_repetition"
_VOICE, _RATE_WPM, _PITCH = "en-us+f3", 140, 65  # another one than references have
_PAUSE_SECONDS = 0.25  # before and after


def speak_example() -> Waveform:
    """The answer, float32 [shape=(n,)] at 16 kHz.

    Raises
    ------
    InputError
        Where espeak-ng is not installed.
    """
    with speaking, Espeak() as espeak:
        spoken = espeak.speak(SAID, _VOICE, _RATE_WPM, _PITCH)
    pause = np.zeros(round(_PAUSE_SECONDS * SAMPLE_RATE_HZ), np.float32)
    answer = resample(spoken.samples / np.float32(32768), SPOKEN_RATE_HZ)
    return np.concatenate([pause, answer, pause])
