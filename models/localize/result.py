"""What is found out about one answer: each unit of the expected text, and what else was said."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["right", "missing", "inserted", "different"]
LOCALIZATION_FORMAT = "speech-text-comparison localization 1"

Array = NDArray[np.float32]
Seconds = tuple[float, float]


@dataclass(frozen=True)
class Alternative:
    """Words that may have been said, and how likely that is; an empty text is that nothing was."""

    text: str
    probability: float


@dataclass(frozen=True)
class Unit:
    """A word or phone of the expected text; or something inserted, whose text is empty.

    Attributes
    ----------
    score
        Probability that it was said as expected; of something inserted, that nothing was.
    start_seconds, end_seconds
        In the response; for a missing unit both are the place where it should be.
    said_well
        Of a word that was said, by verifiers: how likely it is that people would find it well said; see `said_well`.
    heard
        What was said instead of a word that differs, or in addition; None where that is not known or not sure.
    alternatives
        All that may have been said there, the likeliest first; empty where that is not known, and of other units.
    """

    text: str
    kind: Kind
    score: float
    start_seconds: float | None
    end_seconds: float | None
    said_well: float | None = None
    heard: str | None = None
    alternatives: tuple[Alternative, ...] = ()


@dataclass(frozen=True)
class Alignment:
    """How what was expected and the response were laid beside each other, for the picture.

    Attributes
    ----------
    weights : [shape=(rows, columns)]
        In [0, 1], over the whole of both: rows through what was expected, columns through the response.
    expected
        What the rows go through: "reference" or "expected text".
    length
        Of that: seconds of a reference, tokens of a text.
    unit_rows
        Where each expected unit begins and ends in it.
    """

    weights: Array
    expected: str
    length: float
    unit_rows: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Localization:
    """Everything that was found about one answer.

    Attributes
    ----------
    method
        "alignment" or "tokens".
    unit
        What the text was taken apart into: "word" or "phone".
    probability
        The model's, that the whole answer was right.
    units
        In the order of the text, with what was inserted between.
    gap_scores
        Probabilities that nothing was inserted, before each expected unit and after the last.
    response_log_mel : [shape=(n_mels, frames)]
        100 frames per second.
    transcript
        The words that the model would write down, each with its probability, without regard to the expected text; None where it
        can't or is not sure of what it hears.
    counted_from_seconds
        Where self-corrections are accepted: the second of the response from which it counts, 0 where all of it does. None where
        they are not.
    """

    expected_text: str
    method: str
    unit: str
    probability: float
    units: tuple[Unit, ...]
    gap_scores: tuple[float, ...]
    response_seconds: float
    response_log_mel: Array
    alignment: Alignment
    transcript: tuple[Alternative, ...] | None = None
    counted_from_seconds: float | None = None

    @property
    def expected_units(self) -> tuple[Unit, ...]:
        return tuple(unit for unit in self.units if unit.kind != "inserted")


def in_words(unit: Unit) -> str:
    """A unit in a line: its kind, its score, its text, and what may have been said instead or in addition."""
    line = f"{unit.kind:10}{unit.score:6.2f}  {unit.text}"
    if not unit.alternatives:
        return line
    others = ", ".join(f"{each.text or '(nothing)'} {each.probability:.2f}" for each in unit.alternatives)
    return f"{line} -> {unit.heard or '?'}  ({others})"


def to_json(localization: Localization) -> dict[str, Any]:
    """Plain values: all but what only the picture needs."""
    written, counted = localization.transcript, localization.counted_from_seconds
    return {
        "format": LOCALIZATION_FORMAT,
        "expected_text": localization.expected_text,
        "method": localization.method,
        "unit": localization.unit,
        "probability": round(localization.probability, 4),
        "response_seconds": round(localization.response_seconds, 3),
        **({} if counted is None else {"counted_from_seconds": round(counted, 3)}),
        "units": [_unit_json(unit) for unit in localization.units],
        "gap_scores": [round(score, 4) for score in localization.gap_scores],
        "transcript": None if written is None else [_alternative_json(word) for word in written],
    }


def _unit_json(unit: Unit) -> dict[str, Any]:
    known: dict[str, Any] = {} if unit.said_well is None else {"said_well": round(unit.said_well, 4)}
    if unit.kind in ("different", "inserted"):
        known |= {"heard": unit.heard, "alternatives": [_alternative_json(each) for each in unit.alternatives]}
    return {
        "text": unit.text,
        "kind": unit.kind,
        "score": round(unit.score, 4),
        "start_seconds": _rounded(unit.start_seconds),
        "end_seconds": _rounded(unit.end_seconds),
        **known,
    }


def _alternative_json(alternative: Alternative) -> dict[str, Any]:
    return {"text": alternative.text, "probability": round(alternative.probability, 4)}


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
