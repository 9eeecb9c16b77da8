"""Lists of answers that people work through, with their recordings, for as long as they do."""

import secrets
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from models.base.files import sha256_of_file, sha256_of_values
from models.classroom.answers import HeardAnswer, by_worth
from models.classroom.judgements import Judgements
from models.clips.corrections import Judgement
from models.errors import InputError
from models.service.answer_tables import MOST_CLIPS
from models.service.service import AnswerTable, Service
from models.speech.audio import as_wav

MOST_LISTS = 8
KEEP_SECONDS = 12 * 3600.0  # of a list that nobody asks for


@dataclass(frozen=True)
class AnswerList:
    """A table of answers, scored.

    Attributes
    ----------
    sources
        The recording of each answer, or why there is none.
    order
        The rows, that which is most worth a listen first.
    """

    answers: Sequence[HeardAnswer]
    sources: Sequence[Path | InputError]
    judgements: Judgements
    order: Sequence[int]
    recordings: ExitStack = field(repr=False)

    def sound(self, service: Service, row: int) -> bytes:
        """A recording as 16-bit WAV at 16 kHz, which every browser plays. Raises InputError where there is none."""
        source = self.sources[row]
        if isinstance(source, InputError):
            raise source
        if not source.is_file():
            raise InputError("the recording is not here any more; send the table again")
        return as_wav(service.hear(source))

    def judge(self, row: int, judgement: Judgement | None) -> dict[int, Judgement]:
        """Save what a person says of an answer; returns all that has been said. Raises InputError as of `Judgements.save`."""
        source = self.sources[row]
        if isinstance(source, InputError) and judgement in ("right", "wrong"):
            raise InputError(f"can't be judged: {source}")
        return self.judgements.save(row, judgement)


class AnswerLists:
    """The lists that are open, each under a name that can't be guessed.

    Parameters
    ----------
    folder
        Where people's corrections are saved, in a file for each table and its recordings.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open: dict[str, tuple[AnswerList, float]] = {}
        self._turn = threading.Lock()

    def open(self, answers: Sequence[HeardAnswer], batch: AnswerTable, recordings: ExitStack) -> str:
        """Make a list of a table that was scored; returns its name.

        Parameters
        ----------
        recordings
            Taken over, and closed with the list: it deletes what was sent.

        Raises
        ------
        InputError
            Where there are too many answers to work through.
        """
        if len(answers) > MOST_CLIPS:
            raise InputError(f"{len(answers)} answers; {MOST_CLIPS} can be worked through at once")
        sha256 = [_sha256(source) for source in batch.sources]
        file = self.folder / f"{_checksum(answers, sha256)}.csv"
        judgements = Judgements(file, answers, sha256)
        made = AnswerList(answers, batch.sources, judgements, by_worth(answers), recordings.pop_all())
        name = secrets.token_urlsafe(16)
        with self._turn:
            self._open[name] = made, time.monotonic()
        self.sweep()
        return name

    def get(self, name: str) -> AnswerList | None:
        """The list of that name, or None where it is closed."""
        with self._turn:
            if name not in self._open:
                return None
            found = self._open.pop(name)[0]
            self._open[name] = found, time.monotonic()  # the last one asked for stands last
        return found

    def close(self, name: str) -> None:
        """Delete a list's recordings; what was said of them stays."""
        with self._turn:
            closed = self._open.pop(name, None)
        if closed is not None:
            closed[0].recordings.close()

    def sweep(self) -> None:
        """Close what nobody has asked for, and the oldest of too many."""
        with self._turn:
            now, names = time.monotonic(), list(self._open)
            old = [name for name in names if now - self._open[name][1] > KEEP_SECONDS]
        for name in dict.fromkeys([*old, *names[:-MOST_LISTS]]):
            self.close(name)


def _sha256(source: Path | InputError) -> str:
    return sha256_of_file(source) if isinstance(source, Path) and source.is_file() else ""


def _checksum(answers: Sequence[HeardAnswer], sha256: Sequence[str]) -> str:
    """Of the answers and their recordings: sent again, they find what was said of them."""
    rows = [
        (answer.filename, answer.task, answer.expected_text, answer.grade, checksum)
        for answer, checksum in zip(answers, sha256, strict=True)
    ]
    return sha256_of_values(rows)[:16]
