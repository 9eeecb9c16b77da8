"""How fluently a text of several words was said: words correct per minute, and pauses."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from models.localize.result import Localization, Seconds, Unit

_LEAST_SECONDS = 0.2  # in less nothing was said that has a rate


@dataclass(frozen=True)
class Fluency:
    """Of one answer, by the model's words and their times.

    Attributes
    ----------
    words, words_right
        Of the expected text, and those of them that were said as expected.
    seconds
        From the first word that was said to the end of the last one.
    pauses
        Silences of 0.3 s and more between them.
    """

    words: int
    words_right: int
    seconds: float
    pauses: tuple[Seconds, ...]

    @property
    def words_correct_per_minute(self) -> float:
        return 60 * self.words_right / self.seconds

    @property
    def pause_seconds(self) -> float:
        return sum(end - start for start, end in self.pauses)


def measure_fluency(localization: Localization, sounds: Sequence[Seconds]) -> Fluency | None:
    """Of a text of several words; None for a single one, or where no word was said.

    Parameters
    ----------
    sounds
        Of the answer, as of `pauses.find_sounds`.
    """
    units = localization.expected_units
    if localization.unit != "word" or len(units) < 2:
        return None
    span = _said(units)
    if span is None or not sounds:
        return None
    start, end = max(span[0], sounds[0][0]), min(span[1], sounds[-1][1])
    if end - start < _LEAST_SECONDS:
        return None
    gaps = ((before[1], after[0]) for before, after in pairwise(sounds))
    pauses = tuple(gap for gap in gaps if start <= gap[0] and gap[1] <= end)
    right = sum(unit.kind == "right" for unit in units)
    return Fluency(len(units), right, end - start, pauses)


def trim_to_sounds(units: Sequence[Unit], sounds: Sequence[Seconds]) -> tuple[Unit, ...]:
    """The units without the pauses that their times take in: a verifier's words follow each other without a gap."""
    return tuple(_trimmed(unit, sounds) for unit in units)


def _trimmed(unit: Unit, sounds: Sequence[Seconds]) -> Unit:
    """Cut to the stretch of sound that it has most of; as it is where it has none."""
    if unit.start_seconds is None or unit.end_seconds is None:
        return unit
    parts = [(max(unit.start_seconds, start), min(unit.end_seconds, end)) for start, end in sounds]
    start, end = max(parts, key=lambda part: part[1] - part[0], default=(0.0, 0.0))
    return replace(unit, start_seconds=start, end_seconds=end) if start < end else unit


def _said(units: Sequence[Unit]) -> Seconds | None:
    """From the beginning of the first word that was said to the end of the last."""
    times = [
        (unit.start_seconds, unit.end_seconds)
        for unit in units
        if unit.kind != "missing" and unit.start_seconds is not None and unit.end_seconds is not None
    ]
    return (min(start for start, _ in times), max(end for _, end in times)) if times else None
