"""Texts and file names as different systems write them. The one place that makes them the same."""

import os
import unicodedata
from pathlib import Path

from models.errors import InputError

# Windows' curly one is read as the control sign 0x92.
_APOSTROPHES = dict.fromkeys("\u2019\u2018\u201b\u02bc\u00b4`\u2032\uff07\u0092", "'")
_UNSEEN = ("Cf", "Cc")  # signs that only steer how others are shown, and control signs


def normal_text(text: str) -> str:
    """A text with its accents composed (NFC), as voices and tokenizers know it.

    macOS decomposes accents (NFD), and espeak-ng swallows those together with the letter below.

    Raises
    ------
    InputError
        Where it can't be written in UTF-8, as an argument from a terminal of another encoding.
    """
    if text.isascii():
        return text
    if any("\ud800" <= sign <= "\udfff" for sign in text):
        raise InputError(f"the text {text[:60]!r} is not UTF-8; type it in a terminal that is set to UTF-8")
    return unicodedata.normalize("NFC", text)


def plain_word(word: str) -> str:
    """A word with one kind of apostrophe and without signs that nobody sees: at a zero-width space a voice begins to spell, at a
    zero it ends. A word of nothing else becomes a dash."""
    seen = (
        _APOSTROPHES.get(sign, sign)
        for sign in word
        if sign in _APOSTROPHES or unicodedata.category(sign) not in _UNSEEN
    )
    return "".join(seen) or "-"


def same_look(name: str) -> str:
    """What file names have in common that look the same: macOS, archives and cloud folders change how accents are written."""
    return unicodedata.normalize("NFC", name)


def find_file(folder: Path, name: str) -> Path:
    """The file of that name in a folder, or the one whose name looks the same; where there is none, its place."""
    found = folder
    for part in Path(name).parts:
        forms = (part, same_look(part), unicodedata.normalize("NFD", part))
        found /= part if part.isascii() else next((form for form in forms if os.path.lexists(found / form)), part)
    return found
