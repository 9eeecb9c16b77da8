"""Phones in English letters, for voices that read text alone: K AY B as `kibe`, G IY M T OW F as `gheem tofe`.

Syllable by syllable, as words of their own: what reads English reads short words right, and guesses at long ones that nobody has
written before.
"""

import re
from collections.abc import Sequence

from models.speech.arpabet import VOWELS, Phones
from models.speech.utterance import split_words

# Where they are not a phone's name in lower case; of vowels, before a consonant of the same syllable and at its end.
_CONSONANTS = {"CH": "ch", "DH": "th", "HH": "h", "JH": "j", "NG": "ng", "SH": "sh", "TH": "th", "ZH": "zh"}
_CLOSED = dict(
    zip(
        "AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW".split(),
        "o a u aw ou ie e ur ay i ee oe oy oo oo".split(),
        strict=True,
    )
)
_OPEN = {**_CLOSED, "AA": "ah", "AH": "uh", "AW": "ow", "AY": "y", "EH": "eh", "ER": "urr", "IH": "ih", "OW": "oh"}
_BEFORE_SILENT_E = {"AY": "i", "EY": "a", "OW": "o"}
_SOFT_G = re.compile("g(?=[eiy])")


def for_reader(utterance: str) -> str:
    """As a voice is given it that takes no phones: words that are told some in letters, the others as they are spelled."""
    if "{" not in utterance:
        return utterance
    words = split_words(utterance)
    return " ".join(word if phones is None else in_letters(phones) for word, phones in words)


def in_letters(phones: Phones) -> str:
    """Its syllables between blanks."""
    return " ".join(_SOFT_G.sub("gh", _spell(part)).replace("awr", "or") for part in _syllables(phones))


def _syllables(phones: Phones) -> list[Phones]:
    """Each begins with the last consonant before its vowel, which is not NG."""
    vowels = [place for place, phone in enumerate(phones) if phone in VOWELS]
    starts = [vowel - (phones[vowel - 1] not in VOWELS and phones[vowel - 1] != "NG") for vowel in vowels[1:]]
    return [phones[start:end] for start, end in zip([0, *starts], [*starts, len(phones)], strict=True)]


def _spell(syllable: Phones) -> str:
    *start, last = syllable
    if len(start) > 1 and start[-1] in _BEFORE_SILENT_E and last not in VOWELS and last != "G":
        return _join(start[:-1]) + _BEFORE_SILENT_E[start[-1]] + _join([last]) + "e"
    return _join(start) + (_OPEN[last] if last in VOWELS else _join([last]))


def _join(phones: Sequence[str]) -> str:
    return "".join(_CLOSED.get(phone) or _CONSONANTS.get(phone) or phone.lower() for phone in phones)
