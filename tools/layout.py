"""The tables of a data set in the competition's layout."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from models.base.files import replace_when_done


def write_tables(table: pd.DataFrame, source_columns: Sequence[str], folder: Path, part: str) -> None:
    """Of the train or the test part, with `*_source.csv` for what no model is told; of the test part what is to be handed in."""
    columns = {
        "metadata": ["filename", "task", "expected_text", "grade"],
        "labels": ["filename", "score"],
        "source": ["filename", *source_columns],
    }
    for name, chosen in columns.items():
        write_table(table[chosen], folder / f"{part}_{name}.csv")
    if part == "test":
        write_table(table.assign(score=0.5)[["filename", "score"]], folder / "submission_format.csv")


def write_table(table: pd.DataFrame, path: Path) -> None:
    with replace_when_done(path) as temporary:
        table.to_csv(temporary, index=False)
