"""What an expected text sounds like, in ARPAbet, and how that is known. The one place that decides it.

- *given*: somebody has said so, in a table of pronunciations;
- *respelling*: a nonword, spelled in the key that says how it sounds (`respelling.py`);
- *lexicon*: a word of the CMU Pronouncing Dictionary;
- *rules*: neither; as the embedded voice, espeak-ng, reads it by its rules.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from models.errors import InputError
from models.speech.arpabet import Phones, from_espeak
from models.speech.lexicon import look_up
from models.speech.reading import read_words
from models.speech.respelling import read_respelling
from models.speech.utterance import join_words, share_by_alignment, split_words
from models.speech.written import normal_text, plain_word

NONWORDS = "nonword_repetition"  # the task whose texts are respellings

Source = Literal["given", "respelling", "lexicon", "rules"]
_SUREST_FIRST: tuple[Source, ...] = ("given", "respelling", "lexicon", "rules")

_BRACES = str.maketrans("", "", "{}")  # mean phones to a voice
# Data often lacks apostrophes. Contractions whose letters are a word of their own without one (its, were, well, ill) stand here
# only where hardly anybody writes that word.
_CONTRACTIONS = {
    contraction.replace("'", ""): contraction
    for contraction in (
        "i'm i've you're you've you'll you'd he's he'd she's they're they've they'll they'd we've it'll it'd that's that'll "
        "there's here's what's where's who's who'll how's when's don't can't won't isn't aren't ain't wasn't weren't hasn't "
        "haven't hadn't doesn't didn't couldn't wouldn't shouldn't mustn't needn't o'clock"
    ).split()
}
_CAPITALS = re.compile(r"(?<![^\W_])[^\W\d_a-z]+(?:'(?:s|[^\W\d_a-z]+))?(?![^\W_])")
_AFTER_NUMBERS = re.compile(r"(?<=\d)(?:ST|ND|RD|TH|S)(?![^\W_])")
_TITLES = {"dr": "doctor"}  # the lexicon's first reading is "drive"


@dataclass(frozen=True)
class SpokenWord:
    """A word of a text.

    Attributes
    ----------
    spelling
        As a voice is given it.
    choices
        Its pronunciations, the usual one first; none where only the voice knows.
    source
        How they are known.
    """

    spelling: str
    choices: tuple[Phones, ...]
    source: Source


@dataclass(frozen=True)
class Pronunciation:
    """A text's.

    Attributes
    ----------
    choices
        The phones of the whole text, each way that is accepted; the first is spoken.
    source
        Of the word of which least is known.
    """

    choices: tuple[Phones, ...]
    source: Source


@lru_cache(maxsize=8192)  # rows share texts, and several places ask for each
def utterance_of(task: str, text: str, given: Phones = ()) -> str:
    """What a voice is to say for an expected text: the text itself, but for words that it would say otherwise.

    Parameters
    ----------
    given
        The phones of the whole text, where they have been given. Words are told those of them that differ from what they are said
        with otherwise.

    Raises
    ------
    InputError
        Where they leave a word without any, or the text is not UTF-8.
    """
    text = normal_text(text)
    words = spoken_words(task, text)
    told = [word.choices[0] if word.source == "respelling" else None for word in words]
    if given:
        own = _own_phones(words, told)
        parts = share_by_alignment(own, given)
        silent = [word.spelling for word, part, usual in zip(words, parts, own, strict=True) if usual and not part]
        if silent:
            raise InputError(
                f"the pronunciation {' '.join(given)!r}, given for the text {text[:60]!r}, leaves no phones for {silent[0]!r}"
            )
        told = [part if part != usual else phones for part, usual, phones in zip(parts, own, told, strict=True)]
    spellings = [word.spelling for word in words]
    changed = spellings != text.split() or any(told)
    return join_words(list(zip(spellings, told, strict=True))) if changed else text


@lru_cache(maxsize=8192)
def accepted_utterances(task: str, text: str, given: tuple[Phones, ...] = ()) -> tuple[str, ...]:
    """All that counts as a text said right: first what a voice is to say for it, then the same with words said otherwise.

    Where nothing has been given, each word may be said in each way that the lexicon has for it: of *read* in a sentence it is a
    guess which was meant, and no mistake to say *the* and *a* with a full vowel.

    Parameters
    ----------
    given
        As of `utterance_of`, each way that has been given; then no others are accepted.

    Raises
    ------
    InputError
        As `utterance_of`.
    """
    spoken = utterance_of(task, text, *given[:1])
    if given:
        return tuple(dict.fromkeys(utterance_of(task, text, phones) for phones in given))
    words = split_words(spoken)
    others = [
        join_words([*words[:place], (spelling, phones), *words[place + 1 :]])
        for place, ((spelling, _), word) in enumerate(zip(words, spoken_words(task, text), strict=True))
        for phones in word.choices
        if len(word.choices) > 1
    ]
    return (spoken, *others)


def pronounce_text(task: str, text: str) -> Pronunciation:
    """All that is known of how a text sounds. What only the voice knows is asked of espeak-ng.

    Of several ways to say a word that which the voice says is taken; of a single word the others are named too. In a sentence
    they are accepted unnamed (`accepted_utterances`): there would be too many.

    Raises
    ------
    InputError
        Where a package that knows is not installed.
    """
    words = spoken_words(task, text)
    told = [word.choices[0] if word.source == "respelling" else None for word in words]
    own = tuple(_chain(_own_phones(words, told)))
    others = words[0].choices if len(words) == 1 else ()
    return Pronunciation(
        tuple(dict.fromkeys([own, *others])), max((word.source for word in words), key=_SUREST_FIRST.index)
    )


def without_capitals(text: str) -> str:
    """A text that is written in capitals alone, as it is written usually: *I* keeps its own, and so do letters that are said."""

    def usual(word: re.Match[str]) -> str:
        small = word[0].lower()
        if small.startswith("i'"):
            return small.capitalize()
        letters = small.removesuffix("'s")
        return word[0] if letters != "a" and (len(letters) == 1 or _is_spelled_out(letters)) else small

    return _AFTER_NUMBERS.sub(lambda ending: ending[0].lower(), _CAPITALS.sub(usual, text))


def _own_phones(words: Sequence[SpokenWord], told: Sequence[Phones | None]) -> list[Phones]:
    """Of each word the one way to say it; else that which espeak-ng reads in this text, or the usual one if it reads another."""
    if all(len(word.choices) == 1 for word in words):
        return [word.choices[0] for word in words]
    read = _read(join_words([(word.spelling, phones) for word, phones in zip(words, told, strict=True)]))
    return [
        own if own in word.choices or not word.choices else word.choices[0]
        for word, own in zip(words, read, strict=True)
    ]


def _read(utterance: str) -> list[Phones]:
    return [from_espeak(names) for names in read_words(utterance)]


@lru_cache(maxsize=8192)
def spoken_words(task: str, text: str) -> tuple[SpokenWord, ...]:
    """Each word of a text, divided at blanks. A full stop between them, by itself, is none that is read ("dot")."""
    words = normal_text(text).split()
    words[:-1] = ["," if word == "." else word for word in words[:-1]]
    return tuple(_spoken_word(task, word) for word in words)


def _spoken_word(task: str, word: str) -> SpokenWord:
    spelling = plain_word(word).translate(_BRACES) or "-"
    bare = spelling.strip("'\".,;:!?()[]-…“”„")
    key = _CONTRACTIONS.get(bare.lower(), bare.lower())
    spelling = _CAPITALS.sub(_in_small_letters, spelling) if key == bare.lower() else spelling.replace(bare, key)
    if choices := _in_lexicon(key):
        return SpokenWord(spelling, choices, "lexicon")
    if task == NONWORDS and (phones := read_respelling(key)):
        return SpokenWord(spelling, (phones,), "respelling")
    return SpokenWord(spelling, (), "rules")


def _in_small_letters(capitals: re.Match[str]) -> str:
    """A word in capitals, of which a voice would say the letters, unless they are what is usually said."""
    key = capitals[0].lower()
    letters = key.removesuffix("'s")
    return key if len(letters) > 1 and _in_lexicon(key) and not _is_spelled_out(letters) else capitals[0]


def _is_spelled_out(key: str) -> bool:
    """Whether it is usually said letter by letter, as TV."""
    letters, found = [look_up(f"{letter}.") for letter in key], look_up(key)
    return bool(found) and all(letters) and found[0] == tuple(_chain(names[0] for names in letters))


def _in_lexicon(key: str) -> tuple[Phones, ...]:
    """Of a word, or made of those of its parts."""
    found = look_up(_TITLES.get(key, key)) or look_up(_without_accents(key))
    if found:
        return found
    if key.endswith("'s") and (base := look_up(key[:-2])):
        return tuple((*phones, *_ending(phones)) for phones in base)
    if key.endswith("s'") and (plural := look_up(key[:-1])):
        return plural
    parts = [look_up(part) for part in key.split("-")]
    return (tuple(_chain(part[0] for part in parts)),) if len(parts) > 1 and all(parts) else ()


def _ending(phones: Sequence[str]) -> Phones:
    """Of a possessive, by the last phone of its noun."""
    if phones[-1] in ("S", "Z", "SH", "ZH", "CH", "JH"):
        return ("IH", "Z")
    return ("S",) if phones[-1] in ("P", "T", "K", "F", "TH") else ("Z",)


def _without_accents(word: str) -> str:
    return "".join(sign for sign in unicodedata.normalize("NFD", word) if not unicodedata.combining(sign))


def _chain(parts: Iterable[Phones]) -> list[str]:
    return [phone for part in parts for phone in part]
