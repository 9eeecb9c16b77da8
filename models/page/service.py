"""What stands behind the page: one answer or many, from what a visitor gives to what is shown. Knows nothing of the page."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from models.clips.hearing import told_cut
from models.clips.tables import METADATA_COLUMNS, utterances
from models.errors import InputError
from models.inference.answers import Answer
from models.inference.scorer import Scorer
from models.inference.texts import find_unheard_rows, heard_utterances
from models.localize.result import Unit
from models.page.thresholds import Thresholds, Verdict, judge
from models.speech.audio import SAMPLE_RATE_HZ, Waveform, read_answer, try_answers
from models.speech.written import normal_text

LONGEST_TYPED_TEXT = 300  # characters


@dataclass(frozen=True)
class Explanation:
    """Where an answer departs from the text.

    Attributes
    ----------
    picture_png
        A picture of it; None where there is none.
    note
        Why there is none, if something went wrong.
    """

    units: Sequence[Unit]
    picture_png: bytes | None
    note: str = ""


Explain = Callable[[Scorer, Answer, float], Explanation]  # the probability comes last


@dataclass(frozen=True)
class Result:
    """One answer, scored. Waveforms are float32 [shape=(n,)] at 16 kHz."""

    probability: float
    verdict: Verdict
    answer: Answer
    response: Waveform
    reference: Waveform
    explanation: Explanation | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class AnswerTable:
    """Many answers.

    Attributes
    ----------
    table
        METADATA_COLUMNS.
    sources
        The file of each row, or why there is none.
    """

    table: pd.DataFrame
    sources: Sequence[Path | InputError]


@dataclass(frozen=True)
class PageSettings:
    """What the one who started the page decides.

    Attributes
    ----------
    folder_root
        Below it visitors may name folders to score; None: they may not.
    """

    thresholds: Thresholds
    folder_root: Path | None = None


class Service:
    """Scores what visitors give.

    Parameters
    ----------
    max_seconds
        The longest recording that is taken.
    explain
        Says where an answer departs from the text; None: nobody does.
    """

    def __init__(self, scorer: Scorer, max_seconds: float, explain: Explain | None = None) -> None:
        self.scorer = scorer
        self.max_seconds = max_seconds
        self._explain = explain

    def hear(self, path: Path) -> Waveform:
        """Decode a recording: float32 [shape=(n,)] at 16 kHz.

        Raises
        ------
        InputError
            In words for a visitor, without a path.
        """
        try:
            waveform = read_answer(path, self.max_seconds + 1)
        except InputError as error:
            raise InputError(_without_path(error, path)) from error
        self._check_length(len(waveform) / SAMPLE_RATE_HZ)
        return waveform

    def score_one(self, waveform: Waveform, text: str, task: str, grade: str, thresholds: Thresholds) -> Result:
        """Score one recording.

        Raises
        ------
        InputError
            Where the text, task or grade is wrong, or the voice says nothing for the text.
        """
        answer = self.scorer.with_pronunciation(Answer(waveform, check_text(text), task, grade))
        probability = float(self.scorer.score_batch([answer])[0])
        (reference,) = self.scorer.references([answer.utterance]).values()
        seconds = (len(waveform) / SAMPLE_RATE_HZ, len(reference) / SAMPLE_RATE_HZ)
        explanation, notes = None, _notes(told_cut(self.scorer.recipes, *seconds))
        if self._explain is not None:
            try:
                explanation = self._explain(self.scorer, answer, probability)
                notes += [explanation.note] if explanation.note else []
            except InputError as error:
                notes.append(f"Where the answer departs from the text can't be shown: {error}")
        verdict = judge(probability, thresholds)
        return Result(probability, verdict, answer, waveform, reference, explanation, tuple(notes))

    def score_many(
        self,
        batch: AnswerTable,
        thresholds: Thresholds,
        on_progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> pd.DataFrame:
        """METADATA_COLUMNS, probability, verdict, problem and note of each row; a row with a problem has no score."""
        paths = [source if isinstance(source, Path) else None for source in batch.sources]
        lengths = iter(try_answers([path for path in paths if path is not None]))
        found = [source if path is None else next(lengths) for path, source in zip(paths, batch.sources, strict=True)]
        problems = [self._problem(each, path) for each, path in zip(found, paths, strict=True)]
        rows = batch.table.reset_index(drop=True)
        self._check_texts(rows, problems)
        notes = self._check_hearing(rows, found, problems)
        scorable = [row for row, problem in enumerate(problems) if not problem]
        columns = [name for name in ("expected_text", "task", "grade", "pronunciation") if name in rows]
        answers = [
            Answer(path, *(str(rows.at[row, name]) for name in columns))
            for row in scorable
            if (path := paths[row]) is not None
        ]
        scores = np.full(len(rows), np.nan)
        scores[scorable] = self.scorer.score_batch(answers, on_progress=on_progress)
        verdicts = [judge(score, thresholds) if np.isfinite(score) else "" for score in scores]
        return rows[list(METADATA_COLUMNS)].assign(probability=scores, verdict=verdicts, problem=problems, note=notes)

    def _problem(self, found: object, path: Path | None) -> str:
        try:
            if isinstance(found, InputError):
                raise found
            if isinstance(found, float):
                self._check_length(found)
        except InputError as error:
            return str(error) if path is None else _without_path(error, path)
        return ""

    def _check_texts(self, rows: pd.DataFrame, problems: list[str]) -> None:
        """Note in `problems`, by row, which texts can't be taken or spoken, where the row has no other problem."""
        for row, text in enumerate(rows["expected_text"]):
            try:
                check_text(text)
            except InputError as error:
                problems[row] = problems[row] or str(error)
        said = utterances(rows)
        unspoken = self.scorer.speak(one for one, problem in zip(said, problems, strict=True) if not problem)
        for row, utterance in enumerate(said):
            problems[row] = problems[row] or unspoken.get(utterance, "")

    def _check_hearing(self, rows: pd.DataFrame, found: Sequence[object], problems: list[str]) -> list[str]:
        """Note in `problems` of which rows nothing is heard; returns what of each row is not, where something is."""
        left = [row for row, seconds in enumerate(found) if isinstance(seconds, float) and not problems[row]]
        members, table = self.scorer.published.members, rows.iloc[left]
        seconds = [each for row in left if isinstance(each := found[row], float)]
        references = self.scorer.references(heard_utterances(members, table))
        unheard, notes = find_unheard_rows(members, table, seconds, references), ["" for _ in problems]
        for place, told in unheard.answers.items():
            problems[left[place]] = told
        for place, told in unheard.parts.items():
            notes[left[place]] = told
        return notes

    def _check_length(self, seconds: float) -> None:
        if seconds > self.max_seconds:
            raise InputError(f"the recording is longer than {self.max_seconds:g} s; cut it to the answer")


def check_text(text: str) -> str:
    """The expected text, in one line.

    Raises
    ------
    InputError
        Where it is empty, too long, or holds control characters.
    """
    line = " ".join(normal_text(text).split())
    if not line:
        raise InputError("type the text that was expected")
    if len(line) > LONGEST_TYPED_TEXT:
        raise InputError(f"the expected text has {len(line)} characters; {LONGEST_TYPED_TEXT} are the most")
    if not line.isprintable():
        raise InputError("the expected text holds characters that can't be printed; type it anew")
    return line


def to_csv(table: pd.DataFrame) -> bytes:
    """As UTF-8 with a byte order mark, without which spreadsheets take it for another encoding."""
    stream = io.StringIO()
    table.to_csv(stream, index=False, lineterminator="\n")
    return stream.getvalue().encode("utf-8-sig")


def _notes(told: str) -> list[str]:
    return [f"{told[0].upper()}{told[1:]}."] if told else []


def _without_path(error: InputError, path: Path) -> str:
    """The same words, without where a file lies on the server."""
    return str(error).removeprefix(f"{path}: ").replace(str(path), "the recording")
