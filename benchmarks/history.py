"""What was measured before: entries in history.json, the table of their ratios in README.md, and what has become slower since."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine import Machine
from benchmarks.material import ROOT
from benchmarks.rows import Row, row_from_dict, times
from models.base.files import read_whole, replace_when_done
from models.errors import InputError

HISTORY, README = ROOT / "benchmarks/history.json", ROOT / "benchmarks/README.md"
BEGIN, END = "<!-- history: written by benchmarks/speed.py --record -->", "<!-- end of history -->"
SHOWN = 5  # last entries in the table
TOLERANCE = 0.15
_MOST_BYTES = 50_000_000


@dataclass(frozen=True)
class Entry:
    """One run.

    Attributes
    ----------
    commit
        As `git describe` names it.
    load
        Of the machine as the run began; None where it isn't known.
    settings
        Clips, turns and whatever else decides what is measured: plain values.
    """

    date: str
    commit: str
    machine: Machine
    python: str
    torch: str
    load: float | None
    settings: Mapping[str, Any]
    rows: Sequence[Row]

    @property
    def name(self) -> str:
        return f"{self.date} `{self.commit}`"

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "rows": [row.to_dict() for row in self.rows]}


def entry_from_dict(values: Mapping[str, Any]) -> Entry:
    """The inverse of `Entry.to_dict`."""
    rows, machine = [row_from_dict(row) for row in values["rows"]], Machine(**values["machine"])
    return Entry(**{**values, "rows": rows, "machine": machine})


def read_history(file: Path = HISTORY) -> list[Entry]:
    """All entries, oldest first; none where there is no file.

    Raises
    ------
    InputError
        Where it holds something else.
    """
    if not file.exists():
        return []
    try:
        return [entry_from_dict(values) for values in json.loads(read_whole(file, _MOST_BYTES))]
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{file}: is no list of entries ({error!r}); git checkout brings the last one back") from error


def record(entry: Entry, file: Path = HISTORY, readme: Path = README) -> None:
    """Append an entry and write the table anew.

    Raises
    ------
    InputError
        Where README has no place for it; nothing is written then.
    """
    entries = [
        *read_history(file),
        entry_from_dict(entry.to_dict()),
    ]  # in the digits that are kept, as it is shown later
    text = with_table(readme, entries)
    write_json(file, [each.to_dict() for each in entries])
    with replace_when_done(readme) as path:
        path.write_text(text, encoding="utf-8")


def write_json(file: Path, values: Any) -> None:
    with replace_when_done(file) as path:
        path.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def with_table(readme: Path, entries: Sequence[Entry]) -> str:
    """The text of a README whose table tells of these entries.

    Raises
    ------
    InputError
        Where it has no place for it.
    """
    text = readme.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise InputError(f"{readme}: lacks the lines {BEGIN} and {END}, between which the table is written")
    return f"{before}{BEGIN}\n\n{table(entries)}\n\n{END}{after}"


def table(entries: Sequence[Entry]) -> str:
    """Ratios by row and entry, the newest last, and what each entry was measured on, in Markdown."""
    shown = entries[-SHOWN:]
    ratios = [{row.name: row.ratio for row in entry.rows} for entry in shown]
    names = dict.fromkeys(name for found in reversed(ratios) for name, ratio in found.items() if ratio is not None)
    lines = [f"| plain / ours | {' | '.join(entry.name for entry in shown)} |", "|---" * (len(shown) + 1) + "|"]
    lines += [f"| {name} | {' | '.join(times(found.get(name)) for found in ratios)} |" for name in names]
    return "\n".join([*lines, "", *(describe(entry) for entry in shown)])


def describe(entry: Entry) -> str:
    """An item of a list: machine, versions, settings, load."""
    settings = ", ".join(f"{name} {value}" for name, value in entry.settings.items())
    busy = "" if entry.load is None else f"; a load of {entry.load:g} as it began"
    return f"- {entry.name}: {entry.machine}; Python {entry.python}, torch {entry.torch}; {settings}{busy}."
