"""What the page shows, as HTML. Everything that a visitor has typed or named is escaped here, and sounds and pictures are
part of the page itself, so that none is written to a disk."""

import base64
from collections.abc import Mapping, Sequence
from html import escape as escape_html
from pathlib import Path
from typing import Any

import pandas as pd

from models.localize.heard import SURE
from models.localize.result import Alternative, Unit
from models.page.waveforms import waveform_svg
from models.service.service import Result, to_csv
from models.service.thresholds import WORDS, Thresholds, explain_thresholds
from models.speech.audio import Waveform, as_wav

SHOWN_ROWS = 20  # of a batch; the rest is in the file
_SIGNS = {"right": "✓", "wrong": "✗", "review": "?"}
_KINDS = {"right": "as expected", "missing": "missing", "inserted": "said too much", "different": "different"}

CSS = Path(__file__).with_name("page.css").read_text(encoding="utf-8")


def escape(text: str) -> str:
    """As HTML, and without what the page's templates would read: `${…}` and `{{…}}`."""
    escaped = escape_html(text, quote=True)
    return "".join(f"&#{ord(sign)};" if sign in "${}`" else sign for sign in escaped)


def message_html(text: str) -> str:
    """What went wrong, in a box that screen readers announce."""
    return f'<div class="stc-alert" role="alert">{escape(_sentence(text))}</div>'


def thresholds_html(thresholds: Thresholds, figures: Mapping[str, Any]) -> str:
    return f"<p>{escape(explain_thresholds(thresholds, figures))}</p>"


def result_html(
    result: Result, thresholds: Thresholds, reference: Waveform | None, picture_png: bytes | None, note: str = ""
) -> str:
    """One scored answer.

    Parameters
    ----------
    reference : float32 [shape=(n,)]
        What was expected, at 16 kHz, where it can be heard.
    note
        Why there is no picture.
    """
    notes = "".join(
        f'<p class="stc-note">{escape(each)}</p>' for each in (*_recording(result), *result.notes, note) if each
    )
    expected = "" if reference is None else _sound("What was expected", reference)
    return (
        '<section class="stc-box" aria-live="polite" aria-label="Result">'
        f'<p class="stc-verdict stc-{result.verdict}"><span aria-hidden="true">{_SIGNS[result.verdict]}</span> '
        f"{escape(WORDS[result.verdict])}</p>"
        f"<p>Probability that the answer was right: <strong>{_percent(result.probability)}</strong></p>"
        f"{_scale(result.probability, thresholds)}{notes}{_explanation(result, picture_png)}"
        f'<div class="stc-sounds">{_sound("The answer", result.response)}{expected}</div>'
        "</section>"
    )


def batch_html(table: pd.DataFrame, list_address: str) -> str:
    """A summary of many answers, the first of them, and the whole as a file to download.

    Parameters
    ----------
    list_address
        Where a person works through them; empty where there are too many.
    """
    counts = table["verdict"].value_counts()
    told = [f"{int(counts.get(verdict, 0))} {words.lower()}" for verdict, words in WORDS.items()]
    problems = int((table["problem"] != "").sum())
    encoded = base64.b64encode(to_csv(table)).decode()
    return (
        '<section class="stc-box" aria-live="polite" aria-label="Results">'
        f"<p><strong>{len(table)} answers:</strong> {escape('; '.join(told))}; {problems} could not be scored.</p>"
        f"{_list_link(list_address)}"
        f'<a class="stc-download" download="scores.csv" href="data:text/csv;base64,{encoded}">Download scores.csv</a>'
        f"{_rows(table.head(SHOWN_ROWS))}"
        f"{f'<p>The first {SHOWN_ROWS} of {len(table)}.</p>' if len(table) > SHOWN_ROWS else ''}"
        "</section>"
    )


def _list_link(address: str) -> str:
    link = f'<a class="stc-download" href="{escape(address)}" target="_blank">Listen and correct</a> '
    return link if address else ""


def words_html(units: Sequence[Unit]) -> str:
    """The expected text, each part coloured by its score; what is wrong with it is written, not only coloured."""
    return f'<p class="stc-words">{" ".join(_unit(unit) for unit in units)}</p>'


def wav_url(waveform: Waveform) -> str:
    """A sound as part of the page: 16-bit WAV."""
    return f"data:audio/wav;base64,{base64.b64encode(as_wav(waveform)).decode()}"


def _recording(result: Result) -> list[str]:
    return [_sentence(f"The recording: {told}") for told in result.signal.in_words()]


def _explanation(result: Result, picture_png: bytes | None) -> str:
    if result.localization is None:
        return f'<p class="stc-words">{escape(result.answer.text)}</p>'
    found = result.localization
    return f"{words_html(found.units)}{_heard(found.transcript)}{_picture(found.units, picture_png)}"


def _heard(transcript: Sequence[Alternative] | None) -> str:
    """What a model would write down; words that it is not sure of are left out."""
    if not transcript:
        return ""
    words = " ".join(word.text if word.probability >= SURE else "…" for word in transcript)
    return f'<p class="stc-heard">What was heard: <q>{escape(words)}</q></p>' if words.strip("… ") else ""


def _picture(units: Sequence[Unit], picture_png: bytes | None) -> str:
    if picture_png is None:
        return ""
    told = ", ".join(f"{unit.text}: {_KINDS.get(unit.kind, unit.kind)}" for unit in units)
    encoded = base64.b64encode(picture_png).decode()
    alt = f"Spectrogram of the answer with the words above it: {told}"
    return f'<div class="stc-picture"><img alt="{escape(alt)}" src="data:image/png;base64,{encoded}"></div>'


def _unit(unit: Unit) -> str:
    kind = unit.kind if unit.kind in _KINDS else "different"
    hue = round(120 * min(max(unit.score, 0.0), 1.0))  # red to green
    told = _KINDS[kind] if unit.heard is None else f"{_KINDS[kind]}: “{unit.heard}”"
    label = "" if kind == "right" else f"<small>{escape(told)}</small>"
    return (
        f'<span class="stc-unit stc-{kind}" style="background: hsl({hue}, 75%, 80%)" '
        f'title="{escape(_time(unit))}score {unit.score:.2f}">{escape(unit.text or "+")}{label}</span>'
    )


def _time(unit: Unit) -> str:
    if unit.start_seconds is None or unit.end_seconds is None:
        return ""
    return f"{unit.start_seconds:.2f}–{unit.end_seconds:.2f} s, "


def _scale(probability: float, thresholds: Thresholds) -> str:
    low, high = 100 * thresholds.low, 100 * thresholds.high
    colours = f"#f2a9a3 0 {low}%, #ffe08a {low}% {high}%, #9edcb0 {high}% 100%"
    label = f"{_percent(probability)}; uncertain from {_percent(thresholds.low)} to {_percent(thresholds.high)}"
    marks = "".join(
        f'<span style="left: {place}%">{escape(words)}</span>'
        for place, words in ((0, "wrong"), ((low + high) / 2, "review"), (100, "right"))
    )
    return (
        f'<div class="stc-scale" role="img" aria-label="{escape(label)}" style="background: linear-gradient(90deg, {colours})">'
        f'<b style="left: {100 * probability:.1f}%"></b>{marks}</div>'
    )


def _sound(name: str, waveform: Waveform) -> str:
    return (
        f"<figure><figcaption>{escape(name)}</figcaption>{waveform_svg(waveform)}"
        f'<audio controls preload="auto" aria-label="{escape(name)}" src="{wav_url(waveform)}"></audio></figure>'
    )


def _rows(table: pd.DataFrame) -> str:
    header = "".join(f'<th scope="col">{escape(str(name)).replace("_", " ")}</th>' for name in table.columns)
    lines = []
    for row in table.itertuples(index=False):
        cells = (f"{cell:.3f}" if isinstance(cell, float) and cell == cell else _text(cell) for cell in row)
        lines.append(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>")
    return (
        f'<div class="stc-table" tabindex="0" role="region" aria-label="Scores"><table><thead><tr>{header}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _text(cell: object) -> str:
    return "" if isinstance(cell, float) else str(cell)


def _percent(probability: float) -> str:
    """Never 0 or 100 for what is only nearly so."""
    return (
        f"{min(max(100 * probability, 0.1), 99.9):.1f} %"
        if not 0.01 < probability < 0.99
        else f"{100 * probability:.0f} %"
    )


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
