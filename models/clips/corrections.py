"""What people said of answers after listening: a CSV whose labels take the place of a training table's."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from models.base.files import sha256_of_file, sha256_of_values
from models.clips.csv_files import check_filenames, read_csv, refuse
from models.clips.tables import clip_paths
from models.speech.written import normal_text

SAME_IN_BOTH = ("task", "expected_text", "grade")
# In the order in which they are written; those from the third on tell whose answer it was, and are checked where they are there.
CORRECTION_COLUMNS = ("filename", "score", *SAME_IN_BOTH, "child", "probability", "sha256")
Judgement = Literal["right", "wrong", "skipped"]
SCORES: dict[Judgement, str] = {"right": "1", "wrong": "0", "skipped": ""}  # how the column `score` tells it


@dataclass(frozen=True)
class AppliedCorrections:
    """What a file of corrections has made of a training table.

    Attributes
    ----------
    checksum
        Of the clips that people have judged and what they said; empty where there are none.
    to_right, to_wrong
        Of the `clips`, those whose label was another before.
    """

    checksum: str = ""
    clips: int = 0
    to_right: int = 0
    to_wrong: int = 0

    def in_words(self) -> str:
        changed = self.to_right + self.to_wrong
        return (
            f"{self.clips} labels by people who listened, {changed} of them other than before "
            f"({self.to_wrong} right to wrong, {self.to_right} wrong to right)"
        )


NO_CORRECTIONS = AppliedCorrections()


def read_corrections(file: Path) -> pd.DataFrame:
    """Rows of a file of corrections, all text; `score` is "1", "0", or "" where the person did not decide.

    Raises
    ------
    InputError
        Naming file, row and value of what is wrong.
    """
    table = read_csv(file, CORRECTION_COLUMNS[:2], optional=CORRECTION_COLUMNS[2:])
    check_filenames(file, table)
    scores = table["score"].str.strip()
    numbers = pd.to_numeric(scores, errors="coerce")  # a spreadsheet may have written 1.0
    refuse(file, table, "score", (scores != "") & ~numbers.isin([0, 1]), "must be 0, 1 or empty")
    return table.assign(score=numbers.map({1: "1", 0: "0"}).fillna(""))


def correct_labels(table: pd.DataFrame, file: Path, data_dir: Path) -> tuple[pd.DataFrame, AppliedCorrections]:
    """The training table with the labels of a file of corrections, where people have decided.

    Parameters
    ----------
    table
        Of `read_training_table`, of `data_dir`.

    Raises
    ------
    InputError
        Where a clip is not in the table, or its text, task, grade or recording is another one.
    """
    found = read_corrections(file)
    known = table.set_index("filename")
    refuse(
        file, found, "filename", ~found["filename"].isin(known.index), "is no training clip; is it of another table?"
    )
    own = known.loc[found["filename"]].set_index(found.index)
    for column in (name for name in SAME_IN_BOTH if name in found):
        rule = f"is not what the training clip has; are the corrections of another table? (no column {column}: not checked)"
        refuse(file, found, column, found[column].map(normal_text) != own[column], rule)
    judged = found[found["score"] != ""]
    _check_recordings(file, judged, data_dir)
    said = dict(zip(judged["filename"], judged["score"].astype(float), strict=True))
    before = table["score"]
    after = table["filename"].map(said).fillna(before)
    checksum = sha256_of_values(said.items()) if said else ""
    changed = (int((after > before).sum()), int((after < before).sum()))
    return table.assign(score=after), AppliedCorrections(checksum, len(said), *changed)


def _check_recordings(file: Path, judged: pd.DataFrame, data_dir: Path) -> None:
    """That people have heard these very recordings; one that is not there is told elsewhere."""
    if "sha256" not in judged:
        return
    told = judged[judged["sha256"] != ""]
    paths = clip_paths(data_dir, told["filename"])
    others = [
        path.is_file() and sha256_of_file(path) != sha256 for path, sha256 in zip(paths, told["sha256"], strict=True)
    ]
    rule = f"is another recording in {data_dir} than the one that was heard (no column sha256: not checked)"
    refuse(file, told, "filename", pd.Series(others, told.index, dtype=bool), rule)
