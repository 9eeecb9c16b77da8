"""The words of an answer, as HTML: which were said, how clearly, and what else was heard."""

from collections.abc import Sequence

from models.localize.heard import SURE
from models.localize.result import Alternative, Unit
from models.page.html import escape
from models.page.phrases import Phrases

_KINDS = {"right": "as_expected", "missing": "missing", "inserted": "inserted", "different": "different"}  # phrases
_CLEAR = 0.7  # likely enough that experts would find it well said; of most words it is more than 0.95


def words_html(units: Sequence[Unit], say: Phrases) -> str:
    """The expected text, each part coloured by its score; what is wrong with it is written, not only coloured."""
    return f'<p class="stc-words">{" ".join(_unit(unit, say) for unit in units)}</p>'


def pronunciation_html(units: Sequence[Unit], say: Phrases) -> str:
    """How clearly the words were said that were said at all, where a model tells: another question than whether they were."""
    if not any(_is_judged(unit) for unit in units):
        return ""
    unclear = ", ".join(unit.text for unit in units if _is_unclear(unit))
    told = say("pronunciation_unclear", words=unclear) if unclear else say("pronunciation_clear")
    return f'<p class="stc-heard">{escape(told)}</p>'


def heard_html(transcript: Sequence[Alternative] | None, say: Phrases) -> str:
    """What a model would write down; words that it is not sure of are left out."""
    if not transcript:
        return ""
    words = " ".join(word.text if word.probability >= SURE else "…" for word in transcript)
    told = f'<p class="stc-heard">{escape(say("heard"))} <q lang="en">{escape(words)}</q></p>'
    return told if words.strip("… ") else ""


def kind_phrase(unit: Unit) -> str:
    """The name of the phrase that says what became of it."""
    return _KINDS[_kind(unit)]


def _unit(unit: Unit, say: Phrases) -> str:
    kind = "unclear" if _is_unclear(unit) else _kind(unit)
    hue = round(120 * min(max(unit.score, 0.0), 1.0))  # red to green
    label = "" if kind == "right" else f"<small>{escape(_told(unit, say))}</small>"
    return (
        f'<span class="stc-unit stc-{kind}" style="background: hsl({hue}, 75%, 80%)" '
        f'title="{escape(_title(unit, say))}">'
        f'<span lang="en">{escape(unit.text or "+")}</span>{label}</span>'
    )


def _told(unit: Unit, say: Phrases) -> str:
    if _is_unclear(unit):
        return say("unclear")
    kind = say(kind_phrase(unit))
    return kind if unit.heard is None else say("instead", kind=kind, heard=unit.heard)


def _title(unit: Unit, say: Phrases) -> str:
    told = [_time(unit, say), say("word_score", score=say.number(unit.score, 2))]
    if _is_judged(unit) and unit.said_well is not None:
        told.append(say("word_clear", percent=say.percent(unit.said_well)))
    return ", ".join(each for each in told if each)


def _kind(unit: Unit) -> str:
    return unit.kind if unit.kind in _KINDS else "different"


def _is_judged(unit: Unit) -> bool:
    """Of another word than the expected one it means nothing how well that was said."""
    return unit.kind == "right" and unit.said_well is not None


def _is_unclear(unit: Unit) -> bool:
    return unit.kind == "right" and unit.said_well is not None and unit.said_well < _CLEAR


def _time(unit: Unit, say: Phrases) -> str:
    if unit.start_seconds is None or unit.end_seconds is None:
        return ""
    return f"{say.number(unit.start_seconds, 2)}–{say.number(unit.end_seconds, 2)} s"
