"""Nonwords are given as respellings, in the key of dictionary.com: `kahyb` is said K AY B. Here they are read, and written.

The key writes sounds by letters that an English reader says without thinking. What is not among its symbols is refused. Stress,
which it prints bold, is lost in plain text.
"""

from collections.abc import Callable, Iterator

from models.speech.arpabet import Phones

# The key's own symbols; of those with two sounds, which it tells apart by print (`oo`, `th`), the more usual one.
_KEY = {
    **{"a": "AE", "ah": "AA", "air": "EH R", "ahr": "AA R", "aw": "AO", "awr": "AO R", "ey": "EY", "ahy": "AY"},
    **{
        "ahyuhr": "AY ER",
        "e": "EH",
        "ee": "IY",
        "eer": "IH R",
        "er": "ER",
        "i": "IH",
        "o": "AA",
        "oh": "OW",
        "oo": "UW",
    },
    **{"oor": "UH R", "oi": "OY", "ou": "AW", "ouuhr": "AW ER", "uh": "AH", "ur": "ER"},
    **{
        "b": "B",
        "ch": "CH",
        "d": "D",
        "f": "F",
        "g": "G",
        "h": "HH",
        "hw": "W",
        "j": "JH",
        "k": "K",
        "l": "L",
        "m": "M",
    },
    **{
        "n": "N",
        "ng": "NG",
        "p": "P",
        "r": "R",
        "s": "S",
        "sh": "SH",
        "t": "T",
        "th": "TH",
        "v": "V",
        "w": "W",
        "y": "Y",
    },
    **{"z": "Z", "zh": "ZH"},
}
# What the competition's nonwords write besides: by chance (`duhpakuhtayf`, `vuhbowkeiv`, `nafburkud`) or always (`ow`, `or`).
_ALSO = {"ay": "EY", "ei": "EY", "u": "AH", "ow": "AW", "or": "AO R", "ar": "AA R"}
_SYMBOLS = {**_KEY, **_ALSO}
_LONGEST = max(map(len, _SYMBOLS))
# Of several symbols for the same, those that the competition's nonwords write; the others are a way out.
_USUAL = frozenset("ah uh ow er ey w or".split())
_WRITTEN: dict[Phones, list[str]] = {}
for _symbol in sorted(_SYMBOLS.keys() - {"hw"}, key=lambda symbol: (symbol not in _USUAL, symbol)):
    _WRITTEN.setdefault(tuple(_SYMBOLS[_symbol].split()), []).append(_symbol)


def read_respelling(word: str) -> Phones | None:
    """The phones of a respelled word, the longest symbol first; None for one that the key does not explain.

    >>> read_respelling("buhkahypvermoid")
    ('B', 'AH', 'K', 'AY', 'P', 'V', 'ER', 'M', 'OY', 'D')
    """
    phones: list[str] = []
    start = 0
    while start < len(word):
        lengths = range(min(_LONGEST, len(word) - start), 0, -1)
        symbol = next((word[start : start + n] for n in lengths if word[start : start + n] in _SYMBOLS), None)
        if symbol is None:
            return None
        phones += _SYMBOLS[symbol].split()
        start += len(symbol)
    return tuple(phones) or None


def write_respelling(phones: Phones, taken: Callable[[str], bool]) -> str | None:
    """A respelling that is read as these phones, with the symbols that the competition's nonwords have where that is possible.

    Parameters
    ----------
    taken
        Whether a string is something else, such as a word.

    Returns
    -------
    str | None
        None where there is none: the key has no symbol for DH, nor for UH before anything but R.

    >>> write_respelling(("B", "AH", "K", "AY", "P"), taken=lambda text: False)
    'buhkahyp'
    """
    return next((text for text in _spellings(phones) if read_respelling(text) == phones and not taken(text)), None)


def _spellings(phones: Phones) -> Iterator[str]:
    """All ways to write phones, the most usual first."""
    if not phones:
        yield ""
    for length in (2, 1):
        for symbol in _WRITTEN.get(phones[:length], ()) if len(phones) >= length else ():
            yield from (symbol + rest for rest in _spellings(phones[length:]))
