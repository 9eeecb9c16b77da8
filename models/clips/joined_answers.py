"""Two right answers, heard one after the other: right where both texts are asked for, wrong where one of them is.

Recordings of one answer each teach nothing of what follows or precedes it. Such sounds are heard with both labels, so that how
two are joined tells nothing of the label.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from models.speech.samples import SAMPLE_RATE_HZ, Waveform

LONGEST_PAUSE_SECONDS = 0.6
_SAID_TWICE = 0.25  # of the right answers in whose place two are heard
_EDGE_SAMPLES = slice(-SAMPLE_RATE_HZ // 12, -SAMPLE_RATE_HZ // 100)  # quiet, before a cut word is faded out


class Joined(NamedTuple):
    """Two answers in the place of one.

    Attributes
    ----------
    rows
        Whose recordings are heard, in order; twice the same where an answer is said twice.
    asked
        Which of the two texts are asked for.
    """

    rows: tuple[int, int]
    asked: tuple[int, ...]

    @property
    def said_twice(self) -> bool:
        return self.rows[0] == self.rows[1]


class AnswerJoiner:
    """Draws which answers are heard in the place of a row's own; its label stays what it is.

    A right answer is followed by another one to the same task, and both are asked for; or it is said twice. In the place of a
    wrong one two right ones are heard, of which one is asked for.

    Parameters
    ----------
    table
        task, expected_text, score.
    share
        Of the rows that are read so, of those where there is another text to the same task.
    """

    def __init__(self, table: pd.DataFrame, share: float) -> None:
        self._share = share
        self._tasks: list[str] = table["task"].tolist()
        self._texts: list[str] = table["expected_text"].tolist()
        self._is_right: list[bool] = (table["score"] == 1).tolist()
        self._right: dict[str, list[int]] = {}
        for row, (task, is_right) in enumerate(zip(self._tasks, self._is_right, strict=True)):
            if is_right:
                self._right.setdefault(task, []).append(row)

    def draw(self, row: int, rng: np.random.Generator) -> Joined | None:
        """None where the row is read as it is."""
        if rng.random() >= self._share:
            return None
        if not self._is_right[row]:
            first = self._another("", self._tasks[row], rng)
            second = None if first is None else self._another(self._texts[first], self._tasks[row], rng)
            return None if first is None or second is None else Joined((first, second), (int(rng.integers(2)),))
        if rng.random() < _SAID_TWICE:
            return Joined((row, row), (0,))
        other = self._another(self._texts[row], self._tasks[row], rng)
        return None if other is None else Joined((row, other), (0, 1))

    def _another(self, text: str, task: str, rng: np.random.Generator) -> int | None:
        """A right answer with another text, each as likely; None where there is none."""
        rows = [row for row in self._right.get(task, []) if self._texts[row] != text]
        return rows[int(rng.integers(len(rows)))] if rows else None


def one_after_the_other(waveforms: Sequence[Waveform], pause_seconds: float) -> Waveform:
    """With a pause before each but the first: of the quiet behind the one before it, forwards and backwards."""
    parts = [part for waveform in waveforms[:-1] for part in (waveform, _pause(waveform, pause_seconds))]
    return np.concatenate([*parts, waveforms[-1]])


def _pause(waveform: Waveform, seconds: float) -> Waveform:
    edge = waveform[_EDGE_SAMPLES]
    return np.resize(np.concatenate([edge[::-1], edge]), round(seconds * SAMPLE_RATE_HZ))
