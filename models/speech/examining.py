"""Each file of an answer, decoded once before anything is scored: how long it is, how good, or why it can't be scored."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from models.errors import InputError
from models.speech.audio import in_threads, read_answer
from models.speech.samples import SAMPLE_RATE_HZ
from models.speech.signal import measure_signal


@dataclass(frozen=True)
class Examined:
    """An answer that can be scored.

    Attributes
    ----------
    signal
        What is wrong with the recording, in words.
    """

    seconds: float
    signal: tuple[str, ...]


def examine(path: Path) -> Examined | InputError:
    """A file, or what is wrong with it."""
    try:
        waveform = read_answer(path)
    except InputError as error:
        return error
    return Examined(len(waveform) / SAMPLE_RATE_HZ, tuple(measure_signal(waveform).in_words()))


def examine_all(paths: Iterable[Path]) -> list[Examined | InputError]:
    """Every file once, in threads."""
    return in_threads(examine, paths)
