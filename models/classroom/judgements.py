"""What a person says of each answer, kept in a file as they say it: nothing that was said is lost, whatever ends afterwards."""

import csv
import io
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from models.base.files import replace_when_done, sole_writer
from models.classroom.answers import HeardAnswer
from models.clips.corrections import CORRECTION_COLUMNS, SAME_IN_BOTH, SCORES, Judgement, read_corrections
from models.clips.csv_files import refuse
from models.errors import InputError
from models.speech.written import normal_text

_WAIT_SECONDS = 10.0  # for another program that is writing
_BY_SCORE = {score: judgement for judgement, score in SCORES.items()}


class Judgements:
    """A file of corrections, of which `train.py --corrections` knows the format; made when the first answer is judged.

    Each is read and written whole, under a lock, so that several tabs, pages and programs may work on one file.

    Parameters
    ----------
    sha256
        Of each answer's recording; empty where it has none.
    """

    def __init__(self, file: Path, answers: Sequence[HeardAnswer], sha256: Sequence[str]) -> None:
        self.file = file
        self._rows = {
            answer.filename: _described(answer, checksum) for answer, checksum in zip(answers, sha256, strict=True)
        }
        self._places = {name: row for row, name in enumerate(self._rows)}
        self._turn = threading.Lock()

    def read(self) -> dict[int, Judgement]:
        """What has been said, by row of the table.

        Raises
        ------
        InputError
            Where the file is damaged or of another table; it is left as it is.
        """
        if not self.file.exists():
            return {}
        found = read_corrections(self.file)
        self._refuse_others(found)
        return {
            self._places[name]: _BY_SCORE[score] for name, score in zip(found["filename"], found["score"], strict=True)
        }

    def _refuse_others(self, found: pd.DataFrame) -> None:
        """What is not of this table: a file may have been put in this one's place."""
        way_out = "is not this table's; mend the file, or move it away"
        refuse(self.file, found, "filename", ~found["filename"].isin(list(self._places)), way_out)
        for place, column in enumerate(name for name in SAME_IN_BOTH if name in found):
            own = found["filename"].map(lambda name, place=place: self._rows[name][place])
            refuse(self.file, found, column, found[column].map(normal_text) != own, way_out)

    def save(self, row: int, judgement: Judgement | None) -> dict[int, Judgement]:
        """Add or replace what is said of a row, or with None take it back; returns all that has been said.

        Raises
        ------
        InputError, OSError
            Where the file can't be read or written; then it is as it was.
        """
        with self._turn, sole_writer(self.file, _WAIT_SECONDS):
            said = self.read()
            said.pop(row, None)
            if judgement is not None:
                said[row] = judgement
            if said:
                with replace_when_done(self.file) as temporary:
                    temporary.write_bytes(self.as_csv(said))
            else:
                self.file.unlink(missing_ok=True)  # a table without rows is none
        return said

    def check(self) -> None:
        """Raise InputError or OSError where judgements could not be saved."""
        self.read()
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with sole_writer(self.file, _WAIT_SECONDS):
            pass

    def as_csv(self, said: Mapping[int, Judgement]) -> bytes:
        """As UTF-8 with a byte order mark, without which spreadsheets take it for another encoding."""
        names, stream = list(self._rows), io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(CORRECTION_COLUMNS)
        for row in sorted(said):
            writer.writerow((names[row], SCORES[said[row]], *self._rows[names[row]]))
        return stream.getvalue().encode("utf-8-sig")


def _described(answer: HeardAnswer, sha256: str) -> tuple[str, ...]:
    """The cells of CORRECTION_COLUMNS behind the first two."""
    probability = "" if answer.probability is None else f"{answer.probability:.4f}"
    return (answer.task, answer.expected_text, answer.grade, answer.child, probability, sha256)


@contextmanager
def told_in_words(what: str) -> Iterator[None]:
    """The system's refusals as an InputError that says what was refused, and no path of the server's."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{what} ({error.strerror or type(error).__name__}); tell who runs this page") from error
