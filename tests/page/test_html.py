"""The HTML that the page shows. Run: .venv/bin/python -m pytest tests/page/test_html.py"""

import base64
import io
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import soundfile
from fakes import checkpoints

from models.classroom.answers import HeardAnswer, scores_table
from models.errors import InputError
from models.inference.answers import Answer
from models.localize.result import Alignment, Alternative, Localization
from models.page.batch_html import batch_html
from models.page.html import message_html, thresholds_html
from models.page.phrases import all_phrases
from models.page.result_html import result_html, wav_url
from models.page.waveforms import waveform_svg
from models.page.word_html import words_html
from models.report.figures import ensemble_figures
from models.service.service import Result
from models.service.thresholds import Thresholds
from models.speech.signal import PROBLEMS, measure_signal

ATTACK = """<img src=x onerror="alert(1)">'"`${alert(2)}{{alert(3)}}"""
SAY = all_phrases()["en"]
REFERENCE = np.sin(np.arange(1_600, dtype=np.float32) / 20)


@dataclass(frozen=True)
class Word:
    text: str
    kind: str
    score: float
    start_seconds: float | None = 0.1
    end_seconds: float | None = 0.4
    heard: str | None = None
    said_well: float | None = None


class Seen(HTMLParser):
    """The tags with their attributes, and the text, as a browser would take them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def make_result(text: str, units: list[Word] | None = None, probability: float = 0.6) -> Result:
    waveform = np.sin(np.arange(1_600, dtype=np.float32) / 10)
    answer = Answer(waveform, text, "blending", "KG")
    alignment = Alignment(np.zeros((1, 1), np.float32), "reference", 0.1, ())
    found = Localization(text, "blocks", "word", 0.6, tuple(units or ()), (), 0.1, np.zeros((80, 10)), alignment)
    localization = None if units is None else found
    return Result(
        probability, "review", answer, ((text, probability),), waveform, localization, measure_signal(waveform), (text,)
    )


def shown(result: Result, picture: bytes | None = None, note: str = "") -> str:
    return result_html(result, Thresholds(), REFERENCE, picture, SAY, note)


def test_nothing_that_a_visitor_types_becomes_markup() -> None:
    """Neither as HTML nor in the template syntax of the page; and it is shown as it was typed."""
    units = [Word(ATTACK, kind, 0.5) for kind in ("right", "missing", "inserted", "different", ATTACK)]
    answer = HeardAnswer(ATTACK, "blending", ATTACK, "KG", ATTACK, 0.5, "review", ATTACK, (ATTACK,))
    pages = [
        shown(make_result(ATTACK), note=ATTACK),
        shown(make_result("x", units), b"png"),
        batch_html([answer], "", SAY),
        message_html(InputError(ATTACK), SAY),
        message_html(InputError(ATTACK), all_phrases()["de"]),
    ]
    for html in pages:
        seen = Seen(html)
        assert ATTACK in seen.text or ATTACK in str(seen.tags)
        assert {tag for tag, _ in seen.tags} <= set(
            "section p span strong div b figure figcaption audio small img svg path a table thead tbody tr th td".split()
        )
        assert not any(name.startswith("on") for _, attributes in seen.tags for name in attributes)
        assert not any(
            address and not address.startswith("data:")
            for _, tag in seen.tags
            for address in (tag.get("src"), tag.get("href"))
        )
        assert "${" not in html
        assert "{{" not in html


def test_the_result_holds_both_sounds_and_the_words() -> None:
    picture = b"\x89PNG something"
    units = [Word("we", "right", 0.95), Word("like", "missing", 0.1), Word("", "inserted", 0.2)]
    result = make_result("we like", units)
    html = shown(result, picture)
    seen = Seen(html)
    sounds = [attributes for tag, attributes in seen.tags if tag == "audio"]
    assert [tag["aria-label"] for tag in sounds] == ["The answer", "What was expected"]
    waveform, rate_hz = soundfile.read(io.BytesIO(base64.b64decode(str(sounds[0]["src"]).partition(",")[2])))
    assert rate_hz == 16_000
    np.testing.assert_allclose(waveform, result.response, atol=1e-4)
    image = next(attributes for tag, attributes in seen.tags if tag == "img")
    assert base64.b64decode(str(image["src"]).partition(",")[2]) == picture
    assert "like: missing" in str(image["alt"])
    assert "Uncertain: please review" in seen.text
    assert "60 %" in seen.text
    assert "likemissing" in seen.text  # said in words, not by colour alone
    colours = re.findall(r"hsl\((\d+)", words_html(units, SAY))
    assert [int(colour) for colour in colours] == [114, 12, 24]


def test_how_clearly_a_word_was_said_is_told_apart_from_whether_it_was() -> None:
    words = [Word("we", "right", 0.95, said_well=0.98), Word("like", "right", 0.9, said_well=0.3)]
    other = Word("hat", "different", 0.1, heard="cat", said_well=0.2)
    seen = Seen(shown(make_result("we like hat", [*words, other])))
    assert "likesaid, perhaps unclearly" in seen.text
    assert "perhaps not clearly, as experts would find: like." in seen.text
    assert "hatdifferent: “cat”" in seen.text
    assert "probably said clearly, too" in Seen(shown(make_result("we", [*words[:1], other]))).text
    for untold in (make_result("hat", [other]), make_result("we", [Word("we", "right", 0.9)]), make_result("we")):
        assert "Pronunciation" not in Seen(shown(untold)).text


@pytest.fixture
def of_a_transcript() -> Callable[..., str]:
    """The text of a page whose model wrote down words with probabilities."""

    def told(*words: tuple[str, float]) -> str:
        result = make_result("me", [Word("me", "different", 0.1, heard="<i>time</i>")])
        written = tuple(Alternative(*word) for word in words) if words else None
        localization = replace(result.localization, transcript=written)
        told = replace(result, localization=localization)
        return Seen(result_html(told, Thresholds(0.3, 0.7), None, None, SAY)).text

    return told


def test_what_was_heard_is_told_and_what_is_not_sure_is_left_out(of_a_transcript: Callable[..., str]) -> None:
    text = of_a_transcript(("give", 0.9), ("<b>time</b>", 0.5), ("maybe", 0.3))
    assert "What was heard: give <b>time</b> …" in text
    assert "different: “<i>time</i>”" in text


def test_nothing_is_told_where_nothing_is_sure(of_a_transcript: Callable[..., str]) -> None:
    assert "What was heard" not in of_a_transcript()
    assert "What was heard" not in of_a_transcript(("maybe", 0.3))


@pytest.mark.parametrize(
    ("probability", "told"), [(1e-7, "0.1 %"), (0.999999, "99.9 %"), (0.5, "50 %"), (0.876, "88 %")]
)
def test_never_certain(probability: float, told: str) -> None:
    assert told in Seen(shown(make_result("x", probability=probability))).text


def test_loud_sounds_are_clipped_not_wrapped() -> None:
    waveform, _ = soundfile.read(io.BytesIO(base64.b64decode(wav_url(np.float32([2.0, -2.0, 0.5])).partition(",")[2])))
    np.testing.assert_allclose(waveform, [1, -1, 0.5], atol=1e-3)


def test_the_download_is_the_whole_table() -> None:
    answers = [HeardAnswer(f"{row}.wav", "blending", "Größe, „cat“", "KG", "", 0.5, "review") for row in range(50)]
    html = batch_html(answers, "", SAY)
    link = next(attributes for tag, attributes in Seen(html).tags if tag == "a")
    assert link["download"] == "scores.csv"
    content = base64.b64decode(str(link["href"]).partition(",")[2])
    table = scores_table(answers)
    pd.testing.assert_frame_equal(pd.read_csv(io.BytesIO(content), keep_default_na=False), table, check_dtype=False)
    assert len(re.findall("<tr>", html)) == 21


@pytest.mark.slow
def test_the_explanation_of_thresholds_follows_the_held_out_answers() -> None:
    figures = ensemble_figures(checkpoints(), {"model2s": 1.0})
    thresholds = [Thresholds(low, high) for low, high in ((0.25, 0.75), (0.05, 0.95), (0.0, 1.0))]
    texts = [thresholds_html(each, figures, SAY) for each in thresholds]
    assert "1,200 answers" in texts[0]
    assert texts[0] != texts[1]
    assert "100 % were to review." in texts[2]
    assert "held out" not in thresholds_html(Thresholds(), {}, SAY)
    german = thresholds_html(thresholds[0], figures, all_phrases()["de"])
    assert "Unter 0,25" in german
    assert "1.200 Antworten" in german


def test_a_poor_recording_is_told_in_words() -> None:
    told = Seen(shown(make_result("x"))).text
    assert "The recording: no speech is heard" in told  # it is a tone
    fine = replace(make_result("x"), signal=replace(make_result("x").signal, problems=()))
    assert "The recording" not in Seen(shown(fine)).text
    both = replace(fine, signal=replace(fine.signal, problems=("too quiet", "cut at the end")))
    assert all(f"The recording: {PROBLEMS[name]}." in Seen(shown(both)).text for name in both.signal.problems)


def test_a_waveform_is_as_high_as_the_recording_is_loud() -> None:
    """Loud in its second half, on a line that fills the drawing's height; silence is a thin line."""
    waveform = np.concatenate([np.zeros(8_000), np.full(8_000, -0.2)]).astype(np.float32)
    spans = [
        (float(top), float(bottom)) for top, bottom in re.findall(r"M[\d.]+ ([\d.]+)V([\d.]+)", waveform_svg(waveform))
    ]
    heights = [bottom - top for top, bottom in spans]
    assert len(heights) == 240
    assert max(heights[:119]) < 1
    assert min(heights[121:]) == max(heights) == pytest.approx(38, abs=0.2)
    assert all(top + bottom == pytest.approx(40, abs=0.2) for top, bottom in spans)


@pytest.mark.parametrize("waveform", [np.zeros(1_600, np.float32), np.full(3, 0.5, np.float32)])
def test_silence_and_a_click_can_be_drawn(waveform: np.ndarray) -> None:
    assert "nan" not in waveform_svg(waveform)
