"""The answers of a table as they were scored: what a person is shown, without the recordings."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from models.clips.tables import METADATA_COLUMNS
from models.errors import InputError
from models.localize.fluency import Fluency, measure_fluency, trim_to_sounds
from models.localize.result import Unit
from models.service.answer_tables import MOST_CLIPS
from models.service.service import AnswerTable, Result, Service
from models.service.thresholds import Thresholds
from models.speech.pauses import find_sounds
from models.speech.samples import SAMPLE_RATE_HZ
from models.speech.signal import PROBLEMS


@dataclass(frozen=True)
class HeardAnswer:
    """A row of a table, scored, or with what is wrong with it.

    Attributes
    ----------
    child
        Who answered, as the table's column `child` says; empty where it has none.
    probability
        That it was right; None where it could not be scored, as `problem` says.
    verdict
        "right", "wrong", "review", or empty.
    notes
        What is not heard of it, in sentences.
    signal
        What is wrong with the recording: keys of `signal.PROBLEMS`.
    units
        What became of each word, of single words of each phone, with times without pauses; empty where that is not known.
    seconds
        Of the recording; None where it could not be scored.
    fluency
        Of a text of several words, of which some were said.
    """

    filename: str
    task: str
    expected_text: str
    grade: str
    child: str
    probability: float | None = None
    verdict: str = ""
    problem: str = ""
    notes: tuple[str, ...] = ()
    signal: tuple[str, ...] = ()
    units: tuple[Unit, ...] = ()
    seconds: float | None = None
    fluency: Fluency | None = None

    @property
    def signal_in_words(self) -> str:
        return "; ".join(PROBLEMS[problem] for problem in self.signal)

    @property
    def doubt(self) -> float:
        """How much a person's listening is worth: 1 where the model can't tell, 0 where it is sure."""
        return 0.0 if self.probability is None else 1 - 2 * abs(self.probability - 0.5)


def score_answers(
    service: Service,
    batch: AnswerTable,
    thresholds: Thresholds,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[HeardAnswer]:
    """Score each row of a table. Words are looked into where a person can work through as many answers."""
    rows = batch.table.reset_index(drop=True)
    given = rows.assign(child=rows.get("child", ""))[[*METADATA_COLUMNS, "child"]]
    asked = [tuple(str(cell) for cell in row) for row in given.itertuples(index=False)]
    answers = []
    for row, found in service.score_rows(batch, thresholds, explained=len(rows) <= MOST_CLIPS):
        answers.append(_heard(asked[row], found))
        on_progress(row + 1, len(rows))
    return answers


def by_worth(answers: Sequence[HeardAnswer]) -> list[int]:
    """The rows in the order in which a person should listen: the most doubtful first, those that have no score last."""
    return sorted(range(len(answers)), key=lambda row: (answers[row].probability is None, -answers[row].doubt, row))


def scores_table(answers: Sequence[HeardAnswer]) -> pd.DataFrame:
    """METADATA_COLUMNS, probability, verdict, problem, note and signal; a row with a problem has no score."""
    rows = [
        (
            *(each.filename, each.task, each.expected_text, each.grade),
            *(np.nan if each.probability is None else each.probability, each.verdict, each.problem),
            *(" ".join(each.notes), each.signal_in_words),
        )
        for each in answers
    ]
    return pd.DataFrame(rows, columns=[*METADATA_COLUMNS, "probability", "verdict", "problem", "note", "signal"])


def _heard(asked: tuple[str, ...], found: Result | InputError) -> HeardAnswer:
    filename, task, text, grade, child = asked
    child = child.strip()
    if isinstance(found, InputError):
        return HeardAnswer(filename, task, text, grade, child, problem=str(found))
    localization, sounds = found.localization, find_sounds(found.response)
    return HeardAnswer(
        *(filename, task, text, grade, child),
        probability=found.probability,
        verdict=found.verdict,
        notes=found.notes,
        signal=found.signal.problems,
        units=() if localization is None else trim_to_sounds(localization.units, sounds),
        seconds=len(found.response) / SAMPLE_RATE_HZ,
        fluency=None if localization is None else measure_fluency(localization, sounds),
    )
