"""Clips that are left out of training, as those whose label is doubted; where they are held out they are scored all the same."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from models.base.files import sha256_of_values
from models.clips.csv_files import check_filenames, read_csv, refuse


def read_left_out(file: Path, table: pd.DataFrame) -> frozenset[str]:
    """The names of a CSV with the column filename.

    Parameters
    ----------
    table
        Of `read_training_table`.

    Raises
    ------
    InputError
        Naming file, row and value of what is wrong; also a clip that is not in `table`.
    """
    found = read_csv(file, ["filename"])
    check_filenames(file, found)
    known = found["filename"].isin(table["filename"])
    refuse(file, found, "filename", ~known, "is no training clip; is it of another table?")
    return frozenset(found["filename"])


def left_out_checksum(filenames: Iterable[str]) -> str:
    """The same in whatever order they are; empty where there are none."""
    names = list(filenames)
    return sha256_of_values(names) if names else ""
