"""Where an answer may have been begun again: behind its pauses."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from models.speech.pauses import find_sounds
from models.speech.samples import SAMPLE_RATE_HZ, Waveform, is_silent

MOST_ATTEMPTS = 3  # the last ones
LEAST_SECONDS_PER_LETTER = 0.04  # of the text; what lasts for less can't be all of it
_LEAD_SECONDS = 0.2  # that are heard before its first sound


@dataclass(frozen=True)
class Attempt:
    """What was said from a pause on to the end of a recording, so with all that followed it.

    Attributes
    ----------
    start_seconds
        In the recording.
    waveform : float32 [shape=(n,)]
        At 16 kHz, as if it were a recording of its own.
    """

    start_seconds: float
    waveform: Waveform

    @property
    def seconds(self) -> float:
        return len(self.waveform) / SAMPLE_RATE_HZ


def later_attempts(waveform: Waveform, text: str) -> list[Attempt]:
    """The last attempts at a text, in their order, without the one that begins with the recording.

    Parameters
    ----------
    waveform : float32 [shape=(n,)]
        At 16 kHz, the whole recording.
    text
        Attempts that are too short for it are none.
    """
    return list(_attempts(waveform, LEAST_SECONDS_PER_LETTER * sum(map(str.isalnum, text))))[-MOST_ATTEMPTS:]


def _attempts(waveform: Waveform, least_seconds: float) -> Iterator[Attempt]:
    sounds = find_sounds(waveform)
    for (_, silent_from), (onset, _) in pairwise(sounds):
        start = round(max(silent_from, onset - _LEAD_SECONDS), 2)
        rest = waveform[round(start * SAMPLE_RATE_HZ) :]
        if sounds[-1][1] - onset >= least_seconds and not is_silent(rest):
            yield Attempt(start, rest)
