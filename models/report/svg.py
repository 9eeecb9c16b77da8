"""Drawings by matplotlib, as SVG that takes its colours and letters from the page: light, dark or printed."""

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from models.base.pictures import PLAIN_TEXT

# matplotlib draws with stand-ins; the page's style sheet gives each its colour in light, in dark and on paper.
INK, MUTED, GRID, MAIN, WRONG, PALE = "#010101", "#010102", "#010103", "#010104", "#010105", "#010106"
FOLDS = ("#010111", "#010112", "#010113", "#010114", "#010115", "#010116")
_VARIABLES = {INK: "ink", MUTED: "muted", GRID: "grid", MAIN: "main", WRONG: "wrong", PALE: "pale"} | {
    colour: f"fold{index}" for index, colour in enumerate(FOLDS)
}
_STYLE: Any = {
    **PLAIN_TEXT,
    "svg.fonttype": "none",  # letters stay letters: they can be read aloud, searched, and need no room
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlesize": 11,
    "grid.color": GRID,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
    "figure.constrained_layout.use": True,
}
WIDTH_INCHES = 4.6  # at 96 pixels to the inch a little more than a phone is wide, so that letters stay readable


@dataclass(frozen=True)
class Picture:
    """A drawing as part of the page.

    Attributes
    ----------
    svg
        An element for the page; it needs nothing from outside. alt : what it shows, in words.
    """

    svg: str
    alt: str


def draw(name: str, alt: str, paint: Callable[[Axes], None], height_inches: float = 3.4) -> Picture:
    """Paint axes, and give them as SVG.

    Parameters
    ----------
    name
        Tells the picture's elements from those of others.
    """
    with matplotlib.rc_context(_STYLE):
        figure, content = Figure(figsize=(WIDTH_INCHES, height_inches)), io.StringIO()
        paint(figure.add_subplot())
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(content, format="svg", transparent=True, metadata=nothing)
    return Picture(_for_page(content.getvalue(), name), alt)


def _for_page(svg: str, name: str) -> str:
    """Without what only a file needs; with ids of its own, the page's colours and letters, and no more digits than pixels."""
    opening, content = re.split(r"(?<=>)", svg[svg.index("<svg") :], maxsplit=1)
    box = re.findall(r'viewBox="([^"]*)"', opening)[0]
    content = re.sub(r"<!--.*?-->|<style.*?</style>", "", content, flags=re.DOTALL)
    content = re.sub(r"<[^>]+>", lambda tag: re.sub(r"(\.\d\d)\d+", r"\1", tag.group()), content)
    content = re.sub(r'\bid="', f'id="{name}-', content)
    content = re.sub(r'(xlink:)?href="#', f'href="#{name}-', content).replace("url(#", f"url(#{name}-")
    content = re.sub(r"'DejaVu Sans'[^;\"]*", "var(--font)", content)
    for colour, variable in _VARIABLES.items():
        content = content.replace(colour, f"var(--{variable})")
    pixels = round(float(box.split()[2]) * 4 / 3)
    return f'<svg viewBox="{box}" style="max-width:{pixels}px" aria-hidden="true">{content}'
