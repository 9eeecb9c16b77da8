"""What holds for any table: texts come back as they were written, and nothing that is put into a file shifts what it holds.

Run: .venv/bin/python -m pytest tests/clips/test_any_table.py
"""

import csv
import io
import math
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from models.clips.tables import METADATA_COLUMNS, read_labels, read_metadata
from models.errors import InputError

ROWS = tuple(
    (f"{name}.wav", "deletion", text, "KG") for name, text in zip("abcd", ("old", "eat", "lap", "mat"), strict=True)
)
CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)  # what UTF-8 can hold
TEXTS = CELLS.filter(str.strip)


def write(file: Path, rows: Sequence[Sequence[str]]) -> Path:
    made = io.StringIO()
    csv.writer(made, quoting=csv.QUOTE_ALL).writerows([METADATA_COLUMNS, *rows])
    file.write_text(made.getvalue(), encoding="utf-8", newline="")
    return file


@pytest.mark.slow
@given(st.lists(TEXTS, min_size=1, max_size=6))
@example(["null", "nan", "None", "007", "1e5", "café", "it's “cold”", "cafe\u0301", " two  spaces ", "\ufeff"])
@example(['red, "white", blue', "one\ntwo", "three\r\nfour", "five\rsix", "plain", '"', '""'])
def test_a_text_comes_back_as_it_was_written(tmp_path: Path, texts: list[str]) -> None:
    rows = [(f"{index}.wav", "deletion", text, "1") for index, text in enumerate(texts)]
    table = read_metadata(write(tmp_path / "m.csv", rows))
    assert table["expected_text"].tolist() == [unicodedata.normalize("NFC", text) for text in texts]
    assert table["grade"].tolist() == ["1"] * len(texts)
    assert table.index.tolist() == list(range(2, len(texts) + 2))


@pytest.mark.slow
@given(st.integers(0, 3), st.lists(CELLS, min_size=1, max_size=8).filter(lambda cells: len(cells) != 4))
@example(2, ["7", *ROWS[2]])
@example(2, [*ROWS[2], ""])
@example(2, [""])
def test_a_row_with_too_many_or_too_few_fields_is_named(tmp_path: Path, at: int, cells: list[str]) -> None:
    file = write(tmp_path / "m.csv", [*ROWS[:at], cells, *ROWS[at + 1 :]])
    with pytest.raises(
        InputError, match=rf"m\.csv, row {at + 2}:.* {len(cells)} fields where the header has 4"
    ) as caught:
        read_metadata(file)
    assert repr(",".join(cells)[:200]) in str(caught.value)


@pytest.mark.slow
@given(st.integers(0, 200), st.integers(0, 5), st.one_of(CELLS.map(str.encode), st.binary(max_size=30)))
@example(60, 0, b"\0")
@example(60, 0, b"a" * 200_000)  # longer than the csv module reads
@example(0, 0, b"\xef\xbb\xbf")
@example(34, 0, b"e.wav,blending,cat,2\n")
@example(0, 200, bytes(range(256)))
@example(0, 200, b"")
def test_what_is_put_into_a_file_is_refused_or_changes_one_row(
    tmp_path: Path, at: int, without: int, put: bytes
) -> None:
    """No cell of another row slips into another column or into another row, and none is dropped."""
    lines = [",".join(row) for row in (METADATA_COLUMNS, *ROWS)]
    whole = "\n".join(lines).encode()
    at = min(at, len(whole))
    (tmp_path / "m.csv").write_bytes(whole[:at] + put + whole[at + without :])
    first, last = whole.count(b"\n", 0, at), whole.count(b"\n", 0, at + without)
    try:
        table = read_metadata(tmp_path / "m.csv")
    except InputError as error:
        assert "m.csv" in str(error)  # noqa: PT017 - both ends are right
    else:
        untouched = {row for number, row in enumerate(ROWS, 1) if not first <= number <= last}
        assert untouched <= set(table.itertuples(index=False, name=None))


@pytest.mark.slow
@given(CELLS)
@example("1.")
@example(" 0e0 ")
@example("1_0")
@example("0x1")
@example("True")
@example("１")
def test_a_label_is_a_number_that_is_0_or_1_or_refused(tmp_path: Path, cell: str) -> None:
    made = io.StringIO()
    csv.writer(made, quoting=csv.QUOTE_ALL).writerows([("filename", "score"), ("a.wav", cell)])
    (tmp_path / "l.csv").write_text(made.getvalue(), encoding="utf-8", newline="")
    try:
        (score,) = read_labels(tmp_path / "l.csv")["score"]
    except InputError as error:
        assert f"l.csv, row 2: score {cell!r}" in str(error)  # noqa: PT017
    else:
        assert math.isfinite(score)
        assert score == float(cell)
        assert score in (0.0, 1.0)
