"""What all parts of the page share, as HTML. Everything that a visitor has typed or named is escaped here."""

from collections.abc import Mapping
from html import escape as escape_html
from pathlib import Path
from typing import Any

from models.errors import InputError
from models.page.phrases import FALLBACK, NAMES, Phrases
from models.report.figures import review_figures
from models.service.batching import Busy
from models.service.thresholds import Thresholds

CSS = Path(__file__).with_name("page.css").read_text(encoding="utf-8")


def escape(text: str) -> str:
    """As HTML, and without what the page's templates would read: `${…}` and `{{…}}`."""
    escaped = escape_html(text, quote=True)
    return "".join(f"&#{ord(sign)};" if sign in "${}`" else sign for sign in escaped)


def english_html(text: str, before: str = "") -> str:
    """A sentence that is known in English alone, and one in the visitor's language that leads to it."""
    return f'{escape(before)} <span lang="{FALLBACK}">{escape(_sentence(text))}</span>'


def message_html(error: InputError | Busy, say: Phrases) -> str:
    """What went wrong, in a box that screen readers announce."""
    return f'<div class="stc-alert" role="alert">{_told(error, say)}</div>'


def languages_html(say: Phrases) -> str:
    """A choice of languages; the address of each page is its own."""
    links = (
        f'<a href="../{code}/" lang="{code}" hreflang="{code}"{_current(code == say.language)}>{name}</a>'
        for code, name in NAMES.items()
    )
    return f'<nav class="stc-languages" aria-label="{escape(say("language"))}">{" ".join(links)}</nav>'


def introduction_html(say: Phrases, max_seconds: float, blending: str, accepts_self_corrections: bool) -> str:
    rule = f" {escape(say('self_corrections'))}" if accepts_self_corrections else ""
    return (
        f"{languages_html(say)}<h1>{escape(say('page_title'))}</h1>"
        f"<p>{escape(say('introduction', seconds=f'{max_seconds:g}'))} {english_html(blending, say('scored_by'))}{rule}</p>"
    )


def thresholds_html(thresholds: Thresholds, figures: Mapping[str, Any], say: Phrases) -> str:
    """What the uncertain range means, with what it costs and gains on the clips held out in training where that is known."""
    rule = say("thresholds", low=say.number(thresholds.low, 2), high=say.number(thresholds.high, 2))
    if not figures:
        return f"<p>{escape(rule)}</p>"
    reviewed, accuracy = review_figures(figures["bins"], thresholds.low, thresholds.high)
    known = {"answers": say.count(figures["clips"]), "reviewed": say.percent(reviewed)}
    told = (
        say("thresholds_accuracy", accuracy=say.percent(accuracy), **known)
        if reviewed < 1
        else say("thresholds_reviewed", **known)
    )
    return f"<p>{escape(f'{rule} {told}')}</p>"


def _told(error: InputError | Busy, say: Phrases) -> str:
    if isinstance(error, Busy):
        return escape(say("error: busy", seconds=error.retry_after_seconds))
    if error.name:
        return escape(say(f"error: {error.name}", **error.values))
    return english_html(str(error), say("failed"))


def _current(is_current: bool) -> str:
    return ' aria-current="true"' if is_current else ""


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
