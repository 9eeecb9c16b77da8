"""What stands behind page and API: one answer or many, from what is sent to what is told. Knows nothing of either."""

import io
import math
import warnings
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from models.base.compute import compute_each
from models.errors import InputError
from models.inference.answers import Answer
from models.inference.hearing import PartlyHeard
from models.inference.scorer import Scorer
from models.inference.texts import heard_utterances
from models.localize.result import Localization
from models.service.asking import Question, ask, is_text
from models.service.batching import Batcher
from models.service.explain import Explainer
from models.service.thresholds import Thresholds, Verdict, judge
from models.speech.audio import SAMPLE_RATE_HZ, Waveform, read_answer
from models.speech.signal import SignalQuality

MOST_AT_ONCE = (
    16  # answers that are scored together; more gain nothing on a CPU, and the first of them would wait for the last
)
MOST_WAITING = 64
_ROWS_AHEAD = 16  # of a table, that are read while others are scored


@dataclass(frozen=True)
class Result:
    """One answer, scored.

    Attributes
    ----------
    answer
        Of several accepted texts the one that fits best.
    accepted
        Each accepted text and its probability, in the order in which they were given.
    localization
        Which word went wrong; None where no model can tell.
    notes
        What else is to be known about it, in sentences.
    counted_from_seconds
        Where self-corrections are accepted: the second of the response from which it counts, 0 where all of it does. None where
        they are not.
    """

    probability: float
    verdict: Verdict
    answer: Answer
    accepted: tuple[tuple[str, float], ...]
    response: Waveform
    localization: Localization | None
    signal: SignalQuality
    notes: tuple[str, ...] = ()
    counted_from_seconds: float | None = None


@dataclass(frozen=True)
class AnswerTable:
    """Many answers.

    Attributes
    ----------
    table
        METADATA_COLUMNS, and where they are given `pronunciation` and `child`.
    sources
        The file of each row, or why there is none.
    """

    table: pd.DataFrame
    sources: Sequence[Path | InputError]


class Service:
    """Scores what visitors and programs send. One thread alone asks the networks, about all that waits together.

    Parameters
    ----------
    max_seconds
        The longest recording that is taken.
    max_waiting
        As many answers may wait; `Busy` is raised for further ones.
    max_wait_seconds
        For as long askers wait. `Busy` is raised for those who would wait for half of it before their turn.
    """

    def __init__(
        self, scorer: Scorer, max_seconds: float, max_waiting: int = MOST_WAITING, max_wait_seconds: float = math.inf
    ) -> None:
        self.scorer = scorer
        self.max_seconds = max_seconds
        self._explainer = Explainer(scorer)
        self.batcher: Batcher[Question, Result] = Batcher(self._answer, MOST_AT_ONCE, max_waiting, max_wait_seconds / 2)

    def close(self) -> None:
        """End the thread; what waits is not scored."""
        self.batcher.close()

    def hear(self, path: Path, content: bytes | None = None) -> Waveform:
        """Decode a recording: float32 [shape=(n,)] at 16 kHz; `content` is the file's, where it lies on no disk.

        Raises
        ------
        InputError
            In words for a visitor, without a path.
        """
        try:
            waveform = read_answer(path, self.max_seconds + 1, content)
        except InputError as error:
            raise error.reworded(_without_path(error, path)) from error
        if len(waveform) / SAMPLE_RATE_HZ > self.max_seconds:
            told = f"the recording is longer than {self.max_seconds:g} s; cut it to the answer"
            raise InputError(told, "long recording", seconds=f"{self.max_seconds:g}")
        return waveform

    def ask(
        self,
        waveform: Waveform,
        texts: Sequence[str],
        task: str,
        grade: str,
        thresholds: Thresholds,
        pronunciations: Sequence[str] = (),
        explained: bool = True,
    ) -> "Future[Result]":
        """Check what was sent, and let it wait for its turn.

        Parameters
        ----------
        texts
            Of which any one is right.
        pronunciations
            None, or one for each text, which may be empty.
        explained
            Whether to look for the word that went wrong, too.

        Raises
        ------
        InputError
            Where one of them is wrong, the voice says nothing for a text, or nothing would be heard of the answer.
        Busy
            Where as many wait as may.
        """
        question = ask(self.scorer, waveform, texts, task, grade, thresholds, pronunciations, explained)
        if explained:
            self.scorer.speak(each for answer in question.answers for each in self._explainer.needed_utterances(answer))
        return self.batcher.submit(question)

    def score(self, waveform: Waveform, text: str, task: str, grade: str, thresholds: Thresholds) -> Result:
        """Score one recording. Raises InputError and Busy as of `ask`."""
        return self.ask(waveform, [text], task, grade, thresholds).result()

    def expected_sound(self, answer: Answer) -> Waveform | None:
        """What the voice says for an answer's text: float32 [shape=(n,)] at 16 kHz; None where it says nothing."""
        try:
            return self.scorer.references([answer.utterance])[answer.utterance]
        except InputError:
            return None

    def score_rows(
        self, batch: AnswerTable, thresholds: Thresholds, explained: bool, start: int = 0
    ) -> Generator[tuple[int, Result | InputError], None, None]:
        """Each row of a table from `start` on, with what was found or what is wrong with it, in order, as they are done.

        Where nobody asks for the next one any more, the rest is not scored.
        """
        rows = batch.table.reset_index(drop=True)
        self._speak_ahead(rows.iloc[start:])
        waiting: deque[tuple[int, Future[Result] | InputError]] = deque()
        try:
            for row in range(start, len(rows)):
                waiting.append((row, self._ask_row(rows, row, batch.sources[row], thresholds, explained)))
                if len(waiting) >= _ROWS_AHEAD:
                    yield _reply(*waiting.popleft())
            while waiting:
                yield _reply(*waiting.popleft())
        finally:
            for _, future in waiting:
                if isinstance(future, Future):
                    future.cancel()

    def _speak_ahead(self, rows: pd.DataFrame) -> None:
        """All texts at once, which is faster; of what can't be spoken, each row tells itself."""
        takeable = rows[[is_text(text) for text in rows["expected_text"]]]
        if len(takeable):
            self.scorer.speak(heard_utterances(self.scorer.published.members, takeable))

    def _ask_row(
        self, rows: pd.DataFrame, row: int, source: Path | InputError, thresholds: Thresholds, explained: bool
    ) -> "Future[Result] | InputError":
        text, task, grade = (str(rows.at[row, name]) for name in ("expected_text", "task", "grade"))
        pronunciation = str(rows.at[row, "pronunciation"]) if "pronunciation" in rows else ""
        try:
            if isinstance(source, InputError):
                raise source
            waveform = self.hear(source)
            question = ask(self.scorer, waveform, [text], task, grade, thresholds, [pronunciation], explained)
        except InputError as error:
            return error
        return self.batcher.submit(question, patient=True)

    def _answer(self, questions: list[Question]) -> Sequence[Result | Exception]:
        """All together; where that fails, one by one, so that one can't spoil the others."""
        answers = [answer for question in questions for answer in question.answers]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", PartlyHeard)  # the notes say so
                counted = self.scorer.score_counted(answers)
        except Exception as error:
            return [error] if len(questions) == 1 else [self._answer([each])[0] for each in questions]
        found = zip(counted.scores.tolist(), counted.starts.tolist(), strict=True)
        scored = [(question, [next(found) for _ in question.answers]) for question in questions]
        return compute_each(self._result, scored, self.scorer.device)

    def _result(self, scored: tuple[Question, list[tuple[float, float]]]) -> Result | Exception:
        question, (scores, starts) = scored[0], zip(*scored[1], strict=True)
        best = int(np.argmax(scores))
        answer, notes, localization = question.answers[best], list(question.notes), None
        start = starts[best] if self.scorer.accept_self_corrections else None
        if start:
            notes.append(f"Self-corrected: what was said from {start:.1f} s on counts.")
        if question.explained:
            try:
                localization = self._explainer.explain(answer, start)
            except InputError as error:
                notes.append(f"Where the answer departs from the text can't be shown: {error}")
            except Exception as error:
                return error
        accepted = tuple((each.text, score) for each, score in zip(question.answers, scores, strict=True))
        verdict = judge(scores[best], question.thresholds)
        response = np.asarray(answer.audio, dtype=np.float32)
        rest = (accepted, response, localization, question.signal, tuple(notes), start)
        return Result(scores[best], verdict, answer, *rest)


def to_csv(table: pd.DataFrame) -> bytes:
    """As UTF-8 with a byte order mark, without which spreadsheets take it for another encoding."""
    stream = io.StringIO()
    table.to_csv(stream, index=False, lineterminator="\n")
    return stream.getvalue().encode("utf-8-sig")


def _reply(row: int, found: "Future[Result] | InputError") -> tuple[int, Result | InputError]:
    try:
        return row, found if isinstance(found, InputError) else found.result()
    except InputError as error:
        return row, error


def _without_path(error: InputError, path: Path) -> str:
    """The same words, without where a file lies on the server."""
    words = str(error).removeprefix(f"{path}: ")
    return words.replace(str(path), "the recording") if path.parent != Path() else words  # else it lies on no disk
