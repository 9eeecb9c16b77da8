"""The CSV files of the competition's layout, checked as they are read: a wrong value is named with its file and row."""

import hashlib
import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.errors import InputError

TASKS = ("deletion", "nonword_repetition", "blending", "sentence_repetition")  # in the order of the task scalar
GRADES = ("KG", "1", "2", "3")  # in the order of the grade scalar
METADATA_COLUMNS = ("filename", "task", "expected_text", "grade")
SCORE_COLUMNS = ("filename", "score")


def read_metadata(file: Path) -> pd.DataFrame:
    """`train_metadata.csv` or `test_metadata.csv`: the columns filename, task, expected_text, grade, all text."""
    table = _read_csv(file, METADATA_COLUMNS)
    _check_filenames(file, table)
    _refuse(file, table, "task", ~table["task"].isin(TASKS), f"must be one of {', '.join(TASKS)}")
    _refuse(file, table, "grade", ~table["grade"].isin(GRADES), f"must be one of {', '.join(GRADES)}")
    _refuse(file, table, "expected_text", table["expected_text"].str.strip() == "", "must not be empty")
    return table


def read_labels(file: Path) -> pd.DataFrame:
    """`train_labels.csv`: filename and score, 0.0 or 1.0."""
    table = _read_csv(file, SCORE_COLUMNS)
    _check_filenames(file, table)
    scores = pd.to_numeric(table["score"], errors="coerce")
    _refuse(file, table, "score", ~scores.isin([0.0, 1.0]), "must be 0 or 1")
    return table.assign(score=scores.astype(float))


def read_training_table(data_dir: Path) -> pd.DataFrame:
    """Metadata and labels joined: METADATA_COLUMNS and score, in the metadata's order."""
    metadata_file, labels_file = data_dir / "train_metadata.csv", data_dir / "train_labels.csv"
    metadata, labels = read_metadata(metadata_file), read_labels(labels_file)
    _refuse_difference(metadata_file, metadata["filename"], labels_file, labels["filename"])
    _refuse_difference(labels_file, labels["filename"], metadata_file, metadata["filename"])
    return metadata.merge(labels, on="filename", how="left", validate="one_to_one")


def read_test_table(data_dir: Path) -> pd.DataFrame:
    """`test_metadata.csv` in the order of `submission_format.csv`."""
    metadata_file, format_file = data_dir / "test_metadata.csv", data_dir / "submission_format.csv"
    metadata, order = read_metadata(metadata_file), _read_csv(format_file, ("filename",))
    _check_filenames(format_file, order)
    _refuse_difference(format_file, order["filename"], metadata_file, metadata["filename"])
    _refuse_difference(metadata_file, metadata["filename"], format_file, order["filename"])
    return order[["filename"]].merge(metadata, on="filename", how="left", validate="one_to_one")


def read_groups(file: Path, column: str, filenames: Iterable[str]) -> list[str]:
    """The group of each file, such as its speaker, from `column` of a CSV with the columns filename and `column`."""
    table = _read_csv(file, ("filename", column))
    _check_filenames(file, table)
    _refuse(file, table, column, table[column].str.strip() == "", "must not be empty")
    groups = dict(zip(table["filename"], table[column], strict=True))
    missing = [name for name in filenames if name not in groups]
    if missing:
        raise InputError(f"{file}: {len(missing)} training clips have no row, the first {missing[0]!r}; add them")
    return [groups[name] for name in filenames]


def clip_paths(data_dir: Path, filenames: Iterable[str]) -> list[Path]:
    """Where the clips lie; a name that leads out of the folder, by `..` or a link, is refused."""
    root = data_dir.resolve()
    paths = [data_dir / name for name in filenames]
    for path, name in zip(paths, filenames, strict=True):
        if not path.resolve().is_relative_to(root):
            raise InputError(
                f"{data_dir}: the filename {name!r} leads out of the data folder; clips must lie inside it"
            )
    return paths


def scalars(table: pd.DataFrame) -> NDArray[np.float32]:
    """The task and grade scalars, index / 4 each: float32 [shape=(rows, 2)]."""
    tasks = table["task"].map({task: index / 4 for index, task in enumerate(TASKS)})
    grades = table["grade"].map({grade: index / 4 for index, grade in enumerate(GRADES)})
    return np.stack([tasks.to_numpy(np.float32), grades.to_numpy(np.float32)], axis=1)


def fingerprint(table: pd.DataFrame) -> str:
    """A checksum of a training table's rows, whatever their order."""
    rows = table.sort_values("filename")[[*METADATA_COLUMNS, "score"]].astype(str)
    return hashlib.sha256(rows.to_csv(index=False, lineterminator="\n").encode()).hexdigest()


def base_rate_loss(scores: NDArray[np.float64]) -> float:
    """The log loss of always answering with the share of right answers: the prior that a model must beat."""
    rate = float(scores.mean())
    return -sum(p * math.log(p) for p in (rate, 1 - rate) if p > 0)


def _read_csv(file: Path, columns: Iterable[str]) -> pd.DataFrame:
    """All cells as text: a text such as 'null' or 'nan' stays what it is, and the grade '1' too."""
    if not file.is_file():
        raise InputError(f"{file}: no such file")
    try:
        table = pd.read_csv(file, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (
        ValueError,
        pd.errors.ParserError,
        pd.errors.EmptyDataError,
    ) as error:  # ValueError covers UnicodeDecodeError
        raise InputError(f"{file}: not a readable CSV in UTF-8 ({error})") from error
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise InputError(f"{file}: the column {missing[0]!r} is missing; found: {', '.join(map(str, table.columns))}")
    if table.empty:
        raise InputError(f"{file}: has no rows")
    return table.fillna("")


def _check_filenames(file: Path, table: pd.DataFrame) -> None:
    names = table["filename"]
    _refuse(file, table, "filename", names.str.strip() == "", "must not be empty")
    _refuse(file, table, "filename", names.str.contains("\0", regex=False), "must not hold a NUL")
    _refuse(file, table, "filename", names.duplicated(), "is there twice; keep one of the rows")
    outside = names.map(lambda name: Path(name).is_absolute() or ".." in Path(name).parts)
    _refuse(file, table, "filename", outside.astype(bool), "leads out of the data folder; clips must lie inside it")


def _refuse(file: Path, table: pd.DataFrame, column: str, wrong: "pd.Series[bool]", rule: str) -> None:
    """Name the first wrong cell. Rows count as in a text editor or spreadsheet: the header is row 1."""
    if wrong.any():
        position = int(np.flatnonzero(wrong.to_numpy())[0])
        value = table[column].iloc[position]
        others = f" ({int(wrong.sum())} such rows)" if wrong.sum() > 1 else ""
        raise InputError(f"{file}, row {position + 2}: {column} {value!r} {rule}{others}")


def _refuse_difference(file: Path, names: "pd.Series[str]", other_file: Path, other_names: "pd.Series[str]") -> None:
    alone = ~names.isin(set(other_names))
    if alone.any():
        first = names[alone].iloc[0]
        raise InputError(
            f"{file}: {int(alone.sum())} filenames are not in {other_file}, the first {first!r}; make them agree"
        )
