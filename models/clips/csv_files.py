"""CSV files as cells of text, read so that a mistake in them is named with its file, row and value."""

import csv
import io
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd

from models.base.files import read_whole
from models.errors import InputError

MOST_TABLE_BYTES = 200_000_000  # of a CSV file: millions of rows


def read_csv(file: Path, columns: Iterable[str], optional: Iterable[str] = ()) -> pd.DataFrame:
    """`columns` of a CSV, and of the `optional` ones those that it has; all cells as text: 'null' and 'nan' stay what they are.

    pandas' own reader would shift or drop cells where a row is longer than the header, without a word.
    """
    if not file.is_file():
        raise InputError(f"{file}: no such file")
    numbered = list(_read_rows(file))
    header = numbered[0][1] if numbered else []
    columns = list(dict.fromkeys([*columns, *(column for column in optional if column in header)]))
    _check_header(file, header, columns)
    numbers, rows = [number for number, _ in numbered[1:]], [row for _, row in numbered[1:]]
    if not rows:
        raise InputError(f"{file}: has no rows")
    return pd.DataFrame(rows, index=numbers, columns=header, dtype=str)[columns]


def check_filenames(file: Path, table: pd.DataFrame) -> None:
    names = table["filename"]
    refuse(file, table, "filename", names.str.strip() == "", "must not be empty")
    refuse(file, table, "filename", names.map(os.path.normpath).duplicated(), "is there twice; keep one of the rows")
    refuse(
        file,
        table,
        "filename",
        names.map(_leads_out).astype(bool),
        "leads out of the data folder; clips must lie inside it",
    )


def _leads_out(name: str) -> bool:
    return os.path.isabs(name) or (".." in name and ".." in Path(name).parts)  # a Path of each name would take long


def refuse(file: Path, table: pd.DataFrame, column: str, wrong: "pd.Series[bool]", rule: str) -> None:
    """Raise InputError where a cell is wrong, naming the first one and the `rule`; `table` is indexed by the rows of the file."""
    if wrong.any():
        others = f" ({int(wrong.sum())} such rows)" if wrong.sum() > 1 else ""
        first = table[wrong.to_numpy()]
        raise InputError(f"{file}, row {first.index[0]}: {column} {first[column].iloc[0]!r} {rule}{others}")


def _check_header(file: Path, header: list[str], columns: list[str]) -> None:
    for column in columns:
        if header.count(column) != 1:
            problem = "is there twice" if column in header else "is missing"
            raise InputError(f"{file}: the column {column!r} {problem}; found: {', '.join(header)}")


def _read_rows(file: Path) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank, each with its number as in a spreadsheet: the header is row 1, a blank line counts."""
    number, width = 0, 0
    try:
        for number, row in enumerate(csv.reader(io.StringIO(_read_text(file), newline=""), strict=True), 1):
            width = width or len(row)
            if row:
                _check_width(file, number, row, width)
                yield number, row
    except csv.Error as error:
        raise InputError(
            f"{file}, row {number + 1}: not readable as CSV ({error}); a text between double quotes must end with one, "
            "and a double quote inside it is written twice"
        ) from error


def _check_width(file: Path, number: int, row: list[str], width: int) -> None:
    if len(row) != width:
        raise InputError(
            f"{file}, row {number}: {','.join(row)[:200]!r} has {len(row)} fields where the header has {width}; "
            "a text that holds a comma must stand between double quotes"
        )


def _read_text(file: Path) -> str:
    content = read_whole(file, MOST_TABLE_BYTES)
    try:
        text = content.decode("utf-8-sig")
        if "\0" not in text:
            return text
        before, what = text.partition("\0")[0], "a NUL"
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode()
        what = f"the byte {error.object[error.start]:#04x}, which is not UTF-8"
    line = before.rpartition("\n")[2]
    raise InputError(
        f"{file}, line {before.count(chr(10)) + 1}: after {line[-100:]!r} comes {what}; save the file as CSV in UTF-8"
    )
