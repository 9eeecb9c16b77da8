"""How espeak-ng itself reads a text: the phones of each word, as spoken in its sentence."""

from collections.abc import Sequence
from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from models.speech.arpabet import Phones, espeak_class, espeak_notation, from_espeak
from models.speech.espeak import NORMAL_RATE_WPM, Espeak
from models.speech.utterance import split_words

Item = TypeVar("Item")
Reading = list[list[int]]  # phone classes of each word

MOST_READINGS = 60  # of a text: about 50 words; each is read and compared as a whole, so more would take their square
# Faster speech is sooner made, of the same phones as at 122; for faster still espeak-ng takes another, slower way.
_RATE_WPM = 2 * NORMAL_RATE_WPM
_PAUSE = 0  # its class
_MEANT = {"?": "t"}  # a glottal stop, which sounds like a pause, stands for it: "kitten"
_MARKS = ".,;:!?…"


def read_words(utterance: str) -> list[list[str]]:
    """The mnemonics of each word's phones, pauses and what is outside the inventory left out.

    Raises
    ------
    InputError
        Where espeak-ng is not installed.
    """
    words = split_words(utterance)
    told = [word if phones is None else espeak_notation(phones) for word, phones in words]
    starts = _word_starts(told)
    phones: list[list[str]] = [[] for _ in words]
    for name, start in _phone_table(" ".join(told), told != [word for word, _ in words]):
        phones[max(0, int(np.searchsorted(starts, start, side="right")) - 1)].append(name)
    return _part_merged(told, phones)


def accepted_readings(utterances: Sequence[str]) -> list[Reading]:
    """How espeak-ng says each, but for words that are told as in the first: these sound as there, whatever their neighbours.

    Returns
    -------
    list[Reading]
        The first one first, without those that sound like one before; of a text with more than MOST_READINGS it alone.

    Raises
    ------
    InputError
        Where espeak-ng is not installed.
    """
    if len(utterances) > MOST_READINGS:
        utterances = utterances[:1]
    read = [read_words(utterance) for utterance in utterances]
    told = [split_words(utterance) for utterance in utterances]
    by_sound: dict[tuple[Phones, ...], Reading] = {}
    for words, own in zip(read, told, strict=True):
        pairs = zip(words, own, read[0], told[0], strict=True)
        kept = [word if is_told != usually else usual for word, is_told, usual, usually in pairs]
        by_sound.setdefault(tuple(map(from_espeak, kept)), [_classes(word) for word in kept])
    return list(by_sound.values())


def _classes(names: Sequence[str]) -> list[int]:
    return [index for name in names if (index := espeak_class(name)) is not None]


def share_out(phones: list[Item], shares: Sequence[int]) -> list[list[Item]]:
    """Neighbouring parts of `phones`, of lengths in proportion to `shares`; alike where there are none."""
    shares = shares if any(shares) else [1] * len(shares)
    ends = np.round(np.cumsum(shares) / max(1, sum(shares)) * len(phones)).astype(int).tolist()
    return [phones[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]


@lru_cache(maxsize=16384)  # some 4,000 sentences, each in about four ways: 60 MB
def _phone_table(told: str, told_phones: bool) -> tuple[tuple[str, int], ...]:
    """Name of each phone, and where its word begins in the text."""
    utterance = _espeak().speak(told, rate_wpm=_RATE_WPM, told_phones=told_phones)
    named = ((_MEANT.get(phone.name, phone.name), phone.word_start) for phone in utterance.phones)
    return tuple((name, start) for name, start in named if espeak_class(name) not in (None, _PAUSE))


@lru_cache(maxsize=1)
def _espeak() -> Espeak:
    return Espeak(fresh=False)


def _word_starts(told: Sequence[str]) -> NDArray[np.int64]:
    """Where each word begins for espeak-ng: behind a full stop that no capital follows a character early."""
    early = [len(word) > 1 and word.endswith(".") for word in told[:-1]]
    return np.cumsum([0, *(len(word) + 1 for word in told[:-1])]) - [0, *early]


def _part_merged(told: Sequence[str], phones: list[list[str]]) -> list[list[str]]:
    """Words that espeak-ng took for one with the word before get their part of its phones, as many as when spoken alone."""
    first = 0
    while first < len(told):
        after = first + 1
        while after < len(told) and not phones[after]:
            after += 1
        if after > first + 1:
            alone = [_phones_alone(word) for word in told[first:after]]
            phones[first:after] = share_out(phones[first], alone)
        first = after
    return phones


def _phones_alone(word: str) -> int:
    """How many a word has by itself. Marks have none: espeak-ng names some ("colon") where nothing stands beside them."""
    return len(_phone_table(word, word.startswith("[["))) if word.strip(_MARKS) else 0
