"""Words of a transcript beside those of the expected text: which stands in the place of which, and what is between."""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from models.speech.written import normal_text

_AROUND = re.compile(r"^[^\w']+|[^\w']+$")
_SIGNS = re.compile(r"[\W_]+")
_GAP = 0.75  # of a word without counterpart: two of them cost more than one word in the place of any other


@dataclass(frozen=True)
class Counterparts:
    """What a transcript holds in the places of an expected text.

    Attributes
    ----------
    of_words
        In the place of each expected word; empty where it was left out. More than one word where those beside it have no other
        counterpart.
    of_gaps
        Before each expected word and behind the last, where the words on both sides are as expected.
    """

    of_words: tuple[str, ...]
    of_gaps: tuple[str, ...]


def words_of(transcript: str) -> list[str]:
    """As expected texts are written: small letters, without the signs around words."""
    words = (_AROUND.sub("", word) for word in normal_text(transcript).lower().split())
    return [word for word in words if _key(word)]


def same_words(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether they differ in signs at most."""
    return "".join(map(_key, one)) == "".join(map(_key, other))


def find_counterparts(expected: Sequence[str], heard: Sequence[str]) -> Counterparts:
    """By the cheapest edits; a word that is spelled alike costs less."""
    of_words, of_gaps = [""] * len(expected), [""] * (len(expected) + 1)
    pairs = _align(expected, heard)
    matched = {i for i, j in pairs if i is not None and j is not None and _key(expected[i]) == _key(heard[j])}
    place = 0  # the expected word that comes next
    for i, j in pairs:
        if i is not None:
            place = i + 1
            of_words[i] = _joined(of_words[i], "" if j is None else heard[j])
        elif j is not None:
            beside = [word for word in (place - 1, place) if 0 <= word < len(expected) and word not in matched]
            if beside:
                of_words[beside[0]] = _joined(of_words[beside[0]], heard[j])
            else:
                of_gaps[place] = _joined(of_gaps[place], heard[j])
    return Counterparts(tuple(of_words), tuple(of_gaps))


def _align(expected: Sequence[str], heard: Sequence[str]) -> list[tuple[int | None, int | None]]:
    """Pairs of places in both, in order; None where there is no counterpart."""
    n, m = len(expected), len(heard)
    costs = [[_GAP * (i + j) if i == 0 or j == 0 else 0.0 for j in range(m + 1)] for i in range(n + 1)]
    for i in range(1, n + 1):
        for j in range(1, m + 1):
            costs[i][j] = min(
                costs[i - 1][j - 1] + _difference(expected[i - 1], heard[j - 1]),
                costs[i - 1][j] + _GAP,
                costs[i][j - 1] + _GAP,
            )
    pairs: list[tuple[int | None, int | None]] = []
    i, j = n, m
    while i or j:
        if i and j and costs[i][j] == costs[i - 1][j - 1] + _difference(expected[i - 1], heard[j - 1]):
            i, j = i - 1, j - 1
            pairs.append((i, j))
        elif i and costs[i][j] == costs[i - 1][j] + _GAP:
            i -= 1
            pairs.append((i, None))
        else:
            j -= 1
            pairs.append((None, j))
    return pairs[::-1]


@lru_cache(maxsize=4096)
def _difference(one: str, other: str) -> float:
    """0 for the same word, near 1 for words that share nothing."""
    if _key(one) == _key(other):
        return 0.0
    return 1 - 0.5 * difflib.SequenceMatcher(None, one, other, autojunk=False).ratio()


def _key(word: str) -> str:
    """Letters and digits alone: `don't` and `dont` are one word to a listener."""
    return _SIGNS.sub("", word)


def _joined(one: str, other: str) -> str:
    return f"{one} {other}".strip()
