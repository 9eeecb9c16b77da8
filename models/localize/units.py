"""What a text sounds like, unit by unit: the phones of each word, or of a single word one by one.

The phones are espeak-ng's, in the classes of the phone classifier. Where espeak-ng is not installed, those that the classifier
reads in the reference are shared out among the words by their letters.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from models.errors import InputError
from models.network.phones import PAUSE, PHONE_CLASSES, phone_class
from models.speech.espeak import NORMAL_RATE_WPM, Espeak

_RATE_WPM = round(0.7 * NORMAL_RATE_WPM)  # of the references with which the phone classifier was trained

# The classes of which espeak-ng's own names say little to a reader, in the International Phonetic Alphabet.
_IPA = dict(
    zip(
        "tS dZ T D S Z N j i: I E a @ V 0 O: U u: 3: A@ O@ e@ i@ U@ eI aI aU OI oU".split(),
        "tʃ dʒ θ ð ʃ ʒ ŋ j iː ɪ ɛ æ ə ʌ ɑ ɔː ʊ uː ɜː ɑːɹ ɔːɹ ɛɹ ɪɹ ʊɹ eɪ aɪ aʊ ɔɪ oʊ".split(),
        strict=True,
    )
)


@dataclass(frozen=True)
class Pronunciation:
    """A text in units.

    Attributes
    ----------
    unit
        "word", or "phone" for a text of one word.
    texts
        What each unit is called: the word, or the phone's IPA symbol.
    phones
        Phone classes of each unit, at least one.
    """

    unit: str
    texts: tuple[str, ...]
    phones: tuple[tuple[int, ...], ...]


def pronounce(text: str) -> Pronunciation | None:
    """By espeak-ng; None where it is not installed, or has no sound for the text."""
    try:
        phones = _spoken_phones(text)
    except InputError:
        return None
    return _in_units(text, phones)


def pronounce_as_read(text: str, read: Sequence[int]) -> Pronunciation | None:
    """From the phones that were read in the text's reference, each word given as many as its letters let expect."""
    words = text.split()
    return _in_units(text, _share_out(list(read), [len(word) for word in words]))


def phone_name(index: int) -> str:
    """A phone class in the International Phonetic Alphabet."""
    return _IPA.get(PHONE_CLASSES[index], PHONE_CLASSES[index])


def _in_units(text: str, phones: list[list[int]]) -> Pronunciation | None:
    """Words with their phones as units.

    Parameters
    ----------
    phones
        Of each word; a word without any is joined to the one before it, or else after it.
    """
    units: list[tuple[str, tuple[int, ...]]] = []
    for word, sounds in zip(text.split(), phones, strict=True):
        if units and not (sounds and units[-1][1]):
            units[-1] = (f"{units[-1][0]} {word}", units[-1][1] + tuple(sounds))
        else:
            units.append((word, tuple(sounds)))
    if not units or not units[0][1]:
        return None
    if len(units) > 1:
        return Pronunciation("word", *(tuple(column) for column in zip(*units, strict=True)))  # type: ignore[arg-type]
    singles = units[0][1]
    return Pronunciation("phone", tuple(phone_name(phone) for phone in singles), tuple((phone,) for phone in singles))


@lru_cache(maxsize=4096)
def _phone_table(text: str) -> tuple[tuple[int, int], ...]:
    """Class of each phone, pauses left out, and where its word begins in the text."""
    utterance = _espeak().speak(text, rate_wpm=_RATE_WPM)
    classes = [(phone_class(phone.name), phone.word_start) for phone in utterance.phones]
    return tuple((index, start) for index, start in classes if index is not None and index != PAUSE)


@lru_cache(maxsize=1)
def _espeak() -> Espeak:
    return Espeak(fresh=False)


def _spoken_phones(text: str) -> list[list[int]]:
    """The phones of each word, as spoken in its sentence."""
    words = text.split()
    text = " ".join(words)
    starts = np.cumsum([0, *(len(word) + 1 for word in words)])[:-1]
    phones: list[list[int]] = [[] for _ in words]
    for index, start in _phone_table(text):
        phones[max(0, int(np.searchsorted(starts, start, side="right")) - 1)].append(index)
    return _part_merged(words, phones)


def _part_merged(words: Sequence[str], phones: list[list[int]]) -> list[list[int]]:
    """Words that espeak-ng took for one with the word before get their part of its phones, as many as when spoken alone."""
    first = 0
    while first < len(words):
        after = first + 1
        while after < len(words) and not phones[after]:
            after += 1
        if after > first + 1:
            alone = [len(_phone_table(word)) for word in words[first:after]]
            phones[first:after] = _share_out(phones[first], alone)
        first = after
    return phones


def _share_out(phones: list[int], shares: Sequence[int]) -> list[list[int]]:
    """Neighbouring parts of `phones`, of lengths in proportion to `shares`."""
    ends = np.round(np.cumsum(shares) / max(1, sum(shares)) * len(phones)).astype(int).tolist()
    return [phones[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]
