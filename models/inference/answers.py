"""Answers to be scored, as Python code gives them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from models.clips.groups import GRADES, TASKS
from models.errors import InputError
from models.speech.audio import try_answers
from models.speech.pronunciation import utterance_of
from models.speech.pronunciation_table import first_choice, from_cell
from models.speech.samples import SAMPLE_RATE_HZ, Waveform, check_is_answer, check_samples
from models.speech.written import find_file, normal_text


@dataclass(frozen=True)
class Answer:
    """A recording and what was expected.

    Attributes
    ----------
    audio
        A file, or a waveform at 16 kHz: floats in [-1, 1] [shape=(n,)].
    pronunciation
        Of the text, where it is not the usual one: phones as in a table of pronunciations, "K AY B".

    Raises
    ------
    InputError
        Where the text is not UTF-8.
    """

    audio: Path | str | Waveform
    text: str
    task: str
    grade: str
    pronunciation: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", normal_text(self.text))

    @property
    def utterance(self) -> str:
        """What a voice says for it."""
        return utterance_of(self.task, self.text, first_choice(self.pronunciation))


def as_table(answers: Sequence[Answer]) -> pd.DataFrame:
    """As metadata, without file names.

    Raises
    ------
    InputError
        Naming the first wrong value.
    """
    for answer in answers:
        if answer.task not in TASKS:
            raise InputError(f"task {answer.task!r}: must be one of {', '.join(TASKS)}")
        if answer.grade not in GRADES:
            raise InputError(f"grade {answer.grade!r}: must be one of {', '.join(GRADES)}")
        if not answer.text.strip():
            raise InputError("the expected text must not be empty")
        if answer.pronunciation:
            from_cell(answer.pronunciation, answer.task, answer.text, f"the expected text {answer.text[:60]!r}")
    rows = [(answer.text, answer.task, answer.grade, answer.pronunciation) for answer in answers]
    return pd.DataFrame(rows, columns=["expected_text", "task", "grade", "pronunciation"])


def as_sources(audio: Sequence[Path | str | Waveform]) -> tuple[list[Path | Waveform], list[float]]:
    """As a dataset takes them, and how many seconds each lasts; files are decoded once to see whether they can be.

    Raises
    ------
    InputError
        Where one can't be read, is no waveform, or no answer: the first.
    """
    sources = [
        check_waveform(one) if isinstance(one, np.ndarray) else find_file(Path(one).parent, Path(one).name)
        for one in audio
    ]
    in_files = iter(try_answers(source for source in sources if isinstance(source, Path)))
    seconds = [_seconds(source) if isinstance(source, np.ndarray) else next(in_files) for source in sources]
    for found in seconds:
        if isinstance(found, InputError):
            raise found
    return sources, [found for found in seconds if isinstance(found, float)]


def _seconds(waveform: Waveform) -> float | InputError:
    try:
        check_is_answer(waveform)
    except InputError as error:
        return error
    return len(waveform) / SAMPLE_RATE_HZ


def check_waveform(audio: Waveform) -> Waveform:
    """As float32. Raises InputError where it is not one channel of floats in [-1, 1]."""
    if audio.ndim != 1 or len(audio) == 0 or not np.issubdtype(audio.dtype, np.floating):
        raise InputError(
            f"a waveform of shape {audio.shape} and type {audio.dtype}: must be one channel of floats in [-1, 1], "
            "of at least one sample (divide 16-bit samples by 32768, average channels)"
        )
    check_samples(audio)
    return np.ascontiguousarray(audio, dtype=np.float32)
