"""The page: figures and pictures put into the template. Whatever comes from files is escaped there."""

import math
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from models.base.files import replace_when_done
from models.ensemble.bootstrap import N_DRAWS, Estimate
from models.ensemble.checkpoint import Checkpoint
from models.ensemble.metrics import N_BINS
from models.errors import InputError
from models.report.content import JUDGED, Part, Report, ReportOptions, gather_report
from models.report.plots import draw_all
from models.report.scores import ENOUGH_CLIPS, ENOUGH_UNITS
from models.report.svg import Picture

_HERE = Path(__file__).parent
_TITLES = {
    "log_loss": "log loss",
    "auc": "AUC",
    "ece": "ECE",
    "bias": "bias",
    "rejected": "right answers rejected",
    "accepted": "wrong answers accepted",
}
_IN_PERCENT = ("bias", "rejected", "accepted")
_MORE_IS_WORSE = {"log_loss": True, "auc": False, "ece": True, "rejected": True, "accepted": True}
NOTHING = "–"
_PERCENT = "\N{NO-BREAK SPACE}%"


def write_report(path: Path, assets: Mapping[Path, Checkpoint | InputError], options: ReportOptions) -> None:
    """Write the page of check_models.py --report: one file that needs nothing else; it appears whole or not at all.

    Raises
    ------
    InputError
        Where the path is a folder's, or groups that were asked for can't be read.
    """
    if path.is_dir():
        raise InputError(
            f"--report {path}: is a folder; give the name of the file to write, such as {path / 'report.html'}"
        )
    text = render_page(gather_report(assets, options))
    with replace_when_done(path) as temporary:
        temporary.write_bytes(text.encode("utf-8", "replace"))


def render_page(report: Report) -> str:
    pictures = draw_all(report.evidence, report.folds, report.checkpoints) if report.evidence else {}
    return (
        _environment()
        .get_template("report.html")
        .render(
            report=report,
            evidence=report.evidence,
            pictures=pictures,
            titles=_TITLES,
            judged=JUDGED,
            in_percent=_IN_PERCENT,
            made=datetime.now().strftime("%Y-%m-%d"),
            n_draws=N_DRAWS,
            ece_bins=N_BINS,
            enough_clips=ENOUGH_CLIPS,
            enough_units=ENOUGH_UNITS,
            # Ours, not a stranger's: safe as it is.
            style=Markup((_HERE / "report.css").read_text(encoding="utf-8")),
        )
    )


def number(value: float | None, digits: int = 3) -> str:
    """A figure; a dash where there is none. What rounds to nothing has no sign."""
    if value is None or not math.isfinite(value):
        return NOTHING
    return f"{value if round(value, digits) else 0.0:.{digits}f}"


def percent(value: float | None, digits: int = 1) -> str:
    shown = number(None if value is None else 100 * value, digits)
    return shown if shown == NOTHING else f"{shown}{_PERCENT}"


def interval(found: Estimate, digits: int = 3, as_percent: bool = False) -> Markup:
    """A figure with its interval beside it."""
    factor, unit = (100, _PERCENT) if as_percent else (1, "")
    shown = number(found.value * factor, digits)
    if shown == NOTHING or not math.isfinite(found.low):
        return Markup("{}{}").format(shown, "" if shown == NOTHING else unit)
    low, high = number(found.low * factor, digits), number(found.high * factor, digits)
    return Markup('{}{} <span class="interval">[{}, {}]</span>').format(shown, unit, low, high)


def verdict(figure: str, gap: Estimate) -> str:
    """worse, better or differs, where the interval of a gap does not hold 0; else nothing."""
    if not (gap.low > 0 or gap.high < 0):
        return ""
    if figure not in _MORE_IS_WORSE:
        return "differs"
    return "worse" if (gap.value > 0) == _MORE_IS_WORSE[figure] else "better"


def marked_gaps(part: Part) -> list[str]:
    """What is marked in a table of groups, in words: a line for each figure and verdict."""
    marked: dict[str, list[str]] = {}
    for name in JUDGED:
        for group, gap in zip(part.groups, part.gaps[name], strict=True):
            if found := verdict(name, gap):
                marked.setdefault(f"{_TITLES[name]} {found}", []).append(group.name)
    return [f"{what}: {', '.join(groups)}" for what, groups in marked.items()]


def picture(found: Picture, caption: str) -> Markup:
    """The drawing is matplotlib's, which escapes what it writes; its words are escaped here."""
    return Markup(
        '<figure role="img" aria-label="{}">{}<figcaption aria-hidden="true">{}</figcaption></figure>'
    ).format(found.alt, Markup(found.svg), caption)


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"number": number, "percent": percent, "interval": interval}
    environment.globals |= {"verdict": verdict, "marked_gaps": marked_gaps, "picture": picture}
    return environment
