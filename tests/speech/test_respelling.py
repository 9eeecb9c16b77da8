"""Words that are written as they sound. Run: .venv/bin/python -m pytest tests/speech/test_respelling.py"""

import numpy as np
import pytest
from fakes import outside_data

from models.clips.tables import read_metadata
from models.speech.arpabet import PHONES, from_espeak, parse_phones
from models.speech.letters import in_letters
from models.speech.pronunciation import (
    NONWORDS,
    utterance_of,
)
from models.speech.reading import read_words
from models.speech.respelling import read_respelling, write_respelling


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("kahyb", "K AY B"),
        ("geemtohf", "G IY M T OW F"),  # hard g
        ("buhkahypvermoid", "B AH K AY P V ER M OY D"),
        ("kurcheypheef", "K ER CH EY P HH IY F"),  # no symbol is "ph"
        ("dakgowmuhkoov", "D AE K G AW M AH K UW V"),
        ("duhpakuhtayf", "D AH P AE K AH T EY F"),
        ("choibeygorb", "CH OY B EY G AO R B"),
        ("shingzhuhth", "SH IH NG ZH AH TH"),
        ("hwairfahyuhrz", "W EH R F AY ER Z"),
    ],
)
def test_a_respelling_is_read_by_the_longest_symbol(word: str, said: str) -> None:
    assert read_respelling(word) == parse_phones(said)


@pytest.mark.parametrize("word", ["", "xyq", "k4b", "Kahyb", "na\u00efve", "two words", "quh"])
def test_what_the_key_does_not_explain_is_refused(word: str) -> None:
    assert read_respelling(word) is None


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ("K AY B", "kahyb"),
        ("B AH K AY P V ER M OY D", "buhkahypvermoid"),
        ("CH OY B EY G AO R B", "choibeygorb"),
        ("W IY", "wee"),  # not `hw`
        ("M IH S HH AA P", None),  # `mishahp` would be read with SH
        ("DH AH", None),
        ("G UH D", None),
        ("SH UH R", "shoor"),
    ],
)
def test_a_respelling_is_written_as_it_is_read(said: str, word: str | None) -> None:
    assert write_respelling(parse_phones(said), lambda text: False) == word


def test_whatever_can_be_written_is_read_as_the_same_phones() -> None:
    rng, known = np.random.default_rng(0), sorted(PHONES)
    drawn = [tuple(str(phone) for phone in rng.choice(known, int(rng.integers(1, 9)))) for _ in range(500)]
    written = {said: write_respelling(said, lambda text: False) for said in drawn}
    assert sum(text is not None for text in written.values()) > 200
    assert all(read_respelling(text) == said for said, text in written.items() if text is not None)


def test_a_respelling_that_is_something_else_is_written_otherwise_or_not_at_all() -> None:
    assert write_respelling(parse_phones("K AH P"), lambda text: text == "kuhp") == "kup"
    assert write_respelling(parse_phones("B IY T"), lambda text: text == "beet") is None


def test_the_competitions_nonwords_are_written_as_they_stand() -> None:
    """But for those that spell one of their sounds by chance (`duhpakuhtayf`), or ER as `ur`."""
    table = read_metadata(outside_data("goodnight_moon") / "train_metadata.csv")
    nonwords = sorted(set(table.loc[table["task"] == NONWORDS, "expected_text"]))
    read = {word: read_respelling(word) for word in nonwords}
    written = {word: write_respelling(said, lambda text: False) for word, said in read.items() if said is not None}
    assert all(read_respelling(str(text)) == read[word] for word, text in written.items())
    assert sum(word == text for word, text in written.items()) == 126


def test_every_nonword_of_the_competition_is_a_respelling() -> None:
    table = read_metadata(outside_data("goodnight_moon") / "train_metadata.csv")
    nonwords = set(table.loc[table["task"] == NONWORDS, "expected_text"])
    assert len(nonwords) == 138
    assert all(read_respelling(word) for word in nonwords)
    told = {word: utterance_of(NONWORDS, word) for word in nonwords}
    for word, utterance in told.items():
        assert [from_espeak(names) for names in read_words(utterance)] == [read_respelling(word)]


def test_nonwords_in_letters_are_read_right_by_who_takes_no_phones() -> None:
    """By espeak-ng's own rules of spelling, which stand here for a voice's: more than by the key's spelling, 38 of 138."""
    table = read_metadata(outside_data("goodnight_moon") / "train_metadata.csv")
    nonwords = set(table.loc[table["task"] == NONWORDS, "expected_text"])
    wanted = {word: read_respelling(word) for word in nonwords}

    def heard(text: str) -> tuple[str, ...]:
        return from_espeak(name for names in read_words(text) for name in names)

    assert sum(heard(word) == said for word, said in wanted.items()) == 38
    assert sum(heard(in_letters(said)) == said for said in wanted.values() if said) == 111
