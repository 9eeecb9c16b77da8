"""Single words cut out of children's sentences, and what they are asked for.

Run: .venv/bin/python -m pytest tests/tools/test_words.py
"""

import itertools
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from fakes import ROOT

from models.clips.tables import read_labels, read_test_table, read_training_table
from models.errors import InputError
from models.network.phones import PHONE_CLASSES
from models.speech.audio import SAMPLE_RATE_HZ
from models.speech.lexicon import look_up, pronunciations
from models.speech.pronunciation import NONWORDS, pronounce_text
from models.speech.voices import EspeakVoice
from tools.make_words import make_words
from tools.word_cuts import MARGIN_SECONDS, Cut, Sentence, cut_out, find_cuts, loudness_of
from tools.word_questions import (
    RIGHT,
    Question,
    as_said,
    ask_for_nonwords,
    ask_for_words,
    miss_kind,
    near_nonword,
)

HOP = SAMPLE_RATE_HZ // 100


def classes(names: str) -> tuple[int, ...]:
    return tuple(PHONE_CLASSES.index(name) for name in names.split())


def sentence(words: str, phones: list[str], loud: str, spans: list[tuple[int, int]]) -> Sentence:
    """loud: a sign for each 10 ms, `#` for loud, `-` for faint, blank for quiet; the waveform is 1 where loud, else 0.01."""
    loudness = np.array([{"#": 0.9, "-": 0.3, " ": 0.0}[sign] for sign in loud], np.float32)
    waveform = np.repeat(np.where(loudness > 0.5, 1.0, 0.01), HOP).astype(np.float32)
    return Sentence(waveform, tuple(words.split()), tuple(classes(names) for names in phones), tuple(spans), loudness)


def found(one: Sentence, most_words: int = 2) -> list[str]:
    return [" ".join(one.words[place] for place in cut.places) for cut in find_cuts(one, most_words)]


def test_a_word_between_pauses_is_cut_out_and_two_in_one_breath_together() -> None:
    loud = " " * 20 + "#" * 20 + " " * 10 + "#" * 20 + "#" * 20 + " " * 20
    spans = [(22, 38), (52, 68), (72, 88)]
    assert found(sentence("one more man", ["w V n", "m O: r", "m a n"], loud, spans)) == ["one", "more man"]


def test_two_words_with_a_breath_between_them_are_not_in_one_breath() -> None:
    loud = " " * 20 + "#" * 120 + " " * 20
    for gap, cuts in ((20, ["one man"]), (60, [])):
        one = sentence("one man", ["w V n", "m a n"], loud, [(22, 38), (38 + gap, 138)])
        assert found(one) == cuts


@pytest.mark.parametrize(("pause", "cuts"), [(5, []), (6, []), (7, ["one", "man"]), (30, ["one", "man"])])
def test_less_than_60_ms_of_quiet_is_no_pause(pause: int, cuts: list[str]) -> None:
    loud = " " * 20 + "#" * 20 + " " * pause + "#" * 20 + " " * 20
    one = sentence("one man", ["w V n", "m a n"], loud, [(22, 38), (42 + pause, 58 + pause)])
    assert found(one, 1) == cuts


def test_the_closure_of_a_last_stop_belongs_to_its_word() -> None:
    loud = " " * 20 + "#" * 20 + " " * 8 + "#" * 3 + " " * 9 + "#" * 20 + " " * 20
    cat, man = find_cuts(sentence("cat man", ["k a t", "m a n"], loud, [(20, 41), (62, 79)]), 1)
    assert cat.end_seconds == pytest.approx(0.51)  # after the burst
    assert man.start_seconds == pytest.approx(0.59)


def test_beside_a_faint_phone_a_pause_must_be_quieter() -> None:
    loud = " " * 20 + "#" * 20 + "-" * 10 + "#" * 20 + " " * 20
    spans = [(22, 38), (52, 68)]
    assert found(sentence("one man", ["w V n", "m a n"], loud, spans), 1) == ["one", "man"]
    assert found(sentence("one fan", ["w V n", "f a n"], loud, spans), 1) == []


def test_a_word_in_two_pieces_is_left_out() -> None:
    loud = " " * 20 + "#" * 20 + " " * 30 + "#" * 20 + " " * 20
    assert found(sentence("sunglasses", ["s V n g l a s I z"], loud, [(22, 88)]), 1) == []


def test_margins_hold_quiet_alone_and_are_never_short() -> None:
    loud = "#" * 20 + " " * 8 + "#" * 20 + " " * 60 + "#" * 20
    one = sentence("one more man", ["w V n", "m O: r", "m a n"], loud, [(2, 18), (30, 46), (110, 126)])
    (cut,) = find_cuts(one, 1)
    assert one.words[cut.first] == "more"
    lengths = set()
    for seed in range(20):
        waveform = cut_out(one, cut, np.random.default_rng(seed))
        loud_samples = np.flatnonzero(waveform > 0.5)
        assert len(loud_samples) == 20 * HOP == loud_samples[-1] + 1 - loud_samples[0]  # the word, no neighbour
        margins = (loud_samples[0] / SAMPLE_RATE_HZ, (len(waveform) - 1 - loud_samples[-1]) / SAMPLE_RATE_HZ)
        assert all(MARGIN_SECONDS[0] <= margin <= MARGIN_SECONDS[1] + 0.01 for margin in margins)
        assert waveform[loud_samples[0] - 1] == pytest.approx(0.01)
        assert waveform[0] == waveform[-1] == 0
        lengths.add(len(waveform))
    assert len(lengths) > 10


def test_loudness_is_relative_to_floor_and_speech_and_faint_high_sounds_count() -> None:
    rng = np.random.default_rng(0)
    magnitudes = rng.uniform(0.9, 1.1, (201, 100)).astype(np.float32) * 1e-3
    magnitudes[2:50, 30:60] *= 100  # a vowel
    magnitudes[100:, 60:70] *= 10  # a fricative
    loudness = loudness_of(magnitudes)
    assert loudness is not None
    assert loudness[:30].max() < 0.2 < 0.8 < loudness[30:70].min()
    assert loudness_of(np.ones((201, 100), np.float32)) is None


def said(*texts: str) -> list:
    return [one for index, text in enumerate(texts) if (one := as_said(f"clip{index}", text)) is not None]


WORDS = (
    "cat hat old cold cat bat cake take lake he she me we sea day they may see five nine fine line dog log elephant "
    "beautiful umbrella potato tomato him her is it in and six sick back bank like likes bus but"
).split()
PAIRS = "my friend,we call,go home,five six,seven three,mary likes,so happy,eight nine,look up,how are".split(",")


@pytest.fixture
def questions() -> list[Question]:
    recordings, rng = said(*WORDS, *PAIRS), np.random.default_rng(1)
    return [*ask_for_words(recordings, rng), *ask_for_nonwords(recordings, rng)]


def balance(questions: list[Question], key: str) -> set[int]:
    """Right less wrong, of each value of a column in each task."""
    right = Counter((question.task, getattr(question, key)) for question in questions if question.kind == RIGHT)
    wrong = Counter((question.task, getattr(question, key)) for question in questions if question.kind != RIGHT)
    return {right[value] - wrong[value] for value in right | wrong}


def test_every_word_is_right_as_often_as_wrong_and_every_recording_too(questions: list[Question]) -> None:
    words = [question for question in questions if question.task != NONWORDS]
    assert {question.task for question in words} == {"blending", "deletion"}
    assert balance(words, "expected_text") == {0}
    assert balance(questions, "name") == {0}
    assert len(words) > 100


def test_what_sounds_like_a_word_is_right_as_often_as_what_does_not(questions: list[Question]) -> None:
    nonwords = [question for question in questions if question.task == NONWORDS]
    sounds = {question.expected_text: pronounce_text(NONWORDS, question.expected_text) for question in nonwords}
    assert {sound.source for sound in sounds.values()} == {"respelling"}
    assert not any(look_up(text) for text in sounds)
    for like_words in (True, False):
        asked = [one for one in nonwords if (sounds[one.expected_text].choices[0] in pronunciations()) == like_words]
        assert asked
        assert sum(one.kind == RIGHT for one in asked) * 2 == len(asked)


def test_kinds_say_how_a_wrong_answer_differs(questions: list[Question]) -> None:
    texts = dict(zip((f"clip{index}" for index in range(100)), (*WORDS, *PAIRS), strict=False))
    kinds = Counter(question.kind for question in questions)
    assert {"missing phone", "added phone", "substituted phone", "other word", "other nonword"} <= set(kinds)
    for question in questions:
        asked = set(pronounce_text(question.task, question.expected_text).choices)
        spoken = as_said("", texts[question.name])
        assert spoken is not None
        assert bool(asked & set(spoken.choices)) == (question.kind == RIGHT)
        longer = len(min(asked, key=len)) - len(spoken.phones)
        if question.kind in ("missing phone", "added phone") and len(asked) == len(spoken.choices) == 1:
            assert longer == (1 if question.kind == "missing phone" else -1)


def test_the_text_of_the_same_child_is_preferred() -> None:
    words = "dog five see jack bus mike home tree".split()
    recordings = [as_said(f"{speaker}{word}", word, speaker) for word in words for speaker in "ab"]
    asked = list(ask_for_words([one for one in recordings if one], np.random.default_rng(0)))
    for speaker in "ab":
        assert balance([one for one in asked if one.name.startswith(speaker)], "expected_text") == {0}


@pytest.mark.parametrize(
    ("expected", "spoken", "kind"),
    [
        ("cold", "old", "missing phone"),
        ("old", "cold", "added phone"),
        ("cat", "hat", "substituted phone"),
        ("two", "to", None),  # sound alike
        ("ice", "eyes", None),  # hardly heard at a word's end
        ("cat", "elephant", None),
    ],
)
def test_near_misses_are_of_one_phone(expected: str, spoken: str, kind: str | None) -> None:
    one, other = said(expected, spoken)
    assert miss_kind(one, other) == kind


def test_a_near_nonword_is_no_word_and_can_be_said() -> None:
    rng, kinds = np.random.default_rng(0), set()
    for one in said("my friend", "five six", "seven three", "mary likes", "eight nine") * 10:
        miss = near_nonword(one, rng)
        assert miss is not None
        text, kind = miss
        (phones,) = pronounce_text(NONWORDS, text).choices
        assert phones not in pronunciations()
        assert abs(len(phones) - len(one.phones)) == (kind != "substituted phone")
        kinds.add(kind)
    assert kinds == {"missing phone", "added phone", "substituted phone"}


def test_where_there_is_no_near_nonword_none_is_given() -> None:
    (one,) = said("the goods")  # DH and UH can't be written
    assert near_nonword(one, np.random.default_rng(0)) is None


def test_words_outside_the_lexicon_are_not_asked_for() -> None:
    assert said("henny", "we blorp") == []


def test_questions_depend_on_the_seed_alone() -> None:
    drawn = [list(ask_for_nonwords(said(*WORDS, *PAIRS), np.random.default_rng(seed))) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


SENTENCES = ("cat likes hat", "the old dog", "cake or lake", "nine fine men", "see the bus", "take it back")


@pytest.fixture(scope="module")
def kids(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sentences of a voice that pauses after each word, in the background of a quiet room."""
    folder, voice, rng = tmp_path_factory.mktemp("kids"), EspeakVoice(0.7), np.random.default_rng(0)
    pause = np.zeros(SAMPLE_RATE_HZ // 3, np.float32)
    for part, numbers in (("train", range(6)), ("test", range(6, 12))):
        rows = []
        for number in numbers:
            text = SENTENCES[number % len(SENTENCES)]
            speech = np.concatenate([pause, *itertools.chain(*((voice.speak(word), pause) for word in text.split()))])
            noisy = speech + rng.normal(0, 1e-3, len(speech))
            soundfile.write(folder / f"{number}.flac", noisy, SAMPLE_RATE_HZ)
            rows.append(
                (f"{number}.flac", "sentence_repetition", text, "1", f"s{number % 3}{part}", "8", text, "match", 1)
            )
        names = "filename task expected_text grade speaker age spoken_text kind score"
        table = pd.DataFrame(rows, columns=names.split())
        table[["filename", "task", "expected_text", "grade"]].to_csv(folder / f"{part}_metadata.csv", index=False)
        table[["filename", "speaker", "age", "spoken_text", "kind"]].to_csv(folder / f"{part}_source.csv", index=False)
    scores = [("0.flac", 0, 2), ("0.flac", 2, 8), ("1.flac", 2, 10)]
    pd.DataFrame(scores, columns=["filename", "index", "accuracy"]).to_csv(folder / "word_scores.csv", index=False)
    return folder


@pytest.mark.slow
def test_words_of_children_in_the_layout_of_the_competition(kids: Path, tmp_path: Path) -> None:
    words = tmp_path / "words"
    counts = make_words(kids, words, seed=0)
    for part, table in (("train", read_training_table(words)), ("test", read_test_table(words))):
        assert counts[part].sum() == len(table) > 20
        source = pd.read_csv(words / f"{part}_source.csv", dtype=str)
        assert source["filename"].tolist() == (pd.read_csv(words / f"{part}_metadata.csv")["filename"]).tolist()
        labels = source.merge(read_labels(words / f"{part}_labels.csv"), on="filename")
        assert (labels["score"].astype(bool) == (labels["kind"] == RIGHT)).all()
        assert labels["score"].mean() == 0.5
        assert source["speaker"].str.endswith(part).all()
        for row in source.itertuples():
            samples, rate_hz = soundfile.read(words / row.filename)
            seconds = float(row.end_seconds) - float(row.start_seconds)
            assert rate_hz == SAMPLE_RATE_HZ
            assert seconds + 0.19 < len(samples) / rate_hz < seconds + 0.52
            assert 0.1 < seconds < 1.2
    assert ("0.flac", "cat") not in _said_in(words)  # the experts heard another
    assert ("6.flac", "cat") in _said_in(words)
    assert ("0.flac", "hat") in _said_in(words)


def _said_in(words: Path) -> set[tuple[str, str]]:
    both = pd.concat(pd.read_csv(words / f"{part}_source.csv", dtype=str) for part in ("train", "test"))
    return set(zip(both["original"], both["spoken_text"], strict=True))


@pytest.mark.slow
def test_the_same_seed_makes_the_same_files(kids: Path, tmp_path: Path) -> None:
    for name, seed in (("one", 3), ("two", 3), ("other", 4)):
        make_words(kids, tmp_path / name, seed)
    content = {
        name: {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "two", "other")
    }
    assert content["one"] == content["two"] != content["other"]


@pytest.mark.slow
def test_leak_checks_tell_each_task(kids: Path, tmp_path: Path) -> None:
    words, references = tmp_path / "words", tmp_path / "tts_data"
    make_words(kids, words, seed=0)
    where = ["--data_dir", str(words), "--tts_dir", str(references)]
    asked = ["--model", "assets/models/verifytiny-children", "--work", str(tmp_path / "asked")]
    for script, more in {"preprocess.py": [], "experiments/leak_checks.py": asked}.items():
        command = [sys.executable, script, *where, *more]
        shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    cells = {row[1].strip(): row[2:-1] for line in shown.splitlines() if len(row := line.split("|")) > 3}
    assert {"all", "blending", "deletion", NONWORDS} <= set(cells)
    names = [cell.strip() for cell in cells[""]]
    for task in ("blending", "deletion"):
        areas = {name: float(cell.split()[0]) for name, cell in zip(names[1:], cells[task][1:], strict=True)}
        balanced = (
            "length of the response",
            "level of the response",
            "of the reference",
            "the expected text",
            "its letters",
        )
        assert all(areas[name] == 0.5 for name in balanced)  # recordings and texts are as often right as wrong
    of_noise = pd.read_csv(tmp_path / "asked" / "noise" / "scores.csv")["score"]
    assert len(of_noise) == int(cells["all"][0])
    assert of_noise.max() < 0.5  # nothing that was asked for is heard there


@pytest.mark.slow
def test_nothing_is_written_where_a_part_has_no_words(kids: Path, tmp_path: Path) -> None:
    folder = tmp_path / "kids"
    folder.mkdir()
    for path in kids.iterdir():
        samples = None if path.suffix == ".csv" else soundfile.read(path)[0]
        if samples is None:
            (folder / path.name).write_bytes(path.read_bytes())
        else:
            is_test = int(path.stem) >= 6
            noise = np.random.default_rng(0).normal(0, 0.1, len(samples))
            soundfile.write(folder / path.name, noise if is_test else samples, SAMPLE_RATE_HZ)
    with pytest.raises(InputError, match="test part"):
        make_words(folder, tmp_path / "words", seed=0)
    assert not (tmp_path / "words").exists()


def test_a_folder_without_its_source_is_named(tmp_path: Path) -> None:
    (tmp_path / "train_metadata.csv").write_text(
        "filename,task,expected_text,grade\na.flac,sentence_repetition,a cat,1\n"
    )
    with pytest.raises(InputError, match=r"train_source\.csv"):
        make_words(tmp_path, tmp_path / "words", seed=0)


def test_a_cut_names_its_words() -> None:
    assert list(Cut(2, 2, 0.0, 1.0, (0, 1), (2, 3)).places) == [2, 3]
