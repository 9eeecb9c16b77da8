"""What children's single words are asked for, so that neither a text nor a recording tells right from wrong, but both together.

Words are asked for in pairs of recordings: each for what was said in it, and for what was said in the other. So every text is
right as often as it is wrong, and every recording too. A near miss of a nonword has no recording of its own. It stands beside
nonwords that were said, of as many phones: two words in one breath, which together are no word.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import TypeVar

import numpy as np

from models.speech.arpabet import PHONES, VOWELS, Phones
from models.speech.lexicon import pronunciations
from models.speech.pronunciation import NONWORDS, spoken_words
from models.speech.respelling import write_respelling

Item = TypeVar("Item")

RIGHT, OTHER_WORD, OTHER_NONWORD = "match", "other word", "other nonword"
NEAR_SHARE = 0.6  # of the wrong answers, as far as there are pairs
WORD_TASKS = ("blending", "deletion")

_HARDLY_HEARD = ({"AA", "AO"}, {"AH", "IH"}, {"AH", "UH"}, {"S", "Z"})  # not told apart everywhere, or by everyone
_FAR = 0.6  # of the phones of the longer one differ, at least, in another word
_EDITS = 40  # tried for a near miss
_LEAST_OFTEN = 20  # that words have three phones after each other


@dataclass(frozen=True)
class Said:
    """A recording's words and the ways to say them."""

    name: str
    text: str
    choices: tuple[Phones, ...]

    @property
    def phones(self) -> Phones:
        return self.choices[0]

    @property
    def is_word(self) -> bool:
        return " " not in self.text


@dataclass(frozen=True)
class Question:
    name: str
    task: str
    expected_text: str
    kind: str


def as_said(name: str, text: str) -> Said | None:
    """None where the lexicon lacks a word."""
    words = spoken_words(WORD_TASKS[0], text)
    if not words or not all(word.source == "lexicon" for word in words):
        return None
    ways = product(*(word.choices for word in words))
    return Said(name, text, tuple(tuple(phone for word in way for phone in word) for way in ways))


def ask_for_words(said: Sequence[Said], rng: np.random.Generator) -> Iterator[Question]:
    """Blending and deletion, of single words."""
    words = [one for one in said if one.is_word and len(one.phones) > 1]
    for left, right, kinds in _near_and_far(words, OTHER_WORD, rng):
        yield from _cross(left, right, kinds, str(rng.choice(WORD_TASKS)), lambda one: one.text)


def ask_for_nonwords(said: Sequence[Said], rng: np.random.Generator) -> Iterator[Question]:
    """The same recordings, and those of two words, with the words in the respelling key.

    A third of the single words is asked for a near miss that is no word, beside pairs of words of as many phones; of the pairs that
    are left one half is asked for near misses, the other for each other.
    """
    written = [one for one in said if len(one.phones) > 1 and respelled(one.phones)]
    words = [one for one in written if one.is_word]
    pairs = [one for one in written if not one.is_word and one.phones not in pronunciations()]
    beside = _pair_up(pairs, words, lambda pair, word: _are_far(pair, word) and _as_long(pair, word, 0), rng)
    for pair, word in beside[: len(words) // 3]:
        if (miss := near_nonword(word, rng)) is not None:
            yield from _cross(pair, word, (OTHER_NONWORD, ""), NONWORDS, _respelled_text, both=False)
            yield Question(word.name, NONWORDS, *miss)
            words.remove(word)
            pairs.remove(pair)
    for left, right, kinds in _near_and_far(words, OTHER_NONWORD, rng):
        yield from _cross(left, right, kinds, NONWORDS, _respelled_text)
    shuffled = _shuffled(pairs, rng)
    alone, crossed = shuffled[::2], shuffled[1::2]
    for one in alone:
        if (miss := near_nonword(one, rng)) is not None:
            yield Question(one.name, NONWORDS, _respelled_text(one), RIGHT)
            yield Question(one.name, NONWORDS, *miss)
    for left, right in _pair_up(crossed, crossed, lambda one, other: _are_far(one, other) and _as_long(one, other), rng):
        yield from _cross(left, right, (OTHER_NONWORD, OTHER_NONWORD), NONWORDS, _respelled_text)


def _near_and_far(
    words: Sequence[Said], far_kind: str, rng: np.random.Generator
) -> Iterator[tuple[Said, Said, tuple[str, str]]]:
    """Pairs of recordings, and of each what was said in it, asked for the other."""
    near, left = list[tuple[Said, Said]](), list(words)
    for wanted in ({"missing phone", "added phone"}, {"substituted phone"}):  # the rarer ones first
        near += _pair_up(left, left, lambda one, other: miss_kind(one, other) in wanted, rng)  # noqa: B023
        near = near[: round(NEAR_SHARE * len(words) / 2)]
        taken = {one.name for pair in near for one in pair}
        left = [word for word in words if word.name not in taken]
    for one, other in near:
        yield one, other, (str(miss_kind(other, one)), str(miss_kind(one, other)))
    for one, other in _pair_up(left, left, lambda one, other: _are_far(one, other) and _as_long(one, other), rng):
        yield one, other, (far_kind, far_kind)


def _cross(
    left: Said,
    right: Said,
    kinds: tuple[str, str],
    task: str,
    text_of: Callable[[Said], str],
    both: bool = True,
) -> Iterator[Question]:
    """Each asked for what was said in it and in the other, or in `left` alone for the other."""
    yield Question(left.name, task, text_of(left), RIGHT)
    yield Question(right.name, task, text_of(right), RIGHT)
    yield Question(left.name, task, text_of(right), kinds[0])
    if both:
        yield Question(right.name, task, text_of(left), kinds[1])


def _pair_up(
    left: Sequence[Said], right: Sequence[Said], fits: Callable[[Said, Said], bool], rng: np.random.Generator
) -> list[tuple[Said, Said]]:
    """As many pairs as are found when those with the fewest partners choose first; in random order."""
    left, right = _shuffled(left, rng), _shuffled(right, rng)
    partners = {one.name: [other for other in right if other.name != one.name and fits(one, other)] for one in left}
    taken: set[str] = set()
    pairs = []
    for one in sorted(left, key=lambda one: len(partners[one.name])):
        free = [other for other in partners[one.name] if other.name not in taken]
        if one.name not in taken and free:
            other = min(free, key=lambda other: len(partners.get(other.name, ())))
            pairs.append((one, other))
            taken |= {one.name, other.name}
    return _shuffled(pairs, rng)


def _shuffled(items: Sequence[Item], rng: np.random.Generator) -> list[Item]:
    return [items[int(index)] for index in rng.permutation(len(items))]


def _as_long(one: Said, other: Said, most: int = 1) -> bool:
    """By phones and by syllables."""
    syllables = [sum(phone in VOWELS for phone in said.phones) for said in (one, other)]
    return abs(len(one.phones) - len(other.phones)) <= most and abs(syllables[0] - syllables[1]) <= most


def _are_far(one: Said, other: Said) -> bool:
    return _distance(one.phones, other.phones) >= _FAR * max(len(one.phones), len(other.phones))


@lru_cache(maxsize=1 << 20)
def _distance(one: Phones, other: Phones) -> int:
    """Levenshtein's, in phones."""
    row = list(range(len(other) + 1))
    for index, phone in enumerate(one, 1):
        before, row[0] = row[0], index
        for place, counterpart in enumerate(other, 1):
            before, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, before + (phone != counterpart))
    return row[-1]


def miss_kind(expected: Said, said: Said) -> str | None:
    """What became of the one phone by which an answer misses a text; None where it is not one, or hardly heard."""
    kinds = {_edit(own, other) for own in expected.choices for other in said.choices}
    return None if "alike" in kinds else _edit(expected.phones, said.phones)


@lru_cache(maxsize=1 << 20)
def _edit(expected: Phones, said: Phones) -> str | None:
    if len(expected) == len(said):
        differences = [{own, other} for own, other in zip(expected, said, strict=True) if own != other]
        if all(difference in _HARDLY_HEARD for difference in differences):
            return "alike"
        return "substituted phone" if len(differences) == 1 else None
    longer, shorter = (expected, said) if len(expected) > len(said) else (said, expected)
    if not any(longer[:place] + longer[place + 1 :] == shorter for place in range(len(longer))):
        return None
    return "missing phone" if longer is expected else "added phone"


def respelled(phones: Phones) -> str | None:
    """None where the key has no way to write them that is read as a respelling, and not as a word."""
    return write_respelling(phones, lambda text: spoken_words(NONWORDS, text)[0].source != "respelling")


def _respelled_text(said: Said) -> str:
    return str(respelled(said.phones))


def near_nonword(said: Said, rng: np.random.Generator) -> tuple[str, str] | None:
    """A respelled nonword that differs by a phone from what was said, and what became of that phone; None where none is found.

    It can be said: three neighbours of its phones follow each other in words too, or in what was said.
    """
    for _ in range(_EDITS):
        miss = Said("", "", (_edited(said.phones, rng),))
        kind = miss_kind(miss, said)
        if kind is None or not _is_sayable(miss.phones, said.phones) or miss.phones in pronunciations():
            continue
        if text := respelled(miss.phones):
            return text, kind
    return None


def _edited(phones: Phones, rng: np.random.Generator) -> Phones:
    """With one phone replaced by one of its kind, taken away or put in."""
    change, place = int(rng.integers(3)), int(rng.integers(len(phones)))
    alike = sorted(VOWELS if phones[place] in VOWELS else PHONES - VOWELS)
    drawn = str(rng.choice(alike if change == 0 else sorted(PHONES)))
    if change == 1:
        return (*phones[:place], drawn, *phones[place:])
    return (*phones[:place], *([drawn] if change == 0 else []), *phones[place + 1 :])


def _is_sayable(phones: Phones, model: Phones) -> bool:
    """Whether each three neighbours stand beside each other in words too, or in what was said."""
    known = set(_threes(model))
    return len(phones) > 1 and all(three in known or _neighbours()[three] >= _LEAST_OFTEN for three in _threes(phones))


@lru_cache(maxsize=1)
def _neighbours() -> Counter[Phones]:
    """How often three phones follow each other in the lexicon."""
    return Counter(three for phones in pronunciations() for three in _threes(phones))


def _threes(phones: Phones) -> list[Phones]:
    """Before the first phone and behind the last stands an empty one."""
    padded = ("", *phones, "")
    return [padded[place : place + 3] for place in range(len(padded) - 2)]
