"""The clips that localisation is asked about: one recording, or those of a table."""

from dataclasses import dataclass
from pathlib import Path

from models.clips.tables import clip_paths, read_metadata
from models.errors import InputError
from models.speech.pronunciation_table import Given, to_cell
from models.speech.written import find_file, normal_text


@dataclass(frozen=True)
class AskedClip:
    """A recording, and what should have been said.

    Attributes
    ----------
    pronunciation
        A cell of a table; empty where none is given.
    """

    name: str
    path: Path
    text: str
    task: str
    grade: str
    pronunciation: str = ""


def one_clip(audio: Path, text: str, task: str, grade: str, given: Given) -> AskedClip:
    """A recording by itself, with what is given for its text."""
    text, path = normal_text(text), find_file(audio.parent, audio.name)
    return AskedClip(audio.name, path, text, task, grade, to_cell(given.get((task, text), ())))


def read_table(csv: Path, data_dir: Path | None, given: Given) -> list[AskedClip]:
    """Those of a table, whose recordings lie in `data_dir`, or else beside it."""
    if not csv.is_file():
        raise InputError(f"--csv {csv}: no such file; give a CSV with filename, task, expected_text, grade")
    table = read_metadata(csv, given)
    cells = table["pronunciation"] if "pronunciation" in table else [""] * len(table)
    paths = clip_paths(data_dir or csv.parent, table["filename"])
    columns = (table[name] for name in ("expected_text", "task", "grade"))
    return [AskedClip(*each) for each in zip(table["filename"], paths, *columns, cells, strict=True)]
