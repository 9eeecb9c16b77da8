"""Was what a child said instead of a word heard? Phones that experts heard, beside what a model tells.

speechocean762 names for some words the phones that stood in the place of others, as `IY>AH;N><DEL>`; where it says that a sound
was no English one (`<unk>`) or only coloured (`R*`), nothing is asked.
"""

from collections.abc import Sequence

import pandas as pd
from torchaudio.functional import edit_distance

from models.localize.result import Localization, Unit
from models.localize.written_words import words_of
from models.speech.arpabet import Phones
from models.speech.lexicon import look_up
from models.speech.pronunciation import pronounce_text

NOTHING, UNKNOWN, COLOURED = "<DEL>", "<unk>", "*"
TASK = "sentence_repetition"  # of words that are looked up as words


def spoken_phones(word: str, instead: str) -> Phones | None:
    """What was said in the place of a word; None where that is not known.

    Parameters
    ----------
    instead
        Replacements in the order of the word's phones.
    """
    if UNKNOWN in instead or COLOURED in instead:
        return None
    changes = [change.split(">", 1) for change in instead.split(";")]
    return next((said for phones in look_up(word) if (said := _replaced(phones, changes)) is not None), None)


def _replaced(phones: Phones, changes: Sequence[Sequence[str]]) -> Phones | None:
    """None where the phones that are to be replaced don't stand there in this order."""
    found, at = list[str](), 0
    for canonical, said in changes:
        if canonical not in phones[at:]:
            return None
        place = phones.index(canonical, at)
        found += [*phones[at:place], *([] if said == NOTHING else said.split())]
        at = place + 1
    return (*found, *phones[at:])


def heard_instead(found: Localization, n_words: int) -> list[str | None]:
    """Of each word of the text what the model tells was heard: the word itself, other words, "" for nothing, None: not known."""
    told = [_told(unit) for unit in found.expected_units]
    return told if len(told) == n_words else [None] * n_words


def _told(unit: Unit) -> str | None:
    return {"right": unit.text, "missing": ""}.get(unit.kind, unit.heard)


def how_heard(word: str, instead: str, heard: str | None) -> str:
    """Of a word that was said otherwise: "as expected", "nothing told", "nearer to what was said" or "otherwise"."""
    if heard is None:
        return "nothing told"
    if heard == word:
        return "as expected"
    said, expected = spoken_phones(word, instead), look_up(word)
    assert said is not None
    told = phones_of(heard)
    nearer = edit_distance(told, said) < min(edit_distance(told, phones) for phones in expected)
    return "nearer to what was said" if nearer else "otherwise"


def phones_of(text: str) -> Phones:
    """Of words that a model wrote down; of unknown ones by espeak-ng's rules."""
    return tuple(phone for word in words_of(text) for phone in pronounce_text(TASK, word).choices[0])


def summary(words: pd.DataFrame) -> str:
    """In a line, of the words that were said otherwise.

    Parameters
    ----------
    words
        word, said_instead and heard.
    """
    asked = words[words["said_instead"].notna()]
    asked = asked[[spoken_phones(*pair) is not None for pair in zip(asked["word"], asked["said_instead"], strict=True)]]
    heard = [None if pd.isna(text) else text for text in asked["heard"]]  # pandas has no None among texts
    counts = pd.Series(map(how_heard, asked["word"], asked["said_instead"], heard), dtype=str).value_counts()
    return f"{len(asked)} words of which it is known what was said instead: " + ", ".join(
        f"{name} {count} ({count / len(asked):.0%})" for name, count in counts.items()
    )
