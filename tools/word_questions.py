"""What children's single words are asked for, so that neither a text nor a recording tells right from wrong, but both together.

Each recording is asked for what was said in it and for what was said in another; who is asked for whose text is a permutation of
the recordings. So every text is right as often as it is wrong, and every recording too. Only a nonword that was not said has no
recording of its own. It is made by one phone's change out of two words in one breath, which together are no word either, and
which were said.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
from scipy.optimize import linear_sum_assignment

from models.speech.arpabet import PHONES, VOWELS, Phones
from models.speech.lexicon import pronunciations
from models.speech.pronunciation import NONWORDS, spoken_words
from models.speech.respelling import write_respelling

RIGHT, OTHER_WORD, OTHER_NONWORD = "match", "other word", "other nonword"
NEAR_SHARE = 0.6  # of the recordings of two words, asked for near misses
WORD_TASKS = ("blending", "deletion")

_HARDLY_HEARD = ({"AA", "AO"}, {"AH", "IH"}, {"AH", "UH"}, {"S", "Z"})  # not told apart everywhere, or by everyone
_FORBIDDEN = 1e6
_FAR = 0.6  # of the phones of the longer one differ, at least, in another word
_EDITS = 200  # tried for a near miss
_LEAST_OFTEN = 20  # that words have three phones after each other


@dataclass(frozen=True)
class Said:
    """A recording's words, the ways to say them, and who said them."""

    name: str
    text: str
    choices: tuple[Phones, ...]
    speaker: str = ""

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


def as_said(name: str, text: str, speaker: str = "") -> Said | None:
    """None where the lexicon lacks a word."""
    words = spoken_words(WORD_TASKS[0], text)
    if not words or not all(word.source == "lexicon" for word in words):
        return None
    ways = product(*(word.choices for word in words))
    return Said(name, text, tuple(tuple(phone for word in way for phone in word) for way in ways), speaker)


def ask_for_words(said: Sequence[Said], rng: np.random.Generator) -> Iterator[Question]:
    """Blending and deletion, of single words: every recording in both tasks."""
    words = [one for one in said if one.is_word and len(one.phones) > 1]
    for task in WORD_TASKS:
        yield from _ask_for_each_other(words, task, OTHER_WORD, lambda one: one.text, rng)


def ask_for_nonwords(said: Sequence[Said], rng: np.random.Generator) -> Iterator[Question]:
    """The same recordings, and those of two words, with the words in the respelling key.

    Single words are asked for each other. Of two in one breath, which together are no word, some are too; most are asked for a
    nonword that was not said. So what sounds like a word is right as often as what does not.
    """
    written = [one for one in said if len(one.phones) > 1 and respelled(one.phones)]
    words = [one for one in written if one.is_word]
    pairs = [one for one in written if not one.is_word and one.phones not in pronunciations()]
    pairs = [pairs[int(index)] for index in rng.permutation(len(pairs))]
    n_near = round(NEAR_SHARE * len(pairs))
    for asked in (words, pairs[n_near:]):
        yield from _ask_for_each_other(asked, NONWORDS, OTHER_NONWORD, _respelled_text, rng)
    for one in pairs[:n_near]:
        if (miss := near_nonword(one, rng)) is not None:
            yield Question(one.name, NONWORDS, _respelled_text(one), RIGHT)
            yield Question(one.name, NONWORDS, *miss)


def _ask_for_each_other(
    said: Sequence[Said], task: str, far_kind: str, text_of: Callable[[Said], str], rng: np.random.Generator
) -> Iterator[Question]:
    """As many near misses as there can be, the rarer ones first; a recording for which there is no text is left out.

    The text of another recording of the same child is preferred: wherever a child's clips go, the text is right and wrong there.
    """
    worth = {"missing phone": 3.0, "added phone": 3.0, "substituted phone": 2.0, far_kind: 1.0}
    kinds = [[_kind_of_wrong(text, one, far_kind) for text in said] for one in said]
    gains = np.array([[worth.get(str(kind), -_FORBIDDEN) for kind in row] for row in kinds]).reshape(2 * [len(said)])
    gains += [[0.5 * (one.speaker == other.speaker) for other in said] for one in said]
    np.fill_diagonal(gains, 0.0)
    recordings, texts = linear_sum_assignment(gains + rng.uniform(0, 0.5, gains.shape), maximize=True)
    for recording, text in zip(recordings.tolist(), texts.tolist(), strict=True):
        if recording != text:
            yield Question(said[recording].name, task, text_of(said[recording]), RIGHT)
            yield Question(said[recording].name, task, text_of(said[text]), str(kinds[recording][text]))


def _kind_of_wrong(expected: Said, said: Said, far_kind: str) -> str | None:
    """None for an answer that would be right, or for a text that is neither near nor as long."""
    return miss_kind(expected, said) or (far_kind if _are_alike_in_length_only(expected, said) else None)


def _are_alike_in_length_only(one: Said, other: Said) -> bool:
    """In phones and in syllables."""
    syllables = [sum(phone in VOWELS for phone in said.phones) for said in (one, other)]
    lengths = [len(said.phones) for said in (one, other)]
    if abs(lengths[0] - lengths[1]) > 1 or abs(syllables[0] - syllables[1]) > 1:
        return False
    return _distance(one.phones, other.phones) >= _FAR * max(lengths)


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
