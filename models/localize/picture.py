"""A picture of a localization: the words over the response's spectrogram, and its alignment with the reference.

Colours run from red (surely not said) through yellow to blue (surely said): a scale that colour-blind readers can tell apart.
Marks and frames say the same without colour.
"""

import io
from collections.abc import Sequence
from typing import Protocol

import matplotlib
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from models.base.pictures import PLAIN_TEXT
from models.clips.features import FRAMES_PER_SECOND
from models.localize.result import Localization, Unit

_COLOURS = "RdYlBu"
_SYMBOLS = {"right": "", "missing": "▽ ", "different": "✕ ", "inserted": "+"}
_ENGLISH = {
    "expected": "expected: “{text}”",
    "probability": "probability of a right answer: {probability}",
    "counted": ", from {seconds} s on",
    "legend": "blue: said as expected   ✕ said differently   ▽ missing here   + something inserted",
    "scale": "probability that it was said as expected",
    "seconds": "seconds in the response",
    "bands": "response,\nmel band",
    "reference": "reference",
    "expected text": "expected text",
}
_LEAST_WIDTH_SECONDS = 0.012  # of a letter in a box of its own, for each second of the clip
_DOTS_PER_INCH = 110


class Say(Protocol):
    """What stands in the picture, by its name and the values in it."""

    def __call__(self, name: str, **values: str) -> str: ...


def in_english(name: str, **values: str) -> str:
    return _ENGLISH[name].format(**values)


@matplotlib.rc_context(PLAIN_TEXT)
def draw(localization: Localization, say: Say = in_english) -> Figure:
    """A figure of three panels over one time axis; `as_png` makes it a file."""
    figure = Figure(figsize=(10, 6.4), layout="constrained", dpi=_DOTS_PER_INCH)
    FigureCanvasAgg(figure)
    words, spectrogram, alignment = figure.subplots(3, 1, sharex=True, height_ratios=[1.15, 2, 2.4])
    end = localization.response_seconds
    _draw_units(words, localization.units, end)
    _draw_spectrogram(spectrogram, localization, say("bands"))
    _draw_alignment(alignment, localization, say(localization.alignment.expected))
    alignment.set_xlim(0, end)
    alignment.set_xlabel(say("seconds"))
    expected = say("expected", text=_shorten(localization.expected_text, 90))
    answer = say("probability", probability=f"{localization.probability:.2f}")
    if localization.counted_from_seconds:
        answer += say("counted", seconds=f"{localization.counted_from_seconds:.1f}")
    figure.suptitle(f"{expected}    {answer}", fontsize=11)
    words.set_title(say("legend"), fontsize=8, color="0.3")
    scale = ScalarMappable(Normalize(0, 1), _COLOURS)
    bar = figure.colorbar(scale, ax=[words, spectrogram, alignment], pad=0.01, aspect=40)
    bar.set_label(say("scale"))
    return figure


@matplotlib.rc_context(PLAIN_TEXT)
def as_png(figure: Figure) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png")
    return content.getvalue()


def _draw_units(axes: Axes, units: Sequence[Unit], end: float) -> None:
    """Boxes at their times; what has no length, or too little for its text, is named above with a pointer."""
    axes.set_ylim(0, 3)
    axes.set_yticks([])
    axes.spines[["left", "right", "top"]].set_visible(False)
    levels = _Levels(end)
    for unit in units:
        start, stop = unit.start_seconds or 0.0, unit.end_seconds or 0.0
        text, colour = f"{_SYMBOLS[unit.kind]}{unit.text}", _colour(unit.score)
        needed = len(text) * _LEAST_WIDTH_SECONDS * end
        if stop > start:
            axes.add_patch(_box(unit, start, stop, 0.1, 0.9, 1.0))
        middle = (start + stop) / 2
        if stop - start >= needed:
            axes.text(middle, 0.5, text, ha="center", va="center", fontsize=10, color=_ink(colour))
            continue
        at = float(np.clip(middle, needed / 2, end - needed / 2))
        height = levels.free(at - needed / 2, at + needed / 2)
        box = {"boxstyle": "round,pad=0.2", "facecolor": colour, "edgecolor": "black", "linewidth": 0.8}
        axes.annotate(
            text,
            (middle, 0.9 if stop > start else 0.1),
            (at, height),
            ha="center",
            va="center",
            fontsize=9,
            color=_ink(colour),
            bbox=box,
            arrowprops={"arrowstyle": "-", "color": "0.4"},
        )


class _Levels:
    """Rows above the boxes for names that would cover each other in one."""

    def __init__(self, end: float) -> None:
        self._ends = {1.4: -1.0, 2.05: -1.0, 2.7: -1.0}
        self._space = 0.01 * end

    def free(self, start: float, stop: float) -> float:
        """The lowest row with room, or the one that has most."""
        fitting = [height for height, taken in self._ends.items() if taken <= start]
        height = min(fitting) if fitting else min(self._ends, key=lambda height: self._ends[height])
        self._ends[height] = stop + self._space
        return height


def _draw_spectrogram(axes: Axes, localization: Localization, label: str) -> None:
    log_mel = localization.response_log_mel
    seconds = log_mel.shape[1] / FRAMES_PER_SECOND
    axes.imshow(log_mel, origin="lower", aspect="auto", extent=(0, seconds, 0, log_mel.shape[0]), cmap="gray_r")
    axes.set_ylabel(label)
    for unit in localization.units:
        if unit.kind != "right":
            for time in {unit.start_seconds or 0.0, unit.end_seconds or 0.0}:
                axes.axvline(time, color="#d95f02", linewidth=1.2, linestyle="--")


def _draw_alignment(axes: Axes, localization: Localization, label: str) -> None:
    alignment = localization.alignment
    extent = (0, localization.response_seconds, 0, alignment.length)
    axes.imshow(np.sqrt(alignment.weights), origin="lower", aspect="auto", extent=extent, cmap="gray_r", vmin=0, vmax=1)
    axes.set_ylabel(label)
    expected = localization.expected_units
    for unit, (first, last) in zip(expected, alignment.unit_rows, strict=True):
        start, stop = unit.start_seconds or 0.0, unit.end_seconds or 0.0
        axes.add_patch(_box(unit, start, stop, first, last, 0.45))
    middles = [(first + last) / 2 for first, last in alignment.unit_rows]
    axes.set_yticks(middles, [_shorten(unit.text, 14) for unit in expected], fontsize=8 if len(expected) < 16 else 6)
    axes.set_ylim(0, alignment.length)


def _box(unit: Unit, left: float, right: float, bottom: float, top: float, opacity: float) -> Rectangle:
    """Coloured by its score, with a bold broken frame where it was not right."""
    is_right = unit.kind == "right"
    return Rectangle(
        (left, bottom),
        right - left,
        top - bottom,
        facecolor=(*_colour(unit.score)[:3], opacity),
        edgecolor="black",
        linewidth=0.8 if is_right else 1.8,
        linestyle="-" if is_right else "--",
    )


def _colour(score: float) -> tuple[float, float, float, float]:
    return colormaps[_COLOURS](float(score))


def _ink(colour: Sequence[float]) -> str:
    """Black or white, whichever is read more easily on a colour."""
    red, green, blue = colour[:3]
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "white"


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
