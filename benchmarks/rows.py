"""What every benchmark gives: rows of ours beside plain, and the one table that they are printed in."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

HEAD = "| | ours | plain | ratio |\n|---|---|---|---|"
FORMATS = {
    "ms": "{:.1f} ms",
    "s": "{:.1f} s",
    "GB": "{:.1f} GB",
    "share": "{:.0%}",
    "GFLOP/s": "{:.0f} GFLOP/s",
    "": "{:.1g}",
}
COSTS = ("ms", "s", "GB")  # less is better, so that a ratio says something
_PER_SECOND = {"ms": 1000.0, "s": 1.0}


@dataclass(frozen=True)
class Row:
    """One thing that was measured.

    Attributes
    ----------
    part
        Of the benchmarks, which is measured again as a whole.
    name
        Its own in the whole table.
    ours, plain
        In `unit`; plain is None where there is no such thing.
    unit
        A key of FORMATS.
    """

    part: str
    name: str
    ours: float
    plain: float | None = None
    unit: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times more the plain implementation takes; None of what is no cost, or has nothing beside it."""
        if self.unit not in COSTS or self.plain is None or self.ours <= 0:
            return None
        return self.plain / self.ours

    @property
    def text(self) -> str:
        """As a line of a Markdown table."""
        form = FORMATS[self.unit]
        plain = "" if self.plain is None else form.format(self.plain)
        return f"| {self.name} | {form.format(self.ours)} | {plain} | {times(self.ratio)} |"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, in four digits, and the ratio for whoever reads them elsewhere."""
        values = {**asdict(self), "ratio": self.ratio}
        return {name: float(f"{value:.4g}") if isinstance(value, float) else value for name, value in values.items()}


def row_from_dict(values: Mapping[str, Any]) -> Row:
    """The inverse of `Row.to_dict`."""
    return Row(**{field.name: values[field.name] for field in fields(Row)})


def timed(part: str, name: str, seconds: Iterable[float], per: int = 1, unit: str = "ms") -> Row:
    """A row of seconds, ours and plain, that so many items took."""
    ours, plain = (value * _PER_SECOND[unit] / per for value in seconds)
    return Row(part, name, ours, plain, unit)


def times(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.1f} ×"
