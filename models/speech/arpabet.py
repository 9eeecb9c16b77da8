"""ARPAbet: the phones of English as cmudict writes them, here without stress marks. And what espeak-ng calls them.

`espeak_phones.json` is an inventory of espeak-ng's American English: classes of phones with the mnemonics of their allophones.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

Phones = tuple[str, ...]

ESPEAK_CLASSES: dict[str, str] = json.loads(Path(__file__).with_name("espeak_phones.json").read_text(encoding="utf-8"))
_CLASS_OF_MNEMONIC = {name: index for index, names in enumerate(ESPEAK_CLASSES.values()) for name in names.split()}

# Of each class of espeak-ng's, in its order; the first is silence.
_IN_ARPABET = (
    ["", *"P B T D K G CH JH F V TH DH S Z SH ZH HH M N NG L R W Y IY IH EH AE AH AH AA AO UH UW ER".split()]
    + [f"{vowel} R" for vowel in "AA AO EH IH UH".split()]
    + "EY AY AW OY OW".split()
)
VOWELS = frozenset("AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW".split())
PHONES = frozenset(phone for name in _IN_ARPABET for phone in name.split())

_UNSTRESSED = {"AH": "@", "ER": "3"}
_MNEMONICS = {
    phone: name for name, phone in zip(ESPEAK_CLASSES, _IN_ARPABET, strict=True) if phone in PHONES and name != "@"
} | {"AA": "A:"}


# In the International Phonetic Alphabet, as espeak-ng writes American English.
_IPA = dict(
    zip(
        "AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH".split(),
        "ɑː æ ʌ ɔː aʊ aɪ b tʃ d ð ɛ ɜː eɪ f ɡ h ɪ iː dʒ k l m n ŋ oʊ ɔɪ p ɹ s ʃ t θ ʊ uː v w j z ʒ".split(),
        strict=True,
    )
)
_UNSTRESSED_IPA = {"AH": "ə", "ER": "ɚ"}


def parse_phones(text: str) -> Phones:
    """Phones from a string such as "K AY B".

    Raises
    ------
    ValueError
        Naming what is no phone, and the phones; or where there is none.
    """
    phones = tuple(text.split())
    if not phones:
        raise ValueError("it names no phones")
    for phone in phones:
        if phone not in PHONES:
            raise ValueError(f"{phone!r} is no phone; the phones are {' '.join(sorted(PHONES))}")
    return phones


def espeak_class(name: str) -> int | None:
    """Index of the class of an espeak-ng phone; None for a name outside the inventory."""
    return _CLASS_OF_MNEMONIC.get(name.strip("',%="))


def from_espeak(names: Iterable[str]) -> Phones:
    """What espeak-ng reports of its phones, in ARPAbet; pauses and what is outside the inventory are left out."""
    classes = (espeak_class(name) for name in names)
    return tuple(phone for index in classes if index is not None for phone in _IN_ARPABET[index].split())


def espeak_notation(phones: Sequence[str]) -> str:
    """One word as espeak-ng is told phones, with stress by `with_stress`."""
    marks = {"primary": "'", "secondary": ",", "": ""}
    told = [
        marks[stress] + (_UNSTRESSED.get(phone, _MNEMONICS[phone]) if not stress else _MNEMONICS[phone])
        for phone, stress in with_stress(phones)
    ]
    return f"[[{''.join(told)}]]"


def ipa_word(phones: Sequence[str]) -> str:
    """One word in the International Phonetic Alphabet, with stress by `with_stress`."""
    marks = {"primary": "ˈ", "secondary": "ˌ", "": ""}
    return "".join(
        marks[stress] + (_UNSTRESSED_IPA.get(phone, _IPA[phone]) if not stress else _IPA[phone])
        for phone, stress in with_stress(phones)
    )


def with_stress(phones: Sequence[str]) -> list[tuple[str, str]]:
    """Each phone with its stress, which is not known: the first full vowel has it, each later one has some, and a vowel that can
    be a schwa has none beside others."""
    full = [index for index, phone in enumerate(phones) if phone in VOWELS and phone not in _UNSTRESSED]
    full = full or [index for index, phone in enumerate(phones) if phone in VOWELS][:1]
    marks = dict.fromkeys(full, "secondary") | dict.fromkeys(full[:1], "primary")
    return [(phone, marks.get(index, "")) for index, phone in enumerate(phones)]
