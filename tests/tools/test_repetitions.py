"""Answers that are joined anew, and the table of what models make of them.

Run: python -m pytest tests/tools/test_repetitions.py
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fakes import tone

from experiments.repetitions import localized, report, unit_gaps
from experiments.restarted_answers import KINDS, WHOLE_KINDS, Restarted, make_rejoined, restart
from experiments.self_corrections import cost_table
from models.localize.result import Alignment, Localization, Unit
from models.speech.attempts import later_attempts
from models.speech.audio import SAMPLE_RATE_HZ
from models.speech.pauses import find_sounds
from tools.word_cuts import Sentence, find_cuts

HOP = SAMPLE_RATE_HZ // 100
ONE, MAN = (20, 40), (60, 90)  # spectrogram frames of the two words
OTHER, ANSWER = np.full(20 * HOP, 3.0, np.float32), np.full(50 * HOP, 4.0, np.float32)


@pytest.fixture
def sentence() -> Sentence:
    """Samples of the first word are 1, of the second 2, of quiet 0."""
    frames = np.zeros(110, np.float32)
    frames[slice(*ONE)], frames[slice(*MAN)] = 1, 2
    loudness = (frames > 0).astype(np.float32)
    return Sentence(np.repeat(frames, HOP), ("one", "man"), ((1, 2), (3, 4)), (ONE, MAN), loudness)


def heard(waveform: np.ndarray) -> list[tuple[float, float]]:
    """What follows what: the value and the seconds of each stretch of sound."""
    edges = np.flatnonzero(np.diff(waveform)) + 1
    pieces = np.split(waveform, edges)
    return [(float(piece[0]), len(piece) / SAMPLE_RATE_HZ) for piece in pieces if piece[0] != 0 and len(piece) > HOP]


def made_of(sentence: Sentence) -> dict[str, Restarted]:
    cut = next(cut for cut in find_cuts(sentence, 1) if cut.first == 1)
    return {one.kind: one for one in restart("a.wav", sentence, cut, OTHER, ANSWER)}


def values(made: Restarted) -> list[float]:
    return [value for value, _ in heard(made.waveform)]


def test_each_kind_is_joined_as_it_says(sentence: Sentence) -> None:
    made = made_of(sentence)
    assert list(made) == list(KINDS)
    assert {kind: values(one) for kind, one in made.items() if kind != "a word begun, then said"} == {
        "as recorded": [1, 2],
        "a word said twice": [1, 2, 2],
        "another word, then the right one": [1, 3, 2],
        "the answer said twice": [1, 2, 1, 2],
        "another answer, then the right one": [4, 1, 2],
        "the right answer, then another": [1, 2, 4],
        "another answer alone": [4],
    }
    for value, seconds in heard(made["a word said twice"].waveform)[1:]:
        assert (value, seconds) == (2, pytest.approx(0.3, abs=0.01))


def test_a_word_that_breaks_off_is_half_as_long_and_fades(sentence: Sentence) -> None:
    wave = made_of(sentence)["a word begun, then said"].waveform
    loud = np.flatnonzero(wave > 1)
    begun, whole = np.split(loud, np.flatnonzero(np.diff(loud) > HOP) + 1)
    assert len(begun) / SAMPLE_RATE_HZ == pytest.approx(0.15, abs=0.02)
    assert len(whole) / SAMPLE_RATE_HZ == pytest.approx(0.3, abs=0.01)
    assert np.abs(np.diff(wave[loud[0] + HOP : loud[0] + 20 * HOP])).max() < 0.1  # no click where it stops


def test_where_something_was_added(sentence: Sentence) -> None:
    assert {kind: set(one.gaps) for kind, one in made_of(sentence).items()} == {
        "as recorded": set(),
        "a word said twice": {1, 2},
        "a word begun, then said": {1},
        "another word, then the right one": {1},
        "the answer said twice": {0, 2},
        "another answer, then the right one": {0},
        "the right answer, then another": {2},
        "another answer alone": set(),
    }


@pytest.mark.parametrize(
    ("words", "gaps", "hit"), [((0.9, 0.8), (0.9, 0.1, 0.9), 1.0), ((0.9, 0.05), (0.9, 0.1, 0.9), 0.0)]
)
def test_the_lowest_of_words_and_gaps_is_sought(
    monkeypatch: pytest.MonkeyPatch, words: tuple[float, ...], gaps: tuple[float, ...], hit: float
) -> None:
    units = tuple(Unit("x", "right", score, 0.0, 1.0) for score in words)
    alignment = Alignment(np.zeros((1, 1), np.float32), "reference", 1.0, ())
    found = Localization("one man", "alignment", "word", 0.7, units, gaps, 1.0, np.zeros((1, 1), np.float32), alignment)
    monkeypatch.setattr("experiments.repetitions.localize", lambda *_: found)
    clip = pd.Series({"expected_text": "one man", "task": "sentence_repetition", "grade": "1"})
    made = Restarted("a.wav", "a word begun, then said", OTHER, frozenset({1}))
    assert localized(None, clip, made, lambda _: OTHER) == (0.7, np.mean(np.array(words) >= 0.5), hit, 0.2)  # type: ignore[arg-type]
    whole = localized(None, clip, Restarted("a.wav", "as recorded", OTHER, frozenset()), lambda _: OTHER)  # type: ignore[arg-type]
    assert np.isnan(whole[2:]).all()


@pytest.mark.parametrize(
    ("unit", "texts", "gaps", "expected"),
    [
        ("word", ("a", "cat", "sat"), {1, 2}, {1, 2}),
        ("word", ("a cat", "sat"), {0, 1, 2, 3}, {0, 1, 2}),  # the second stands inside a unit
        ("phone", ("k", "a", "t"), {0, 1}, {0, 3}),  # of a single word
    ],
)
def test_places_between_words_are_places_between_units(
    unit: str, texts: tuple[str, ...], gaps: set[int], expected: set[int]
) -> None:
    units = tuple(Unit(text, "right", 0.9, 0.0, 1.0) for text in texts)
    alignment = Alignment(np.zeros((1, 1), np.float32), "reference", 1.0, ())
    found = Localization("x", "alignment", unit, 0.7, units, (), 1.0, np.zeros((1, 1), np.float32), alignment)
    assert unit_gaps(found, gaps) == expected


def test_the_table_has_a_row_for_each_kind() -> None:
    rows = [
        (f"{clip}.wav", str(clip // 2), kind, 0.8, 1.0, np.nan if kind == "as recorded" else 0.0, 0.25, 1.0)
        for clip in range(8)
        for kind in KINDS
    ]
    names = ["filename", "speaker", "kind", "probability", "words_said", "hit", "chance", "called_right"]
    lines = report(pd.DataFrame(rows, columns=names)).split("\n")[2:]
    assert len(lines) == len(KINDS)
    assert lines[0] == (
        "| as recorded | right | 8 | 100% [100%, 100%] | 0.800 [0.800, 0.800] | 100% [100%, 100%] |  | 25% |"
    )
    assert "| 0% [0%, 0%] | 25% |" in lines[1]


def test_single_words_are_joined_with_pauses_of_their_own_quiet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    rows = [("a", "s1", "cat"), ("b", "s1", "dog"), ("c", "s2", "cat"), ("d", "s1", "a cat")]
    sounds = {
        name: np.concatenate([tone(0.4, 300 + 300 * at, rng), np.full(3_200, 1e-4)])
        for at, (name, *_) in enumerate(rows)
    }
    monkeypatch.setattr("experiments.restarted_answers.read_audio", lambda path: sounds[path.name].astype(np.float32))
    table = pd.DataFrame(rows, columns=["filename", "speaker", "spoken_text"]).assign(score=1.0, task="blending")
    made = make_rejoined(table[table["filename"] != "d"], tmp_path, 0, 10)
    assert sorted(several[0].filename for several in made) == ["a", "b"]  # the third child said one word only
    (of_a,) = (several for several in made if several[0].filename == "a")
    assert [one.kind for one in of_a] == list(WHOLE_KINDS)
    n_sounds = {one.kind: len(find_sounds(one.waveform)) for one in of_a}
    assert list(n_sounds.values()) == [1, 2, 2, 2, 1]
    for one in of_a[1:4]:  # what ends the recording is its last attempt
        (attempt,) = later_attempts(one.waveform, "cat")
        own = sounds["b" if one.kind == "the right answer, then another" else "a"]
        np.testing.assert_array_equal(attempt.waveform[-len(own) :], own.astype(np.float32))
    assert len(make_rejoined(table[table["filename"] != "d"], tmp_path, 0, 1)) == 1


def test_what_the_rule_costs() -> None:
    asked = pd.DataFrame({"task": ["blending", "deletion"] * 20, "score": [1.0, 0.0, 0.0, 1.0] * 10})
    asked["speaker"] = [str(at // 4) for at in range(40)]
    off = np.where(asked["score"] > 0, 0.8, 0.2)
    on = off.copy()
    on[[1, 2]], off[0], on[0] = 0.9, 0.1, 0.7
    all_clips, blending, _ = cost_table(asked, {"off": off, "on": on}).splitlines()[2:]
    assert all_clips.startswith("| all | 40 | 1 | 2 | ")
    assert blending.startswith("| blending | 20 | 1 | 1 | ")
    unchanged = cost_table(asked, {"off": off, "on": off}).splitlines()[2]
    assert unchanged.count("+0.0000 [+0.0000, +0.0000]") == 2
