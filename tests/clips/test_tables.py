"""The CSV files: what is refused, by file, row and value, and what is read as it stands.

Run: .venv/bin/python -m pytest tests/clips/test_tables.py
"""

import csv
import hashlib
import os
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fakes import outside_data

from models.clips.groups import GRADES, TASKS
from models.clips.tables import (
    METADATA_COLUMNS,
    clip_paths,
    fingerprint,
    read_groups,
    read_labels,
    read_metadata,
    read_test_table,
    read_training_table,
    scalars,
)
from models.errors import InputError

METADATA = (
    ("a.wav", "deletion", "old", "KG"),
    ("b.wav", "nonword_repetition", "teevog", "1"),
    ("c.wav", "blending", "cat", "2"),
    ("d.wav", "sentence_repetition", "it is cold", "3"),
)
LABELS = (("a.wav", "1.0"), ("b.wav", "0.0"), ("c.wav", "0.0"), ("d.wav", "1.0"))
ROW = 4  # where the tests put a wrong value: the third clip, the header being row 1


def write_csv(file: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> Path:
    with open(file, "w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, lineterminator="\n").writerows([header, *rows])
    return file


def write_metadata(file: Path, rows: Iterable[Sequence[str]] = METADATA) -> Path:
    return write_csv(file, METADATA_COLUMNS, rows)


def write_labels(file: Path, rows: Iterable[Sequence[str]] = LABELS) -> Path:
    return write_csv(file, ("filename", "score"), rows)


def with_cell(rows: Sequence[Sequence[str]], column: int, value: str) -> list[list[str]]:
    """The rows with another value in row ROW."""
    changed = [list(row) for row in rows]
    changed[ROW - 2][column] = value
    return changed


def refusal(read: Callable[..., Any], *arguments: Any) -> str:
    with pytest.raises(InputError) as caught:
        read(*arguments)
    return str(caught.value)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Four clips for training and the same for testing, in another order."""
    write_metadata(tmp_path / "train_metadata.csv")
    write_labels(tmp_path / "train_labels.csv")
    write_metadata(tmp_path / "test_metadata.csv")
    write_csv(tmp_path / "submission_format.csv", ("filename", "score"), [(f"{name}.wav", "0.5") for name in "dbac"])
    return tmp_path


# What is refused


@pytest.mark.parametrize("read", [read_metadata, read_labels])
def test_missing_file(read: Callable[[Path], pd.DataFrame], tmp_path: Path) -> None:
    assert "nowhere.csv" in refusal(read, tmp_path / "nowhere.csv")
    assert str(tmp_path) in refusal(read, tmp_path)  # a folder


@pytest.mark.parametrize("column", METADATA_COLUMNS)
def test_missing_column_of_the_metadata(column: str, tmp_path: Path) -> None:
    header = [name.replace(column, "other") for name in METADATA_COLUMNS]
    message = refusal(read_metadata, write_csv(tmp_path / "m.csv", header, METADATA))
    assert "m.csv" in message
    assert repr(column) in message
    assert "other" in message  # what is there instead


def test_missing_column_of_the_labels(tmp_path: Path) -> None:
    message = refusal(read_labels, write_csv(tmp_path / "l.csv", ("filename", "label"), LABELS))
    assert "l.csv" in message
    assert "'score'" in message


def test_column_that_is_there_twice(tmp_path: Path) -> None:
    rows = [(*row, row[1]) for row in METADATA]
    message = refusal(read_metadata, write_csv(tmp_path / "m.csv", (*METADATA_COLUMNS, "task"), rows))
    assert "m.csv" in message
    assert "'task'" in message


@pytest.mark.parametrize("content", ["", "\n", "filename,score\n", "filename,score", "\ufefffilename,score\r\n\r\n"])
def test_empty_table(content: str, tmp_path: Path) -> None:
    file = tmp_path / "empty.csv"
    file.write_bytes(content.encode())
    assert "empty.csv" in refusal(read_labels, file)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("task", "Deletion"),
        ("task", "deletion "),
        ("task", ""),
        ("task", "nan"),
        ("grade", "4"),
        ("grade", "kg"),
        ("grade", "1.0"),
        ("grade", ""),
        ("expected_text", ""),
        ("expected_text", "  "),
        ("filename", ""),
        ("filename", " "),
        ("filename", "a.wav"),  # the first row's
        ("filename", "./a.wav"),
        ("filename", "/etc/passwd"),
        ("filename", "../c.wav"),
        ("filename", "clips/../../c.wav"),
    ],
)
def test_wrong_value_in_the_metadata(column: str, value: str, tmp_path: Path) -> None:
    rows = with_cell(METADATA, METADATA_COLUMNS.index(column), value)
    message = refusal(read_metadata, write_metadata(tmp_path / "m.csv", rows))
    assert f"m.csv, row {ROW}:" in message
    assert column in message
    assert repr(value) in message


@pytest.mark.parametrize("value", ["2", "-1", "0.5", "1.5", "", " ", "nan", "NaN", "inf", "yes", "true", "True", "0x1"])
def test_label_other_than_0_and_1(value: str, tmp_path: Path) -> None:
    message = refusal(read_labels, write_labels(tmp_path / "l.csv", with_cell(LABELS, 1, value)))
    assert f"l.csv, row {ROW}:" in message
    assert repr(value) in message


@pytest.mark.parametrize("value", ["", "a.wav", "../c.wav"])
def test_wrong_filename_in_the_labels(value: str, tmp_path: Path) -> None:
    message = refusal(read_labels, write_labels(tmp_path / "l.csv", with_cell(LABELS, 0, value)))
    assert f"l.csv, row {ROW}:" in message
    assert repr(value) in message


def test_of_several_wrong_rows_the_first_is_named_and_all_are_counted(tmp_path: Path) -> None:
    rows = [(name, "x") for name, _ in LABELS]
    message = refusal(read_labels, write_labels(tmp_path / "l.csv", rows))
    assert "row 2:" in message
    assert "4 such rows" in message


def test_nul_in_a_filename(tmp_path: Path) -> None:
    file = write_metadata(tmp_path / "m.csv", with_cell(METADATA, 0, "c@.wav"))
    file.write_bytes(file.read_bytes().replace(b"@", b"\0"))  # csv.writer refuses it before Python 3.11
    message = refusal(read_metadata, file)
    assert f"m.csv, line {ROW}:" in message
    assert "NUL" in message
    assert "'c'" in message  # what stands before it


def test_clips_that_only_one_of_metadata_and_labels_has(data_dir: Path) -> None:
    write_labels(data_dir / "train_labels.csv", with_cell(LABELS, 0, "e.wav"))
    message = refusal(read_training_table, data_dir)
    assert f"train_metadata.csv, row {ROW}:" in message
    assert "train_labels.csv" in message
    assert "'c.wav'" in message


@pytest.mark.parametrize(("shorter", "longer"), [("labels", "metadata"), ("metadata", "labels")])
def test_metadata_and_labels_of_different_lengths(shorter: str, longer: str, data_dir: Path) -> None:
    file = data_dir / f"train_{shorter}.csv"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))
    message = refusal(read_training_table, data_dir)
    assert f"train_{longer}.csv, row 5:" in message
    assert f"train_{shorter}.csv" in message
    assert "'d.wav'" in message


@pytest.mark.parametrize(
    ("shorter", "longer"), [("test_metadata", "submission_format"), ("submission_format", "test_metadata")]
)
def test_submission_format_and_test_metadata_that_disagree(shorter: str, longer: str, data_dir: Path) -> None:
    file = data_dir / f"{shorter}.csv"
    lines = file.read_text().splitlines(keepends=True)
    missing = lines[-1].split(",")[0]
    file.write_text("".join(lines[:-1]))
    message = refusal(read_test_table, data_dir)
    assert f"{longer}.csv, row " in message
    assert f"{shorter}.csv" in message
    assert repr(missing) in message


@pytest.mark.parametrize("value", ["", "d.wav", "../a.wav"])
def test_wrong_filename_in_the_submission_format(value: str, data_dir: Path) -> None:
    rows = [("d.wav",), ("b.wav",), (value,), ("c.wav",)]
    write_csv(data_dir / "submission_format.csv", ("filename", "score"), [(*row, "0.5") for row in rows])
    message = refusal(read_test_table, data_dir)
    assert f"submission_format.csv, row {ROW}:" in message
    assert repr(value) in message


def test_missing_submission_format(data_dir: Path) -> None:
    (data_dir / "submission_format.csv").unlink()
    assert "submission_format.csv" in refusal(read_test_table, data_dir)


def test_every_row_one_field_longer_than_the_header(tmp_path: Path) -> None:
    """Not the same as a first column that is an index: no value may slip into another column."""
    rows = [("7", *row) for row in METADATA]
    message = refusal(read_metadata, write_csv(tmp_path / "m.csv", METADATA_COLUMNS, rows))
    assert "m.csv, row 2:" in message


@pytest.mark.parametrize("line", ['c.wav,blending,"cat,2', 'c.wav,blending,"cat" or "dog",2'])
def test_quotes_that_do_not_pair(line: str, tmp_path: Path) -> None:
    lines = write_metadata(tmp_path / "m.csv").read_text().splitlines()
    lines[ROW - 1] = line
    (tmp_path / "m.csv").write_text("\n".join(lines))
    assert f"m.csv, row {ROW}:" in refusal(read_metadata, tmp_path / "m.csv")


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_not_utf_8(bom: bytes, tmp_path: Path) -> None:
    file = write_metadata(tmp_path / "m.csv", with_cell(METADATA, 2, "café"))
    file.write_bytes(bom + file.read_text(encoding="utf-8").encode("latin-1"))
    message = refusal(read_metadata, file)
    assert f"m.csv, line {ROW}:" in message
    assert "caf" in message
    assert "0xe9" in message


def test_utf_16(tmp_path: Path) -> None:
    file = write_metadata(tmp_path / "m.csv")
    file.write_bytes(file.read_text().encode("utf-16"))
    assert "UTF-8" in refusal(read_metadata, file)


# What is read as it stands


def test_a_filename_may_look_like_a_number(tmp_path: Path) -> None:
    rows = [("007", "deletion", "old", "1"), ("7", "deletion", "old", "1")]
    assert read_metadata(write_metadata(tmp_path / "m.csv", rows))["filename"].tolist() == ["007", "7"]


def test_a_filename_may_lie_in_a_subfolder(tmp_path: Path) -> None:
    table = read_metadata(write_metadata(tmp_path / "m.csv", with_cell(METADATA, 0, "clips/c..wav")))
    assert clip_paths(tmp_path, table["filename"])[2] == tmp_path / "clips" / "c..wav"


@pytest.mark.parametrize(("lies", "named"), [("NFC", "NFD"), ("NFD", "NFC"), ("NFC", "NFC"), ("NFD", "NFD")])
def test_a_file_is_found_whose_name_looks_the_same(lies: str, named: str, tmp_path: Path) -> None:
    """macOS, archives and cloud folders change how accents are written."""
    name, folder = "é/né.wav", tmp_path / "données"
    there = folder / unicodedata.normalize(lies, name)
    there.parent.mkdir(parents=True)
    there.touch()
    rows = with_cell(METADATA, 0, unicodedata.normalize(named, name))
    table = read_metadata(write_metadata(tmp_path / "m.csv", rows))
    assert clip_paths(folder, table["filename"])[2].samefile(there)


def test_of_two_files_that_look_the_same_each_has_its_own(tmp_path: Path) -> None:
    names = [unicodedata.normalize(form, "né.wav") for form in ("NFC", "NFD")]
    for name in names:
        (tmp_path / name).write_text(ascii(name))
    if len(list(tmp_path.iterdir())) == 1:
        pytest.skip("to this file system they are one")
    assert [path.read_text() for path in clip_paths(tmp_path, names)] == [ascii(name) for name in names]


def test_another_form_of_a_name_does_not_lead_out_either(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / unicodedata.normalize("NFD", "né.wav")).symlink_to(tmp_path / "elsewhere.wav")
    with pytest.raises(InputError, match="leads out"):
        clip_paths(tmp_path / "data", [unicodedata.normalize("NFC", "né.wav")])


def test_rows_are_counted_as_in_a_spreadsheet(tmp_path: Path) -> None:
    """A text with a newline is in one row, a blank line takes a row."""
    lines = ["filename,task,expected_text,grade", 'a.wav,deletion,"one', 'two",KG', "", "b.wav,deletion,old,9", ""]
    (tmp_path / "m.csv").write_text("\n".join(lines))
    assert "row 4:" in refusal(read_metadata, tmp_path / "m.csv")


@pytest.mark.parametrize("encode", ["bom", "crlf", "cr", "blank lines", "no last newline"])
def test_ways_of_writing_the_same_table(encode: str, data_dir: Path) -> None:
    expected = read_training_table(data_dir)
    for name in ("train_metadata.csv", "train_labels.csv"):
        content = (data_dir / name).read_bytes()
        changed = {
            "bom": b"\xef\xbb\xbf" + content,
            "crlf": content.replace(b"\n", b"\r\n"),
            "cr": content.replace(b"\n", b"\r"),
            "blank lines": content.replace(b"\n", b"\n\n") + b"\n",
            "no last newline": content.rstrip(b"\n"),
        }
        (data_dir / name).write_bytes(changed[encode])
    pd.testing.assert_frame_equal(read_training_table(data_dir), expected)


def test_extra_columns_and_another_order_are_fine(data_dir: Path) -> None:
    expected = read_training_table(data_dir)
    rows = [("", *reversed(row), "x", "0.3") for row in METADATA]
    header = ("note", *reversed(METADATA_COLUMNS), "note", "score")
    write_csv(data_dir / "train_metadata.csv", header, rows)
    write_csv(
        data_dir / "train_labels.csv", ("task", "score", "filename"), [("x", score, name) for name, score in LABELS]
    )
    pd.testing.assert_frame_equal(read_training_table(data_dir), expected)


@pytest.mark.parametrize("values", [("1", "0"), ("1.0", "0.0"), ("1.", "0e0"), (" 1", "0 "), ("01", "0.00")])
def test_ways_of_writing_labels(values: tuple[str, str], tmp_path: Path) -> None:
    scores = read_labels(write_labels(tmp_path / "l.csv", zip("ab", values, strict=True)))["score"]
    assert scores.dtype == np.float64
    assert scores.tolist() == [1.0, 0.0]


def test_labels_are_joined_by_filename(data_dir: Path) -> None:
    write_labels(data_dir / "train_labels.csv", reversed(LABELS))
    table = read_training_table(data_dir)
    assert list(table.columns) == [*METADATA_COLUMNS, "score"]
    assert list(zip(table["filename"], table["score"], strict=True)) == [(name, float(score)) for name, score in LABELS]
    assert table.index.tolist() == [0, 1, 2, 3]


def test_test_table_is_in_the_order_of_the_submission_format(data_dir: Path) -> None:
    table = read_test_table(data_dir)
    assert table["filename"].tolist() == ["d.wav", "b.wav", "a.wav", "c.wav"]
    assert table["expected_text"].tolist() == ["it is cold", "teevog", "old", "cat"]
    assert table.index.tolist() == [0, 1, 2, 3]


def test_submission_format_needs_filenames_only(data_dir: Path) -> None:
    write_csv(data_dir / "submission_format.csv", ("filename",), [(f"{name}.wav",) for name in "dbac"])
    assert len(read_test_table(data_dir)) == 4


def test_the_real_tables(tmp_path: Path) -> None:
    table = read_training_table(outside_data("goodnight_moon"))
    assert len(table) == 38_095
    assert table["expected_text"].nunique() == 471
    assert table["task"].value_counts().to_dict() == {
        "nonword_repetition": 12_589,
        "sentence_repetition": 9_490,
        "deletion": 9_419,
        "blending": 6_597,
    }
    assert table["score"].mean() == pytest.approx(0.467, abs=5e-4)


# Groups


def test_groups_follow_the_filenames_asked_for(tmp_path: Path) -> None:
    file = write_csv(
        tmp_path / "g.csv", ("filename", "speaker"), [("a", "s1"), ("b", "007"), ("c", "nan"), ("d", "s1")]
    )
    assert read_groups(file, "speaker", iter(["c", "a", "b"])) == ["nan", "s1", "007"]
    assert read_groups(file, "filename", ["c", "a"]) == ["c", "a"]


def test_groups_without_a_clip(tmp_path: Path) -> None:
    file = write_csv(tmp_path / "g.csv", ("filename", "speaker"), [("a", "s1")])
    message = refusal(read_groups, file, "speaker", iter(["a", "b", "c"]))
    assert "g.csv" in message
    assert "'b'" in message


def test_groups_without_the_column(tmp_path: Path) -> None:
    file = write_csv(tmp_path / "g.csv", ("filename", "speaker"), [("a", "s1")])
    message = refusal(read_groups, file, "school", ["a"])
    assert "g.csv" in message
    assert "'school'" in message
    assert "speaker" in message


@pytest.mark.parametrize("row", [("c", ""), ("c", " "), ("a", "s2")])
def test_wrong_rows_in_a_groups_file(row: tuple[str, str], tmp_path: Path) -> None:
    file = write_csv(tmp_path / "g.csv", ("filename", "speaker"), [("a", "s1"), ("b", "s1"), row])
    message = refusal(read_groups, file, "speaker", ["a"])
    assert f"g.csv, row {ROW}:" in message
    assert repr(row[0]) in message or repr(row[1]) in message


# Clips inside the data folder


@pytest.mark.parametrize("target", ["secret.wav", "."])
def test_a_link_out_of_the_data_folder(target: str, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (tmp_path / "secret.wav").write_bytes(b"x")
    (folder / "link").symlink_to(tmp_path / target)
    name = "link/secret.wav" if target == "." else "link"
    message = refusal(clip_paths, folder, ["fine.wav", name])
    assert str(folder) in message
    assert repr(name) in message


def test_a_link_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "circle.wav").symlink_to("circle.wav")
    try:
        paths = clip_paths(tmp_path, ["circle.wav"])
    except InputError as error:
        assert "circle.wav" in str(error)  # noqa: PT017 - newer versions of Python give the path, for reading to refuse
    else:
        assert not paths[0].exists()


def test_links_inside_the_data_folder_and_to_it_are_fine(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a.wav").write_bytes(b"x")
    (folder / "link.wav").symlink_to("a.wav")
    (tmp_path / "elsewhere").symlink_to(folder)
    assert clip_paths(tmp_path / "elsewhere", iter(["a.wav", "link.wav"])) == [
        tmp_path / "elsewhere" / "a.wav",
        tmp_path / "elsewhere" / "link.wav",
    ]


def test_data_folder_given_relative_to_the_current_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert clip_paths(Path("."), ["a.wav"])[0] == Path("a.wav")
    assert os.pardir in refusal(clip_paths, Path("."), ["../a.wav"])


# What is made of a table


def test_scalars(data_dir: Path) -> None:
    assert TASKS == ("deletion", "nonword_repetition", "blending", "sentence_repetition")
    assert GRADES == ("KG", "1", "2", "3")
    values = scalars(read_training_table(data_dir))
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, [[0, 0], [0.25, 0.25], [0.5, 0.5], [0.75, 0.75]])
    table = pd.DataFrame({"task": ["blending", "deletion"], "grade": ["KG", "3"]})
    np.testing.assert_array_equal(scalars(table), [[0.5, 0], [0, 0.75]])


def test_fingerprint_is_the_hash_of_the_sorted_rows(data_dir: Path) -> None:
    """The same on every version of pandas, or checkpoints of one could not be checked against the data of another."""
    text = "filename,task,expected_text,grade,score\n" + "".join(
        ",".join((*row, score)) + "\n" for row, (_, score) in zip(METADATA, LABELS, strict=True)
    )
    assert fingerprint(read_training_table(data_dir)) == hashlib.sha256(text.encode()).hexdigest()


def test_fingerprint_does_not_depend_on_the_order_of_rows(data_dir: Path) -> None:
    table = read_training_table(data_dir)
    assert fingerprint(table) == fingerprint(table.iloc[[2, 0, 3, 1]])
    write_metadata(data_dir / "train_metadata.csv", reversed(METADATA))
    assert fingerprint(table) == fingerprint(read_training_table(data_dir))


@pytest.mark.parametrize("row", [0, 2])
@pytest.mark.parametrize(
    ("column", "value"),
    [("filename", "e.wav"), ("task", "sentence_repetition"), ("expected_text", "cats"), ("grade", "3"), ("score", 0.5)],
)
def test_fingerprint_depends_on_every_value(column: str, value: object, row: int, data_dir: Path) -> None:
    table = read_training_table(data_dir)
    changed = table.copy()
    changed.loc[row, column] = value
    assert fingerprint(changed) != fingerprint(table)


def test_fingerprint_depends_on_the_number_of_rows(data_dir: Path) -> None:
    table = read_training_table(data_dir)
    assert fingerprint(table[:3]) != fingerprint(table)
