"""Whether anything has become slower: ratios to the plain implementation, beside those of an entry of the history."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.history import TOLERANCE, Entry
from benchmarks.rows import Row, times
from models.errors import InputError

Measure = Callable[[Collection[str]], list[Row]]


@dataclass(frozen=True)
class Comparison:
    """Names of rows, by what has become of them."""

    slower: list[str]
    faster: list[str]
    new: list[str]
    missing: list[str]


def last_of_kind(entries: Sequence[Entry], like: Entry) -> tuple[Entry, str]:
    """What to compare with, and in words what is different about it: "" where machine and settings are the same.

    The last entry with this machine and these settings; else the last with this machine; else the last.

    Raises
    ------
    InputError
        Where there is none.
    """
    if not entries:
        raise InputError("nothing has been recorded to compare with; first: python benchmarks/speed.py --record")
    same_machine = [entry for entry in entries if entry.machine == like.machine]
    same = [entry for entry in same_machine if entry.settings == like.settings]
    found = (same or same_machine or entries)[-1]
    return found, "; ".join(_differences(found, like))


def _differences(found: Entry, like: Entry) -> list[str]:
    machine = [] if found.machine == like.machine else [f"on another machine: {found.machine}, here {like.machine}"]
    names = [
        name for name in {**found.settings, **like.settings} if found.settings.get(name) != like.settings.get(name)
    ]
    return [*machine, *(f"{name} {found.settings.get(name)}, here {like.settings.get(name)}" for name in names)]


def compare(before: Sequence[Row], now: Sequence[Row]) -> Comparison:
    """By ratios; rows that have none, and parts that were not measured now, are left out."""
    parts = {row.part for row in now}
    old = {row.name: row.ratio for row in before if row.part in parts and row.ratio is not None}
    new = {row.name: row.ratio for row in now if row.ratio is not None}
    both = [name for name in new if name in old]
    return Comparison(
        slower=[name for name in both if old[name] > new[name] * (1 + TOLERANCE)],
        faster=[name for name in both if new[name] > old[name] * (1 + TOLERANCE)],
        new=[name for name in new if name not in old],
        missing=[name for name in old if name not in new],
    )


def measured_again(before: Sequence[Row], now: Sequence[Row], measure: Measure) -> list[Row]:
    """The rows of now; parts of which one seems slower are measured once more, and of such a row the better one is taken.

    Other work on the machine makes a row seem slower now and then; what is slower is so twice.
    """
    slower = compare(before, now).slower
    if not slower:
        return [*now]
    print(f"\nSeems slower, and is measured again: {'; '.join(slower)}\n")
    again = {row.name: row for row in measure({row.part for row in now if row.name in slower})}
    return [_better(row, again.get(row.name, row)) if row.name in slower else row for row in now]


def _better(one: Row, other: Row) -> Row:
    return max(one, other, key=lambda row: row.ratio or 0.0)


def report(before: Sequence[Row], now: Sequence[Row]) -> list[str]:
    """What to tell of a comparison, a line for each row that is not as it was."""
    found = compare(before, now)
    old, new = ({row.name: row.ratio or 0.0 for row in rows} for rows in (before, now))
    return [
        *(f"{old[name] / new[name] - 1:.0%} slower: {_course(name, old, new)}" for name in found.slower),
        *(f"{new[name] / old[name] - 1:.0%} faster: {_course(name, old, new)}" for name in found.faster),
        *(f"new: {name}, {times(new[name])}" for name in found.new),
        *(f"missing: {name}, was {times(old[name])}" for name in found.missing),
    ]


def loads(before: Entry, now: Entry) -> str:
    """How busy the machine was each time, which bears on ratios of what is short."""
    then, here = ("unknown" if entry.load is None else f"{entry.load:g}" for entry in (before, now))
    return f"the load was {then} then, and {here} now"


def _course(name: str, old: Mapping[str, float], new: Mapping[str, float]) -> str:
    return f"{name}, {new[name]:.2f} ×, was {old[name]:.2f} ×"
