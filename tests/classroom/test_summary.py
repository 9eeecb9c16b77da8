"""Summaries, pauses and files for other programs, of answers that are made up.

Run: .venv/bin/python -m pytest tests/classroom/test_summary.py
"""

import csv
import io
import re
import zipfile
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from models.classroom.answers import HeardAnswer, by_worth, scores_table
from models.classroom.exports import answers_csv
from models.classroom.summary import summarise
from models.classroom.textgrids import textgrid, textgrids_zip
from models.localize.fluency import Fluency, measure_fluency, trim_to_sounds
from models.localize.result import Alignment, Localization, Unit
from models.speech.pauses import find_sounds

EVIL = 'she said "we’ll \\see" <b>é\n</b>'


def answer(name: str = "a.wav", text: str = "we go", probability: float | None = 0.8, **given: object) -> HeardAnswer:
    made = HeardAnswer(name, "sentence_repetition", text, "1", "", probability, "right", seconds=2.0)
    return replace(made, **given)  # type: ignore[arg-type]


def word(text: str, start: float, end: float, kind: str = "right") -> Unit:
    return Unit(text, kind, 0.9, start, end)  # type: ignore[arg-type]


def localization(*units: Unit, unit: str = "word") -> Localization:
    nothing = np.zeros((1, 1), np.float32)
    alignment = Alignment(nothing, "reference", 1.0, ())
    return Localization("text", "tokens", unit, 0.5, units, (), 3.0, nothing, alignment)


def noise(*parts: tuple[float, float]) -> np.ndarray:
    """Stretches of seconds and loudness."""
    rng = np.random.default_rng(0)
    return np.concatenate([level * rng.standard_normal(int(seconds * 16_000)) for seconds, level in parts]).astype(
        np.float32
    )


# Pauses, words per minute


@pytest.mark.parametrize("room", [0.0, 1e-4, 1e-3, 5e-3])
def test_sounds_between_pauses(room: float) -> None:
    """A pause is heard in a silent room and in a louder one; a gap inside a word is none."""
    heard = noise((0.5, room), (0.4, 0.1), (0.15, room), (0.4, 0.1), (0.6, room), (0.5, 0.1), (0.5, room))
    sounds = find_sounds(heard)
    np.testing.assert_allclose(sounds, [(0.5, 1.45), (2.05, 2.55)], atol=0.03)


@pytest.mark.parametrize("waveform", [noise((1.0, 0.1)), np.zeros(16_000, np.float32), np.zeros(10, np.float32)])
def test_what_never_pauses_or_never_speaks(waveform: np.ndarray) -> None:
    assert len(find_sounds(waveform)) <= 1


def test_words_correct_per_minute_and_pauses_of_a_sentence() -> None:
    heard = noise((0.5, 0), (0.5, 0.1), (0.6, 0), (0.5, 0.1), (0.9, 0))
    units = [
        word("we", 0.4, 0.8),
        word("like", 0.8, 1.4),
        word("it", 1.4, 3.0, "different"),
        word("all", 3.0, 3.0, "missing"),
    ]
    fluency = measure_fluency(localization(*units), find_sounds(heard))
    assert fluency is not None
    assert (fluency.words, fluency.words_right) == (4, 2)
    assert fluency.seconds == pytest.approx(1.6, abs=0.04)  # from 0.5 to 2.1
    assert fluency.words_correct_per_minute == pytest.approx(75, abs=2)
    assert [round(end - start, 1) for start, end in fluency.pauses] == [0.6]


def test_only_pauses_between_the_first_word_and_the_last_count() -> None:
    """Not that behind a cough before the words, nor that before a noise after them."""
    heard = noise((0.3, 0), (0.2, 0.1), (0.5, 0), (0.5, 0.1), (0.4, 0), (0.5, 0.1), (0.5, 0), (0.2, 0.1), (0.3, 0))
    fluency = measure_fluency(localization(word("we", 1.0, 1.5), word("go", 1.9, 2.4)), find_sounds(heard))
    assert fluency is not None
    assert [round(end - start, 1) for start, end in fluency.pauses] == [0.4]


@pytest.mark.parametrize(
    "found",
    [
        localization(word("k", 0, 0.1), word("t", 0.1, 0.3), unit="phone"),
        localization(word("one", 0, 1)),
        localization(word("we", 0, 0, "missing"), word("go", 0, 0, "missing")),
        localization(Unit("we", "right", 0.9, None, None), Unit("go", "right", 0.9, None, None)),
        localization(word("we", 1.9, 1.95), word("go", 1.95, 2.0)),
    ],
)
def test_what_has_no_rate(found: Localization) -> None:
    assert measure_fluency(found, find_sounds(noise((2.0, 0.1)))) is None


def test_words_lose_the_pauses_that_they_take_in() -> None:
    heard = noise((0.5, 0), (0.5, 0.1), (0.6, 0), (0.5, 0.1), (0.9, 0))
    units = (word("we", 0.3, 1.4), word("go", 1.4, 3.0), word("", 0.1, 0.1, "inserted"))
    trimmed = [(unit.start_seconds, unit.end_seconds) for unit in trim_to_sounds(units, find_sounds(heard))]
    np.testing.assert_allclose(trimmed, [(0.5, 1.0), (1.6, 2.1), (0.1, 0.1)], atol=0.03)


# Order and summary


def test_the_doubtful_come_first_and_those_without_a_score_last() -> None:
    answers = [answer(probability=p) for p in (0.99, 0.52, None, 0.1, 0.48, 0.3)]
    assert by_worth(answers) == [1, 4, 5, 3, 0, 2]


def test_a_person_counts_where_there_is_one_and_else_the_model() -> None:
    fluent = Fluency(4, 3, 2.0, ((0.5, 1.0),))
    slow = Fluency(4, 1, 6.0, ())
    answers = [
        answer(child="b", probability=0.2, fluency=fluent),
        answer(child="a", probability=0.6, fluency=slow),
        answer(child="b", probability=0.9, task="blending", expected_text="cat"),
        answer(child="b", probability=None, problem="broken"),
        answer(child="b", probability=None),
    ]
    found = summarise(answers, {0: "right", 2: "skipped", 4: "wrong"})
    assert [line.name for line in found.children] == ["a", "b"]
    assert [line.name for line in found.tasks] == ["blending", "sentence_repetition"]
    assert [line.name for line in found.items] == ["cat", "we go"]
    own = found.children[1]
    assert (own.answers, own.by_person, own.right_by_person, own.by_model) == (4, 2, 1, 1)
    assert own.right_by_model == pytest.approx(0.9)
    assert own.share_right == pytest.approx(1.9 / 3)  # the broken one counts nowhere
    assert found.all.words_per_minute == pytest.approx(60 * 4 / 8)  # a long sentence counts for its length
    assert (found.all.sentences, found.all.pauses, found.all.pause_seconds) == (2, 0.5, 0.25)
    assert found.tasks[0].words_per_minute is None


def test_without_children_and_without_scores() -> None:
    found = summarise([answer(probability=None, problem="broken")], {})
    assert found.children == ()
    assert found.all.share_right is None


# Files


def test_a_table_for_spreadsheets_says_who_says_what() -> None:
    answers = [
        answer(text=EVIL, child="7,5", fluency=Fluency(4, 3, 2.0, ((0.5, 1.0),)), signal=("too quiet",)),
        answer("b.wav", probability=None, problem="broken", seconds=None),
    ]
    content = answers_csv(answers, {0: "wrong"})
    assert content.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))
    assert rows[0]["expected_text"] == EVIL
    assert (rows[0]["child"], rows[0]["person"], rows[0]["model_verdict"]) == ("7,5", "wrong", "right")
    assert (rows[0]["model_words_correct_per_minute"], rows[0]["model_pauses"]) == ("90.0", "1")
    assert (rows[1]["model_probability"], rows[1]["person"], rows[1]["problem"]) == ("", "", "broken")
    assert scores_table(answers)["problem"].tolist() == ["", "broken"]


def read_textgrid(text: str) -> dict[str, list[tuple[float, float, str]]]:
    """Tiers of intervals as Praat reads them: numbers and quoted texts alone count."""
    head, _, _ = text.partition("item []:")
    assert head.startswith('File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\n')
    tiers: dict[str, list[tuple[float, float, str]]] = {}
    for tier in re.split(r"\n    item \[\d+\]:\n", text)[1:]:
        name = re.search(r'name = "(.*)"', tier)
        assert name is not None
        if '"TextTier"' in tier:
            found = re.findall(r'number = (\S+)\n\s+mark = "((?:[^"]|"")*)"\n?', tier)
            tiers[name[1]] = [(float(at), float(at), mark.replace('""', '"')) for at, mark in found]
        else:
            spans = re.findall(r'xmin = (\S+)\n\s+xmax = (\S+)\n\s+text = "((?:[^"]|"")*)"\n?', tier)
            tiers[name[1]] = [(float(start), float(end), label.replace('""', '"')) for start, end, label in spans]
        size = re.search(r"size = (\d+)", tier)
        assert size is not None
        assert int(size[1]) == len(tiers[name[1]])
    return tiers


UNITS = (
    word("we’ll", 0.4, 0.9),
    word('"see"', 0.85, 1.2, "different"),  # which overlaps
    word("back\\slash", 1.2, 1.2, "missing"),
    word("", 1.2, 1.2, "inserted"),
    word("", 1.3, 1.5, "inserted"),
    word("end", 1.9, 2.4),  # beyond the recording
    Unit("never", "missing", 0.1, None, None),
)


@pytest.mark.parametrize(
    "units", [UNITS, (), (word("all", 0.0, 2.0),), (word("a", 0.0, 1.0), word("b", 1.0004, 1.9998))]
)
def test_textgrids_are_whole_whatever_the_words_are(units: tuple[Unit, ...]) -> None:
    tiers = read_textgrid(textgrid(answer(text=EVIL, units=units), "wrong"))
    assert list(tiers) == ["words", "scores", "departures", "answer"]
    for name in ("words", "scores", "answer"):
        edges = [(start, end) for start, end, _ in tiers[name]]
        assert edges[0][0] == 0
        assert edges[-1][1] == 2
        assert all(before[1] == after[0] for before, after in pairwise(edges))
        assert all(start < end for start, end in edges)
    assert "person: wrong" in tiers["answer"][0][2]
    assert 'she said "we’ll \\bssee" <b>é </b>' in tiers["answer"][0][2]


def test_words_and_scores_of_a_textgrid() -> None:
    tiers = read_textgrid(textgrid(answer(units=UNITS), None))
    words = [(round(start, 2), round(end, 2), text) for start, end, text in tiers["words"] if text]
    assert words == [(0.4, 0.9, "we’ll"), (0.9, 1.2, '"see"'), (1.3, 1.5, "+"), (1.9, 2.0, "end")]
    assert [text for _, _, text in tiers["scores"] if text][1] == "0.900 different"
    assert tiers["departures"] == [(1.2, 1.2, "missing back\\bsslash; inserted")]
    assert "person" not in tiers["answer"][0][2]


def test_an_archive_of_textgrids() -> None:
    names = ["a.wav", "some/b.c.wav", "a.mp3", "../../out.wav", "none.wav", ".wav"]
    answers = [answer(name, seconds=None if name == "none.wav" else 1.0) for name in names]
    with zipfile.ZipFile(io.BytesIO(textgrids_zip(answers, {}))) as archive:
        found = archive.namelist()
        assert found == ["a.TextGrid", "some/b.c.TextGrid", "a.mp3.TextGrid", "out.TextGrid", ".wav.TextGrid"]
        assert read_textgrid(archive.read("a.TextGrid").decode())["words"] == [(0, 1, "")]
