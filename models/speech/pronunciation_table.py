"""Tables of pronunciations, `task,text,pronunciation,source`: written for a user to look at, read with what the user has changed.

Phones stand between blanks, `K AY B`; of several ways that are accepted, between bars, the first is spoken. What differs from
what is known without the table is *given*; `preprocess.py` leaves that beside the references (`pronunciations.csv`), for all who
use them.
"""

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from models.base.files import read_whole, replace_when_done
from models.errors import InputError
from models.speech.arpabet import Phones, parse_phones
from models.speech.pronunciation import Pronunciation, accepted_utterances, pronounce_text
from models.speech.written import normal_text

COLUMNS = ("task", "text", "pronunciation", "source")
GIVEN_FILE = "pronunciations.csv"
MOST_TABLE_BYTES = 50_000_000

Key = tuple[str, str]  # task and text
Given = Mapping[Key, tuple[Phones, ...]]
NOTHING_GIVEN: Given = MappingProxyType({})


def write_pronunciations(file: Path, rows: Mapping[Key, Pronunciation]) -> None:
    """One row for each task and text."""
    with replace_when_done(file) as temporary, open(temporary, "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        writer.writerows((*key, to_cell(found.choices), found.source) for key, found in rows.items())


def read_given(file: Path) -> dict[Key, tuple[Phones, ...]]:
    """What a table says otherwise than is known without it.

    Raises
    ------
    InputError
        Naming row and value of what is wrong: an unknown phone, an empty cell, a text twice with different phones.
    """
    found: dict[Key, tuple[Phones, ...]] = {}
    for row, cells in _rows(file):
        key = cells["task"], normal_text(cells["text"])
        if not cells["pronunciation"].strip() and not any(pronounce_text(*key).choices):
            continue  # as it was listed: of signs that have no sound
        choices = from_cell(cells["pronunciation"], *key, f"{file}, row {row}, text {key[1][:60]!r}")
        if found.setdefault(key, choices) != choices:
            raise InputError(
                f"{file}, row {row}: the text {key[1]!r} has other phones in a row before; leave one of them"
            )
    return {key: choices for key, choices in found.items() if choices != pronounce_text(*key).choices}


def given_beside(tts_dir: Path) -> Given:
    """What was given when a folder's references were spoken."""
    file = tts_dir / GIVEN_FILE
    return read_given(file) if file.is_file() else NOTHING_GIVEN


def leave_beside(tts_dir: Path, given: Given) -> None:
    """The inverse of `given_beside`."""
    write_pronunciations(tts_dir / GIVEN_FILE, {key: Pronunciation(choices, "given") for key, choices in given.items()})


def to_cell(choices: Iterable[Phones]) -> str:
    return "|".join(" ".join(phones) for phones in choices)


def all_choices(cell: str) -> tuple[Phones, ...]:
    """Of a cell that has been checked; none of an empty one."""
    return tuple(tuple(choice.split()) for choice in cell.split("|")) if cell else ()


def first_choice(cell: str) -> Phones:
    """What is spoken of a cell that has been checked; nothing of an empty one."""
    return next(iter(all_choices(cell)), ())


def from_cell(cell: str, task: str, text: str, where: str) -> tuple[Phones, ...]:
    """The inverse of `to_cell`.

    Raises
    ------
    InputError
        Naming `where`, of what is no phones, or none for a word of the text.
    """
    try:
        choices = tuple(parse_phones(choice) for choice in cell.split("|"))
        accepted_utterances(task, text, choices)
    except ValueError as error:
        raise InputError(f"{where}: the pronunciation {cell[:100]!r} can't be read: {error}") from error
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    return choices


def _rows(file: Path) -> Iterable[tuple[int, dict[str, str]]]:
    """Each row with its number in the file."""
    if not file.is_file():
        raise InputError(
            f"{file}: no such table of pronunciations; preprocess.py --list_pronunciations {file} writes one"
        )
    try:
        content = read_whole(file, MOST_TABLE_BYTES).decode("utf-8-sig")
        reader = csv.DictReader(io.StringIO(content, newline=""), restval="")
        missing = [name for name in COLUMNS[:3] if name not in (reader.fieldnames or ())]
        if missing:
            raise InputError(
                f"{file}: lacks the column {missing[0]!r}; it needs {', '.join(COLUMNS[:3])} between commas"
            )
        return [(number, row) for number, row in enumerate(reader, 2)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{file}: not readable as CSV in UTF-8 ({error}); save it as such") from error
