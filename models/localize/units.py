"""What a text sounds like, unit by unit: the phones of each word, or of a single word one by one.

The phones are espeak-ng's, in the classes of the phone classifier. Where espeak-ng is not installed, those that the classifier
reads in the reference are shared out among the words by their letters.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from models.errors import InputError
from models.network.phones import PHONE_CLASSES
from models.speech.reading import Reading, accepted_readings, share_out

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


def pronounce(text: str, utterance: str) -> Pronunciation | None:
    """The text in units, as espeak-ng says its utterance; None where it is not installed, or has no sound for it."""
    readings = read_accepted([utterance])
    return in_units(text, readings[0]) if readings else None


def read_accepted(utterances: Sequence[str]) -> list[Reading]:
    """As `accepted_readings`; none where espeak-ng is not installed."""
    try:
        return accepted_readings(utterances)
    except InputError:
        return []


def pronounce_as_read(text: str, read: Sequence[int]) -> Pronunciation | None:
    """From the phones that were read in the text's reference, each word given as many as its letters let expect."""
    words = text.split()
    return in_units(text, share_out(list(read), [len(word) for word in words]))


def phone_name(index: int) -> str:
    """A phone class in the International Phonetic Alphabet."""
    return _IPA.get(PHONE_CLASSES[index], PHONE_CLASSES[index])


def in_units(text: str, phones: Reading) -> Pronunciation | None:
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
