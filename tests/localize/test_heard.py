"""What was heard, word by word, from a verifier's transcripts. Run: python -m pytest tests/localize/test_heard.py"""

from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.localize.heard import transcript, weigh, with_heard, written_as_expected
from models.localize.result import Alternative, Unit
from models.localize.written_words import find_counterparts, words_of
from models.network.beam_search import Hypothesis
from models.speech.pronunciation import NONWORDS

SENTENCE = "sentence_repetition"


@pytest.mark.parametrize(
    ("expected", "heard", "of_words", "of_gaps"),
    [
        ("give me your hands", "give me your hands", "give|me|your|hands", "||||"),
        ("give me your hands", "give me hands", "give|me||hands", "||||"),
        ("give me your hands", "give me all your hands", "give|me|your|hands", "||all||"),
        ("give me your hands", "give me your hand", "give|me|your|hand", "||||"),
        ("give me your hands", "give time your hands now", "give|time|your|hands", "||||now"),
        ("give me your hands", "well give me your hands", "give|me|your|hands", "well||||"),
        ("mandy ate meat", "mandy eight a meat", "mandy|a|meat", "|eight||"),
        ("i dont know", "I don't know.", "i|don't|know", "|||"),
        ("play", "at school", "at", "|school"),
        ("we play", "", "|", "||"),
    ],
)
def test_counterparts(expected: str, heard: str, of_words: str, of_gaps: str) -> None:
    found = find_counterparts(expected.split(), words_of(heard))
    assert (found.of_words, found.of_gaps) == (tuple(of_words.split("|")), tuple(of_gaps.split("|")))


@given(
    st.lists(st.sampled_from("a b cat can the".split()), max_size=6),
    st.lists(st.sampled_from("a cat the dog".split()), max_size=6),
)
def test_every_word_that_was_heard_stands_somewhere(expected: list[str], heard: list[str]) -> None:
    found = find_counterparts(expected, heard)
    between = [part for pair in zip(found.of_gaps, (*found.of_words, ""), strict=True) for part in pair]
    assert sorted(" ".join(between).split()) == sorted(heard)
    assert [len(found.of_words), len(found.of_gaps)] == [len(expected), len(expected) + 1]


def test_words_of_a_transcript_are_written_as_expected_texts_are() -> None:
    assert words_of(' "Well, I DON\'T know" - she said… ') == ["well", "i", "don't", "know", "she", "said"]


def test_texts_that_differ_in_signs_alone_are_one() -> None:
    """Together they are likelier than a third that is likelier than each."""
    found = weigh(
        [Hypothesis("We pray.", log(0.25)), Hypothesis("We play.", log(0.16)), Hypothesis("we play", log(0.16))],
        SENTENCE,
    )
    assert found.texts == (("we", "play"), ("we", "pray"))
    assert found.probabilities.tolist() == pytest.approx([0.531, 0.469], abs=1e-3)  # as square roots of 0.32 and 0.25


def test_a_nonword_is_told_in_the_key() -> None:
    """However it was written down: as a word, by English spelling, in the key."""
    written = [Hypothesis("Cat.", -0.1), Hypothesis("Clibe.", -0.2), Hypothesis("Kahyb.", -0.3)]
    assert weigh(written, NONWORDS).texts == (("kat",), ("klahyb",), ("kahyb",))


def unit(text: str, kind: str = "right") -> Unit:
    return Unit(text, kind, 0.5, 0.0, 0.1)  # type: ignore[arg-type]


@pytest.fixture
def units() -> list[Unit]:
    """Of 'give me your hands': one word in doubt, one too many."""
    return [unit("give"), unit("me", "different"), unit("", "inserted"), unit("your"), unit("hands")]


def hear(units: list[Unit], **texts: float) -> tuple[Unit, ...]:
    return with_heard(
        units, weigh([Hypothesis(text.replace("_", " "), 2 * log(share)) for text, share in texts.items()], SENTENCE)
    )


def test_words_in_doubt_are_told_what_was_heard(units: list[Unit]) -> None:
    found = hear(units, give_time_your_hands=0.5, give_time_all_your_hands=0.3, give_me_your_hands=0.2)
    assert found[1].heard == "time"
    assert [each.text for each in found[1].alternatives] == ["time", "me"]
    assert found[0] == units[0]
    assert sum(each.probability for each in found[1].alternatives) == pytest.approx(1)


def test_two_words_may_have_been_said_for_one(units: list[Unit]) -> None:
    without_mark = [unit for unit in units if unit.kind != "inserted"]
    assert hear(without_mark, give_time_all_your_hands=0.9, give_me_your_hands=0.1)[1].heard == "time all"
    assert hear(without_mark, give_me_all_your_hands=0.9, give_time_your_hands=0.1)[1].heard is None
    assert hear([unit("mandy"), unit("ate", "different")], mandy_eight_a=1.0)[1].heard == "eight a"
    alone = hear([unit("play", "different")], at_school=0.9, play=0.1)
    assert alone[0].heard == "at school"


def test_what_stands_between_two_doubted_words_was_said_once() -> None:
    """It is told of the first of them."""
    doubted = [unit("we", "different"), unit("ate", "different")]
    found = hear(doubted, he_or_eight=1.0)
    assert [each.heard for each in found] == ["he or", "eight"]


def test_what_is_not_sure_is_not_said_to_be_heard(units: list[Unit]) -> None:
    found = hear(units, give_time_your_hands=0.4, give_mean_your_hands=0.35, give_me_your_hands=0.25)
    assert found[1].heard is None
    assert [each.text for each in found[1].alternatives] == ["time", "mean", "me"]
    assert found[2].heard is None


def test_the_expected_word_is_never_what_was_heard_instead(units: list[Unit]) -> None:
    """The mark says that it was not said; where transcripts have it all the same, what was said is not sure."""
    found = hear(units, give_me_all_your_hands=0.9, give_time_your_hands=0.1)
    assert found[1].heard is None
    assert found[1].alternatives[0].text == "me"
    assert found[2].heard == "all"


def test_words_of_the_transcript_are_as_likely_as_the_texts_that_hold_them() -> None:
    found = weigh([Hypothesis("a cat sat", 2 * log(0.6)), Hypothesis("the cat sat", 2 * log(0.4))], SENTENCE)
    assert [(each.text, pytest.approx(each.probability)) for each in transcript(found)] == [
        ("a", 0.6),
        ("cat", 1.0),
        ("sat", 1.0),
    ]


def test_nothing_heard_is_nothing_told(units: list[Unit]) -> None:
    found = weigh([Hypothesis("", -0.5)], SENTENCE)
    assert transcript(found) == ()
    told = with_heard(units, found)[1]
    assert (told.heard, told.alternatives) == (None, (Alternative("", 1.0),))


def test_what_the_texts_say_of_words_and_gaps() -> None:
    """As log-odds, of which none is infinite."""
    found = weigh([Hypothesis("a big cat sat", 2 * log(0.6)), Hypothesis("a cat spat", 2 * log(0.4))], SENTENCE)
    words, gaps = written_as_expected(["a", "cat", "sat"], found)
    assert words.tolist() == pytest.approx([log(99), log(99), log(1.5)])
    assert gaps.tolist() == pytest.approx([log(99), log(0.4 / 0.6), log(99), log(99)])
