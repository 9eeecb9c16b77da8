"""One scored answer, as HTML. Sounds and pictures are part of the page itself, so that none is written to a disk."""

import base64
from collections.abc import Sequence

from models.localize.result import Unit
from models.page.html import english_html, escape
from models.page.phrases import Phrases
from models.page.waveforms import waveform_svg
from models.page.word_html import heard_html, kind_phrase, pronunciation_html, words_html
from models.service.service import Result
from models.service.thresholds import Thresholds
from models.speech.audio import Waveform, as_wav

_SIGNS = {"right": "✓", "wrong": "✗", "review": "?"}


def result_html(
    result: Result,
    thresholds: Thresholds,
    reference: Waveform | None,
    picture_png: bytes | None,
    say: Phrases,
    note: str = "",
) -> str:
    """One scored answer.

    Parameters
    ----------
    reference : float32 [shape=(n,)]
        What was expected, at 16 kHz, where it can be heard.
    note
        Why there is no picture.
    """
    expected = "" if reference is None else _sound(say("expected_sound"), reference)
    return (
        f'<section class="stc-box" aria-live="polite" aria-label="{escape(say("result"))}">'
        f'<p class="stc-verdict stc-{result.verdict}"><span aria-hidden="true">{_SIGNS[result.verdict]}</span> '
        f"{escape(say(f'verdict: {result.verdict}'))}</p>"
        f"<p>{escape(say('probability_right'))} <strong>{_percent(result.probability, say)}</strong></p>"
        f"{_scale(result.probability, thresholds, say)}{_notes(result, note, say)}{_explanation(result, picture_png, say)}"
        f'<div class="stc-sounds">{_sound(say("answer"), result.response)}{expected}</div>'
        "</section>"
    )


def wav_url(waveform: Waveform) -> str:
    """A sound as part of the page: 16-bit WAV."""
    return f"data:audio/wav;base64,{base64.b64encode(as_wav(waveform)).decode()}"


def _notes(result: Result, note: str, say: Phrases) -> str:
    """What is wrong with the recording, what is not heard of it, and why there is no picture."""
    recording = [say("of_recording", told=say(f"signal: {problem}")) for problem in result.signal.problems]
    told = [
        *map(escape, recording),
        *(english_html(each, say("note")) for each in result.notes),
        *([escape(note)] if note else []),
    ]
    return "".join(f'<p class="stc-note">{each}</p>' for each in told)


def _explanation(result: Result, picture_png: bytes | None, say: Phrases) -> str:
    if result.localization is None:
        return f'<p class="stc-words" lang="en">{escape(result.answer.text)}</p>'
    found = result.localization
    words = f"{words_html(found.units, say)}{pronunciation_html(found.units, say)}"
    return f"{words}{heard_html(found.transcript, say)}{_picture(found.units, picture_png, say)}"


def _picture(units: Sequence[Unit], picture_png: bytes | None, say: Phrases) -> str:
    if picture_png is None:
        return ""
    alt = say("picture_alt", words=", ".join(f"{unit.text}: {say(kind_phrase(unit))}" for unit in units))
    encoded = base64.b64encode(picture_png).decode()
    return f'<div class="stc-picture"><img alt="{escape(alt)}" src="data:image/png;base64,{encoded}"></div>'


def _scale(probability: float, thresholds: Thresholds, say: Phrases) -> str:
    low, high = 100 * thresholds.low, 100 * thresholds.high
    colours = f"#f2a9a3 0 {low}%, #ffe08a {low}% {high}%, #9edcb0 {high}% 100%"
    low_told, high_told = _percent(thresholds.low, say), _percent(thresholds.high, say)
    label = say("scale", percent=_percent(probability, say), low=low_told, high=high_told)
    marks = "".join(
        f'<span style="left: {place}%">{escape(say(f"scale: {verdict}"))}</span>'
        for place, verdict in ((0, "wrong"), ((low + high) / 2, "review"), (100, "right"))
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


def _percent(probability: float, say: Phrases) -> str:
    """Never 0 or 100 for what is only nearly so."""
    is_nearly_sure = not 0.01 < probability < 0.99
    return say.percent(min(max(probability, 0.001), 0.999), 1) if is_nearly_sure else say.percent(probability)
