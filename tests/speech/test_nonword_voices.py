"""The near misses of `experiments/nonword_voices.py`.

Run: .venv/bin/python -m pytest tests/speech/test_nonword_voices.py
"""

from itertools import pairwise

import numpy as np
import pytest

from experiments.nonword_voices import KINDS, answers_of, cmu_names, near_miss
from models.speech.arpabet import VOWELS, Phones

WORDS: list[Phones] = [("K", "AY", "B"), ("G", "IY", "M", "T", "OW", "F"), ("F", "AO", "R", "B"), ("N", "ER", "S")]


def n_edits(one: Phones, other: Phones) -> int:
    """By Wagner and Fischer."""
    before = list(range(len(other) + 1))
    for row, phone in enumerate(one, 1):
        now = [row]
        for column, heard in enumerate(other, 1):
            now.append(min(before[column] + 1, now[-1] + 1, before[column - 1] + (phone != heard)))
        before = now
    return before[-1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("word", WORDS)
def test_a_near_miss_is_one_phone_off_and_can_be_said_and_heard(word: Phones, kind: str) -> None:
    grows = {"substituted": 0, "missing": -1, "added": 1}[kind]
    for seed in range(100):
        found = near_miss(word, kind, np.random.default_rng(seed))
        assert n_edits(word, found) == 1
        assert len(found) - len(word) == grows
        assert VOWELS.intersection(found)
        assert all(one != after for one, after in pairwise(found)) or kind == "substituted"
        assert " ".join(found) not in ("F AA R B", "N ER R S", "N R ER S")


def test_each_nonword_is_asked_in_every_way_and_another_one_is_another() -> None:
    answers = answers_of(WORDS, 0)
    assert answers.groupby("nonword")["kind"].apply(list).tolist() == [["right", *KINDS, "other"]] * len(WORDS)
    others = answers[answers["kind"] == "other"]
    assert set(others["phones"]) == set(WORDS)
    assert all(WORDS[row] != phones for row, phones in zip(others["nonword"], others["phones"], strict=True))
    assert answers.equals(answers_of(WORDS, 0))
    assert not answers.equals(answers_of(WORDS, 1))


def test_us_engines_are_told_a_schwa_where_a_vowel_has_no_stress() -> None:
    assert cmu_names(("B", "AH", "K", "AY", "P"), "1") == ["b", "ax", "k", "ay1", "p"]
    assert cmu_names(("M", "AH", "D")) == ["m", "ah", "d"]
