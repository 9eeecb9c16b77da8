"""The CSV files of the competition's layout, checked as they are read: a wrong value is named with its file and row."""

import hashlib
import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.clips.csv_files import check_filenames, read_csv, refuse
from models.clips.groups import GRADES, SCALAR_STEPS, TASKS
from models.errors import InputError
from models.speech.pronunciation import accepted_utterances, utterance_of
from models.speech.pronunciation_table import NOTHING_GIVEN, Given, all_choices, first_choice, from_cell, to_cell
from models.speech.written import find_file, normal_text

METADATA_COLUMNS = ("filename", "task", "expected_text", "grade")
SCORE_COLUMNS = ("filename", "score")
TEST_TABLES = ("test_metadata.csv", "submission_format.csv")


def read_metadata(file: Path, given: Given = NOTHING_GIVEN, also: Iterable[str] = ()) -> pd.DataFrame:
    """`train_metadata.csv` or `test_metadata.csv`: filename, task, expected_text, grade, all text; perhaps pronunciation.

    Parameters
    ----------
    given
        Pronunciations of texts whose row has none of its own.
    also
        Further columns to read where the file has them.

    Returns
    -------
    pd.DataFrame
        METADATA_COLUMNS, `also`, and, where pronunciations are given, `pronunciation`, phones or "" of each row; the index is the
        row in the file, the header being row 1.
    """
    table = read_csv(file, METADATA_COLUMNS, optional=("pronunciation", *also))
    table = table.assign(expected_text=table["expected_text"].map(normal_text))
    check_filenames(file, table)
    refuse(file, table, "task", ~table["task"].isin(TASKS), f"must be one of {', '.join(TASKS)}")
    refuse(file, table, "grade", ~table["grade"].isin(GRADES), f"must be one of {', '.join(GRADES)}")
    refuse(file, table, "expected_text", table["expected_text"].str.strip() == "", "must not be empty")
    return _with_pronunciations(file, table, given)


def read_all_metadata(files: Iterable[Path], given: Given = NOTHING_GIVEN) -> pd.DataFrame:
    """Several tables, one below the other."""
    return pd.concat([read_metadata(file, given) for file in files], ignore_index=True)


def utterances(table: pd.DataFrame) -> list[str]:
    """What a voice says for each row of metadata: references are kept by it."""
    return [utterance_of(task, text, first_choice(phones)) for task, text, phones in _texts(table)]


def accepted(table: pd.DataFrame) -> list[tuple[str, ...]]:
    """All that counts as the text of each row said right: `accepted_utterances`."""
    return [accepted_utterances(task, text, all_choices(phones)) for task, text, phones in _texts(table)]


def _texts(table: pd.DataFrame) -> Iterable[tuple[str, str, str]]:
    """Of each row task, text and the pronunciations that are given for it."""
    given = table.get("pronunciation", pd.Series("", table.index))
    return zip(table["task"], table["expected_text"], given, strict=True)


def read_labels(file: Path) -> pd.DataFrame:
    """`train_labels.csv`: filename and score, 0.0 or 1.0; the index is the row in the file."""
    table = read_csv(file, SCORE_COLUMNS)
    check_filenames(file, table)
    scores = pd.to_numeric(table["score"], errors="coerce")
    refuse(file, table, "score", ~scores.isin([0.0, 1.0]), "must be 0 or 1")
    return table.assign(score=scores.astype(float))


def read_training_table(data_dir: Path, given: Given = NOTHING_GIVEN) -> pd.DataFrame:
    """Metadata and labels joined: the columns of `read_metadata` and score, in the metadata's order."""
    metadata_file, labels_file = data_dir / "train_metadata.csv", data_dir / "train_labels.csv"
    metadata, labels = read_metadata(metadata_file, given), read_labels(labels_file)
    _refuse_difference(metadata_file, metadata, labels_file, labels)
    return metadata.merge(labels, on="filename", how="left", validate="one_to_one")


def read_texts(data_dir: Path, data_fingerprint: str) -> dict[str, str]:
    """The expected text of each training clip, by file name.

    Raises
    ------
    InputError
        Where the folder has no training data, or others than the models were trained on.
    """
    table = read_training_table(data_dir)
    if fingerprint(table) != data_fingerprint:
        raise InputError(f"{data_dir}: not the data that these models were trained on")
    return dict(zip(table["filename"], table["expected_text"], strict=True))


def read_test_table(data_dir: Path, given: Given = NOTHING_GIVEN) -> pd.DataFrame:
    """`test_metadata.csv` in the order of `submission_format.csv`."""
    metadata_file, format_file = (data_dir / name for name in TEST_TABLES)
    metadata, order = read_metadata(metadata_file, given), read_csv(format_file, ("filename",))
    check_filenames(format_file, order)
    _refuse_difference(format_file, order, metadata_file, metadata)
    return order.merge(metadata, on="filename", how="left", validate="one_to_one")


def read_groups(file: Path, column: str, filenames: Iterable[str]) -> list[str]:
    """The group of each file, such as its speaker, from `column` of a CSV with the columns filename and `column`."""
    table = read_csv(file, ("filename", column))
    check_filenames(file, table)
    refuse(file, table, column, table[column].str.strip() == "", "must not be empty")
    groups, filenames = dict(zip(table["filename"], table[column], strict=True)), list(filenames)
    missing = [name for name in filenames if name not in groups]
    if missing:
        raise InputError(f"{file}: {len(missing)} training clips have no row, the first {missing[0]!r}; add them")
    return [groups[name] for name in filenames]


def read_word_labels(file: Path, table: pd.DataFrame) -> pd.Series:
    """What is known of single words of the expected texts: for each row of `table` a tuple of 1 (right), 0 (wrong) and nan.

    The last value is the end's: 0 where more was said than the text.

    Parameters
    ----------
    file
        CSV with the columns filename, index (of a word, from 0; the number of words for the end) and right (0 or 1). Words that
        it does not list are not known.

    Raises
    ------
    InputError
        Naming file, row and value of what is wrong; also a clip that is not in `table`.
    """
    labels = read_csv(file, ("filename", "index", "right"))
    texts = dict(zip(table["filename"], table["expected_text"], strict=True))
    found = {name: [math.nan] * (len(text.split()) + 1) for name, text in texts.items()}
    refuse(file, labels, "filename", ~labels["filename"].isin(texts), "must be a training clip's")
    refuse(file, labels, "right", ~labels["right"].isin(["0", "1"]), "must be 0 or 1")
    places = [len(found[name]) for name in labels["filename"]]
    inside = [index.isdecimal() and int(index) < n for index, n in zip(labels["index"], places, strict=True)]
    refuse(
        file,
        labels,
        "index",
        pd.Series([not found for found in inside]),
        "must be a word's of the expected text, or the number of its words",
    )
    for name, index, right in labels.itertuples(index=False):
        found[name][int(index)] = float(right)
    return table["filename"].map(lambda name: tuple(found[name]))


def clip_paths(data_dir: Path, filenames: Iterable[str]) -> list[Path]:
    """Where the clips lie; a name that leads out of the folder, by `..` or a link, is refused."""
    root, filenames = data_dir.resolve(), list(filenames)
    paths = [find_file(data_dir, name) for name in filenames]
    for name, path in zip(filenames, paths, strict=True):
        if not _is_inside(path, root):
            raise InputError(
                f"{data_dir}: the filename {name!r} leads out of the data folder; clips must lie inside it"
            )
    return paths


def scalars(table: pd.DataFrame) -> NDArray[np.float32]:
    """The task and grade scalars, index / 4 each: float32 [shape=(rows, 2)]."""
    tasks = table["task"].map({task: index / SCALAR_STEPS for index, task in enumerate(TASKS)})
    grades = table["grade"].map({grade: index / SCALAR_STEPS for index, grade in enumerate(GRADES)})
    return np.stack([tasks.to_numpy(np.float32), grades.to_numpy(np.float32)], axis=1)


def fingerprint(table: pd.DataFrame) -> str:
    """A checksum of a training table's rows, whatever their order."""
    rows = table.sort_values("filename")[[*METADATA_COLUMNS, "score"]].astype(str)
    return hashlib.sha256(rows.to_csv(index=False, lineterminator="\n").encode()).hexdigest()


def _with_pronunciations(file: Path, table: pd.DataFrame, given: Given) -> pd.DataFrame:
    """Each row's own pronunciation, or else its text's, checked."""
    if "pronunciation" not in table and not given:
        return table
    cells = table.get("pronunciation", pd.Series("", table.index))
    keys = list(zip(table["task"], table["expected_text"], cells, strict=True))
    for row, (task, text, cell) in zip(table.index, keys, strict=True):
        if cell.strip():
            from_cell(cell, task, text, f"{file}, row {row}")
    return table.assign(
        pronunciation=[cell.strip() or to_cell(given.get((task, text), ())) for task, text, cell in keys]
    )


def _is_inside(path: Path, root: Path) -> bool:
    try:
        return path.resolve().is_relative_to(root)
    except UnicodeEncodeError as error:
        raise InputError(
            f"{path.name!r}: this system takes file names in {error.encoding} alone; set LC_ALL=C.UTF-8 or PYTHONUTF8=1"
        ) from error
    except (OSError, RuntimeError, ValueError):  # links in a circle, a name that no file can have
        return False


def _refuse_difference(file: Path, table: pd.DataFrame, other_file: Path, other: pd.DataFrame) -> None:
    """Both files must name the same clips."""
    for here, rows, there, names in ((file, table, other_file, other), (other_file, other, file, table)):
        alone = ~rows["filename"].isin(names["filename"])
        refuse(here, rows, "filename", alone, f"is not in {there}; make the two files agree")
