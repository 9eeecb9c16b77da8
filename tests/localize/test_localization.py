"""Localization: edits, pictures. Run: python -m pytest tests/localize/test_localization.py"""

import json
import math
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fakes import ROOT, shipped_model

from experiments.known_edits import find_change
from experiments.measure_localization import goodness, hits
from models.errors import InputError
from models.localize.accepted import pronounce_as_heard
from models.localize.edits import STAR, edit_gains, log_likelihoods, place_units
from models.localize.localization import localize, needed_utterances
from models.localize.methods import METHODS, choose_method
from models.localize.model import LoadedModel
from models.localize.result import Localization, to_json
from models.localize.units import pronounce, pronounce_as_read, read_accepted
from models.network.pretrained import pretrained_network
from models.network.readings import best_reading
from models.recipe import Recipe
from models.speech.audio import Waveform, resample
from models.speech.espeak import Espeak
from models.speech.pronunciation import accepted_utterances
from models.speech.voices import EspeakVoice

# What is expected, what another voice says, the kind that must be found, and which word (or gap) it is about.
NEAR_MISSES = (
    ("we like to play with the ball", "we like to play with the dog", "different", 6),
    ("she has a big red hat", "she has a big green hat", "different", 4),
    ("the children went home after school", "the teacher went home after school", "different", 1),
    ("my brother plays football every day", "my brother watches football every day", "different", 2),
    ("the black cat sat on the table", "the cat sat on the table", "missing", 1),
    ("we saw seven yellow birds today", "we saw seven birds today", "missing", 3),
    ("mother cooked a wonderful dinner", "mother cooked a dinner", "missing", 3),
    ("he wants milk and bread", "he wants milk and sugar bread", "inserted", 4),
    ("open the window please", "open the kitchen window please", "inserted", 2),
    ("they found money under the bed", "they found money yesterday under the bed", "inserted", 3),
)


@pytest.fixture(scope="module")
def shipped() -> LoadedModel:
    return shipped_model()


@pytest.fixture(scope="module")
def speak() -> Callable[[str], Waveform]:
    return EspeakVoice(0.7).speak


def answer(text: str) -> Waveform:
    """In another voice than the reference's, between pauses."""
    with Espeak() as espeak:
        utterance = espeak.speak(text, "en-us+f3", 140, 65)
    pause = np.zeros(4000, np.float32)
    return np.concatenate([pause, resample(utterance.samples / np.float32(32768), 22050), pause])


def ask(model: LoadedModel, expected: str, said: str, speak: Callable[[str], Waveform], **options: str) -> Localization:
    task = "sentence_repetition" if " " in expected else "nonword_repetition"
    return localize(model, expected, task, "1", answer(said), speak, **options)


def picture(found: Localization) -> Any:
    """The figure; a test that draws is skipped where matplotlib is not installed."""
    pytest.importorskip("matplotlib")
    from models.localize.picture import as_png, draw

    figure = draw(found)
    assert as_png(figure)[:4] == b"\x89PNG"
    return figure


def brute_force(log_probabilities: torch.Tensor, sequence: list[int]) -> float:
    """log p(sequence) by adding up every path; STAR is whatever is not silence."""
    n_frames, n_classes = log_probabilities.shape
    probabilities = log_probabilities.exp()
    total = 0.0
    for path in product([*range(n_classes), STAR], repeat=n_frames):
        spoken = [symbol for index, symbol in enumerate(path) if index == 0 or symbol != path[index - 1]]
        if [symbol for symbol in spoken if symbol != 0] == sequence:
            total += math.prod(
                float(1 - probabilities[t, 0]) if symbol == STAR else float(probabilities[t, symbol])
                for t, symbol in enumerate(path)
            )
    return math.log(total)


@pytest.mark.parametrize("sequence", [[1, 2], [1, 1], [1, STAR], [STAR, 2], [2], []])
def test_likelihoods_add_up_every_path(sequence: list[int]) -> None:
    torch.manual_seed(1)
    log_probabilities = torch.randn(5, 3).log_softmax(-1)
    found = float(log_likelihoods(log_probabilities, [sequence, [2, 1]])[0])
    assert found == pytest.approx(brute_force(log_probabilities, sequence), abs=1e-4)


def spelt(classes: list[int], n_classes: int = 8) -> torch.Tensor:
    """Frames that are nearly sure of the given classes."""
    return (torch.eye(n_classes)[classes] * 6).log_softmax(-1)


def test_gains_point_at_the_edit() -> None:
    units = [(1, 2), (3, 4), (5, 6)]
    said_all = edit_gains(spelt([1, 1, 2, 2, 0, 3, 3, 4, 4, 0, 5, 5, 6, 6]), units)
    assert max(float(gain.max()) for gain in (said_all.missing, said_all.swapped)) < -5
    missing = edit_gains(spelt([1, 1, 2, 2, 0, 5, 5, 6, 6]), units)
    assert int(missing.missing.argmax()) == 1
    assert float(missing.missing[1]) > 5
    different = edit_gains(spelt([1, 1, 2, 2, 0, 7, 7, 7, 7, 0, 5, 5, 6, 6]), units)
    assert int(different.different.argmax()) == 1
    assert float(different.different[1]) > float(different.missing[1])
    inserted = edit_gains(spelt([1, 1, 2, 2, 0, 3, 3, 4, 4, 0, 7, 7, 7, 0, 5, 5, 6, 6]), units)
    assert int(inserted.inserted.argmax()) == 2
    swapped = edit_gains(spelt([3, 3, 4, 4, 0, 1, 1, 2, 2, 0, 5, 5, 6, 6]), units)
    assert float(swapped.swapped[:2].min()) > max(float(swapped.different.max()), 5)
    assert float(swapped.swapped[2]) < 0


def test_units_are_placed_where_they_are_spoken() -> None:
    log_probabilities = spelt([0, 1, 1, 2, 0, 3, 4, 4, 0, 5, 6, 0])
    assert place_units(log_probabilities, [(1, 2), (3, 4), (5, 6)]) == [(1, 4), (5, 8), (9, 11)]
    assert place_units(log_probabilities, [(1, 2), (), (3, 4), (5, 6)])[1] == (4, 4)
    assert place_units(log_probabilities, [(1, 2)] * 9) is None  # fewer frames than phones


def test_a_single_word_is_taken_apart_into_phones() -> None:
    found = pronounce("desk", "desk")
    assert found is not None
    assert (found.unit, found.texts) == ("phone", ("d", "ɛ", "s", "k"))


def test_of_each_word_the_pronunciation_that_fits_best_is_taken() -> None:
    """Longer or shorter ones too; where two change the same word, the better one."""
    usual = [[1, 2], [3, 4], [5]]
    accepted = [usual, [[1, 6], [3, 4], [5]], [[1, 2], [3], [5]], [[1, 2], [3, 7, 4], [5]], [[1, 7], [3, 4], [5]]]
    said = {(1, 2, 3, 4, 5): usual, (1, 6, 3, 4, 5): accepted[1], (1, 2, 3, 5): accepted[2]}
    said |= {(1, 6, 3, 7, 4, 5): [[1, 6], [3, 7, 4], [5]]}
    for phones, reading in said.items():
        frames = spelt([phone for phone in phones for _ in range(2)])
        assert best_reading(frames, accepted) == reading
    assert best_reading(spelt([0] * 9), accepted[:2]) == usual  # nothing fits
    assert best_reading(spelt([1]), accepted[:2]) == usual  # too short for any


def test_pronunciations_that_sound_alike_are_one() -> None:
    alike = read_accepted(["read", "read{R IY D}", "read{R EH D}", "read"])
    assert alike == read_accepted(["read", "read{R EH D}"])
    assert len(alike) == 2


@pytest.mark.parametrize(
    ("usual", "other", "place"),
    [
        ("we read the book", "we read{R EH D} the book", 1),
        ("an hour or more", "an hour or{ER} more", 2),  # before which the voice would say "hour" otherwise, too
    ],
)
def test_a_word_said_otherwise_leaves_its_neighbours_as_they_are(usual: str, other: str, place: int) -> None:
    plain, told = read_accepted([usual, other])
    assert [word for word, (one, new) in enumerate(zip(plain, told, strict=True)) if one != new] == [place]


def test_a_text_with_one_pronunciation_is_judged_by_it() -> None:
    frames = spelt([1, 1, 2, 2], 44)
    for text in ("desk", "we like dogs"):
        accepted = accepted_utterances("blending", text)
        assert pronounce_as_heard(text, accepted[:1], frames) == pronounce(text, text)
    assert len(accepted_utterances("blending", "desk")) == 1


@pytest.mark.parametrize(
    ("said", "given", "phones"),
    [
        ("reed", "", "r iː d"),
        ("red", "", "r ɛ d"),  # the lexicon has both
        ("red", "R IY D|R EH D", "r ɛ d"),
        ("rest", "R IY D|R EH S T", "r ɛ s t"),  # more phones than the reference has
    ],
)
def test_a_word_said_in_another_accepted_way_is_right(
    shipped: LoadedModel, speak: Callable[[str], Waveform], said: str, given: str, phones: str
) -> None:
    """The reference says the first one."""
    assert needed_utterances("read", "blending", "alignment", given) == ["read"]
    found = localize(shipped, "read", "blending", "1", answer(said), speak, pronunciation=given)
    assert [unit.text for unit in found.expected_units] == phones.split()
    assert all(unit.score > 0.7 for unit in found.expected_units)
    check_times(found)


def test_what_is_not_accepted_is_still_doubted(shipped: LoadedModel, speak: Callable[[str], Waveform]) -> None:
    found = localize(shipped, "read", "blending", "1", answer("red"), speak, pronunciation="R IY D")
    assert [unit.text for unit in found.expected_units] == ["r", "iː", "d"]
    scores = [unit.score for unit in found.expected_units]
    assert np.argmin(scores) == 1
    assert scores[1] < 0.6


def test_in_a_sentence_each_word_may_be_said_in_its_ways(
    shipped: LoadedModel, speak: Callable[[str], Waveform]
) -> None:
    def score(given: str = "") -> float:
        asked = "we read the book", "sentence_repetition", "1", answer("we red the book")
        return localize(shipped, *asked, speak, pronunciation=given).expected_units[1].score

    one_way = "W IY R IY D DH AH B UH K"
    assert score() > 0.5
    assert score(one_way) < score()
    assert score(f"{one_way}|W IY R EH D DH AH B UH K") == pytest.approx(score(), abs=0.01)


@pytest.mark.parametrize("text", ["all of the us", "it is with them", "  we   like it "])
def test_every_word_gets_its_phones(text: str) -> None:
    """espeak-ng takes "of the" for one word."""
    found = pronounce(text, text)
    assert found is not None
    assert found.texts == tuple(text.split())
    assert all(found.phones)


def test_without_espeak_phones_are_shared_out_by_letters() -> None:
    found = pronounce_as_read("we liked it", [1, 2, 3, 4, 5, 6, 7, 8, 9])
    assert found is not None
    assert found.phones == ((1, 2), (3, 4, 5, 6, 7), (8, 9))
    assert pronounce_as_read("we like it", []) is None


def wanted_is_lowest(found: Localization, kind: str, place: int) -> bool:
    """Among words and gaps together."""
    scores = [unit.score for unit in found.expected_units]
    lowest = int(np.argmin([*scores, *found.gap_scores]))
    return lowest == (len(scores) + place if kind == "inserted" else place)


@pytest.mark.slow
def test_the_changed_word_scores_lowest_in_another_voice(
    shipped: LoadedModel, speak: Callable[[str], Waveform]
) -> None:
    found = [(ask(shipped, expected, said, speak), kind, place) for expected, said, kind, place in NEAR_MISSES]
    assert sum(wanted_is_lowest(*one) for one in found) >= 8
    assert sum(kind in {unit.kind for unit in one.units} for one, kind, _ in found) >= 7
    for one, _, _ in found:
        assert one.method == "alignment"
        check_times(one)


@pytest.mark.slow
def test_two_departures_do_not_spoil_what_lies_between(shipped: LoadedModel, speak: Callable[[str], Waveform]) -> None:
    expected = "my brother found a big bone in the old garden"
    found = ask(shipped, expected, "my brother lost a bone in the old school garden", speak)
    kinds = {unit.text: unit.kind for unit in found.expected_units}
    assert {kinds[word] for word in ("my", "brother", "bone", "in", "the", "old", "garden")} == {"right"}
    assert "right" not in {kinds["found"], kinds["big"]}
    assert np.argmin(found.gap_scores) == 9  # before "garden"
    check_times(found)


@pytest.mark.slow
def test_what_was_said_is_right(shipped: LoadedModel, speak: Callable[[str], Waveform]) -> None:
    found = [ask(shipped, expected, expected, speak) for expected, *_ in NEAR_MISSES[::3]]
    kinds = [unit.kind for one in found for unit in one.units]
    assert kinds.count("right") >= 0.85 * len(kinds)


def uninstalled(utterances: Sequence[str]) -> None:
    raise InputError("espeak-ng is not installed")


@pytest.mark.slow
def test_the_changed_word_is_found_without_espeak(
    shipped: LoadedModel, speak: Callable[[str], Waveform], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Phones are read in the reference instead."""
    answers = {said: answer(said) for _, said, *_ in NEAR_MISSES}
    references = {expected: speak(expected) for expected, *_ in NEAR_MISSES}
    monkeypatch.setattr("models.localize.units.accepted_readings", uninstalled)
    found = [
        localize(shipped, expected, "sentence_repetition", "1", answers[said], references.__getitem__)
        for expected, said, *_ in NEAR_MISSES
    ]
    assert sum(wanted_is_lowest(one, *miss[2:]) for one, miss in zip(found, NEAR_MISSES, strict=True)) >= 6


def check_times(found: Localization) -> None:
    times = [(unit.start_seconds, unit.end_seconds) for unit in found.units]
    assert all(0 <= start <= end <= found.response_seconds + 1e-6 for start, end in times)
    starts = [start for start, _ in times]
    assert starts == sorted(starts)
    assert all(start == end for unit, (start, end) in zip(found.units, times, strict=True) if unit.kind == "missing")


def test_times_are_those_of_the_words(shipped: LoadedModel, speak: Callable[[str], Waveform]) -> None:
    """The synthesiser knows when it spoke which phone."""
    text = "the children went home after school"
    with Espeak() as espeak:
        utterance = espeak.speak(text, "en-us+f3", 140, 65)
    starts = [0.25 + phone.start_sample / 22050 for phone in utterance.phones if phone.word_start == text.index("home")]
    home = ask(shipped, text, text, speak).expected_units[3]
    assert home.start_seconds == pytest.approx(starts[0], abs=0.1)


@pytest.mark.parametrize(("said", "kind", "phone"), [("test", "different", 0), ("deck", "missing", 2)])
def test_a_single_word_is_judged_by_phone(
    shipped: LoadedModel, speak: Callable[[str], Waveform], said: str, kind: str, phone: int
) -> None:
    found = ask(shipped, "desk", said, speak)
    assert found.unit == "phone"
    assert int(np.argmin([unit.score for unit in found.expected_units])) == phone or kind == "different"
    assert min(unit.score for unit in found.expected_units) < 0.5


def test_a_network_without_phones_compares_frames(
    shipped: LoadedModel, encoder_dir: Path, speak: Callable[[str], Waveform]
) -> None:
    recipe = Recipe(name="plain", encoder=str(encoder_dir), pooling="alignment", seed=0, data_seed=0, max_seconds=8.0)
    plain = LoadedModel("plain", pretrained_network(recipe).eval(), recipe, torch.device("cpu"))
    for text in ("we like to play", "desk"):
        found = ask(plain, text, text, speak)
        check_times(found)
        assert len(found.expected_units) == len(pronounce(text, text).texts)
        assert all(0 < unit.score < 1 for unit in found.units)


@pytest.mark.slow
def test_json_tells_all_that_was_found(shipped: LoadedModel, speak: Callable[[str], Waveform]) -> None:
    found = ask(shipped, *NEAR_MISSES[0][:2], speak)
    content = json.loads(json.dumps(to_json(found)))
    names = "format expected_text method unit probability response_seconds units gap_scores transcript"
    assert set(content) == set(names.split())
    for unit in content["units"]:
        what_was_heard = {"heard", "alternatives"} if unit["kind"] in ("different", "inserted") else set()
        assert set(unit) == set("text kind score start_seconds end_seconds".split()) | what_was_heard
    assert content["transcript"] is None  # an aligned model writes nothing down
    assert " ".join(unit["text"] for unit in content["units"] if unit["kind"] != "inserted") == NEAR_MISSES[0][0]
    assert 0 < content["probability"] < 1


@pytest.mark.slow
def test_a_picture_names_every_word(shipped: LoadedModel, speak: Callable[[str], Waveform]) -> None:
    expected, said, *_ = NEAR_MISSES[4]
    figure = picture(ask(shipped, expected, said, speak))
    drawn = [text.get_text() for text in figure.axes[0].texts]
    assert all(any(word in text for text in drawn) for word in expected.split())


@pytest.mark.parametrize(
    "response",
    [np.zeros(10, np.float32), np.full(16000, np.nan, np.float32), np.zeros((2, 16000), np.float32)],
    ids=["too short", "not finite", "stereo"],
)
def test_a_response_that_is_none_is_refused(
    shipped: LoadedModel, speak: Callable[[str], Waveform], response: Waveform
) -> None:
    with pytest.raises(InputError, match=r"response|recording|audio"):
        localize(shipped, "we like it", "blending", "1", response, speak)


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.06, 0.3, 12.0])
def test_answers_of_any_length_are_judged(
    shipped: LoadedModel, speak: Callable[[str], Waveform], seconds: float
) -> None:
    """Also with fewer frames than phones, and where there is nothing but noise; silence is no answer."""
    noise = np.random.default_rng(0).standard_normal(round(16000 * seconds)).astype(np.float32)
    found = localize(shipped, "the children went home after school", "blending", "1", 1e-3 * noise, speak)
    check_times(found)
    assert {unit.kind for unit in found.units} == {"missing"}
    with pytest.raises(InputError, match="silent"):
        localize(shipped, "the children went home after school", "blending", "1", 0 * noise, speak)


def test_wrong_questions_are_refused(shipped: LoadedModel, speak: Callable[[str], Waveform]) -> None:
    response = answer("we")
    for text, task, grade, names in (
        (" ", "blending", "1", "text"),
        ("we", "singing", "1", "singing"),
        ("we", "blending", "9", "'9'"),
    ):
        with pytest.raises(InputError, match=names):
            localize(shipped, text, task, grade, response, speak)
    for method in METHODS:
        with pytest.raises(InputError, match=r"joint: can't be asked.*--model"):
            choose_method(shipped_model("mean").recipe, method, "joint")
    with pytest.raises(InputError, match="guess"):
        choose_method(shipped.recipe, "guess", "shipped")


@pytest.mark.parametrize(
    ("expected", "spoken", "edit", "units", "gaps"),
    [
        ("a x c", "a b c", "substitute", {1}, set()),
        ("a b x c", "a b c", "insert", {2}, set()),
        ("a a b", "a b", "insert", {0, 1}, set()),
        ("a c", "a b c", "delete", set(), {1}),
        ("a b", "a a b", "delete", set(), {0, 1}),
        ("b a c", "a b c", "swap", {0, 1}, set()),
    ],
)
def test_the_truth_of_a_near_miss(expected: str, spoken: str, edit: str, units: set[int], gaps: set[int]) -> None:
    found = find_change(expected.split(), spoken.split(), edit)
    assert found is not None
    assert (found.units, found.gaps) == (units, gaps)
    assert find_change(spoken.split(), spoken.split(), "substitute") is None


def test_hits_and_chance() -> None:
    change = find_change("a c".split(), "a b c".split(), "delete")
    assert change is not None
    scores = np.array([0.9, 0.8]), np.array([0.9, 0.1, 0.9])
    assert hits(scores, change) == {"gaps": (1.0, pytest.approx(1 / 3)), "places": (1.0, pytest.approx(1 / 5))}


def test_the_baseline_points_at_a_word_that_does_not_fit() -> None:
    words, gaps = goodness(spelt([1, 1, 2, 0, 7, 7, 7, 0, 5, 6]), [(1, 2), (3, 4), (5, 6)])
    assert int(np.argmin(words)) == 1
    assert len(gaps) == 4


def test_weights_and_how_they_were_made_are_there() -> None:
    content = json.loads((ROOT / "models" / "localize" / "coefficients.json").read_text(encoding="utf-8"))
    for script in (f"experiments/{name}.py" for name in ("fit_localization", "fit_token_places", "fit_said_well")):
        assert script in content["note"]
        assert (ROOT / script).is_file()
    assert {
        "word, phones and network",
        "word, network",
        "phone, phones and network",
        "phone, network",
        "word, tokens, width 384",
        "word, tokens, width 384, transcripts",
        "word, tokens, width 512",
        "word said well, tokens, width 384, transcripts",
        "word said well, tokens, width 384, transcripts, phones",
        "word said well, tokens, width 512",
    } == set(content["tables"])
