"""Words of a transcript beside those of the expected text: which stands in the place of which, and what is between."""

import difflib
import re
from collections.abc import Container, Sequence
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
        In the place of each expected word; empty where it was left out.
    of_gaps
        Before each expected word and behind the last; empty where nothing is, else one word or more.
    as_expected
        Of each expected word, whether it stands there itself.
    """

    of_words: tuple[str, ...]
    of_gaps: tuple[str, ...]
    as_expected: tuple[bool, ...]

    def instead_of(self, place: int, apart: Container[int]) -> str:
        """What stands for an expected word, with what is beside it and has no other counterpart: `eight a` for *ate*.

        Parameters
        ----------
        apart
            Gaps whose words stand for themselves.
        """
        own = self.of_words[place]
        if not own or self.as_expected[place]:
            return own
        is_others = place in apart or (place > 0 and not self.as_expected[place - 1])
        before = "" if is_others else self.of_gaps[place]
        after = "" if place + 1 in apart else self.of_gaps[place + 1]
        return " ".join(filter(None, (before, own, after)))


def words_of(transcript: str) -> list[str]:
    """As expected texts are written: small letters, without the signs around words."""
    words = (_AROUND.sub("", word) for word in normal_text(transcript).lower().split())
    return [word for word in words if bare(word)]


def same_word(one: str, other: str) -> bool:
    """Whether two words, or several in the place of one, differ in signs at most."""
    return bare(one) == bare(other)


def find_counterparts(expected: Sequence[str], heard: Sequence[str]) -> Counterparts:
    """By the cheapest edits; a word that is spelled alike costs less."""
    of_words, of_gaps = [""] * len(expected), [""] * (len(expected) + 1)
    place = 0  # the expected word that comes next
    for i, j in _align(expected, heard):
        if i is not None:
            of_words[i], place = "" if j is None else heard[j], i + 1
        elif j is not None:
            of_gaps[place] = f"{of_gaps[place]} {heard[j]}".strip()
    as_expected = tuple(same_word(*pair) for pair in zip(expected, of_words, strict=True))
    return Counterparts(tuple(of_words), tuple(of_gaps), as_expected)


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
    if same_word(one, other):
        return 0.0
    return 1 - 0.5 * difflib.SequenceMatcher(None, one, other, autojunk=False).ratio()


def bare(word: str) -> str:
    """Letters and digits alone: `don't` and `dont` are one word to a listener."""
    return _SIGNS.sub("", word)
