"""Several data sets in one folder. Run: .venv/bin/python -m pytest tests/tools/test_join_corpora.py"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from models.clips.tables import read_groups, read_test_table, read_training_table
from models.errors import InputError
from tools import join_corpora
from tools.layout import write_tables


def make_folder(folder: Path, prefix: str, parts: tuple[str, ...], more: str) -> None:
    for part in parts:
        names = [f"{prefix}_{part}_{number}.wav" for number in range(3)]
        for number, name in enumerate(names):
            folder.mkdir(exist_ok=True)
            soundfile.write(folder / name, np.full(1600, 0.1 * number), 16_000)
        rows = {"filename": names, "task": "blending", "expected_text": "cat", "grade": "KG", "score": 1.0}
        write_tables(pd.DataFrame({**rows, "speaker": prefix, more: "x"}), ["speaker", more], folder, part)


def test_clips_and_tables_of_both(tmp_path: Path) -> None:
    make_folder(tmp_path / "one", "one", ("train", "test"), "age")
    make_folder(tmp_path / "two", "two", ("train",), "kind")
    join_corpora.main([str(tmp_path / "one"), str(tmp_path / "two"), str(tmp_path / "all")])
    table = read_training_table(tmp_path / "all")
    assert table["filename"].tolist() == [
        f"{name}_train_{number}.wav" for name in ("one", "two") for number in range(3)
    ]
    groups = read_groups(tmp_path / "all" / "train_source.csv", "speaker", table["filename"])
    assert groups == ["one"] * 3 + ["two"] * 3
    assert len(read_test_table(tmp_path / "all")) == 3
    for source in ("one", "two"):
        for path in (tmp_path / source).glob("*.wav"):
            assert (tmp_path / "all" / path.name).read_bytes() == path.read_bytes()


def test_what_can_not_be_joined(tmp_path: Path) -> None:
    for name in ("one", "other"):
        make_folder(tmp_path / name, "same", ("train",), "age")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="same_train_0"):
        join_corpora.main([str(tmp_path / "one"), str(tmp_path / "other"), str(tmp_path / "all")])
    with pytest.raises(InputError, match="no train_metadata"):
        join_corpora.main([str(tmp_path / "empty"), str(tmp_path / "empty"), str(tmp_path / "all")])
    with pytest.raises(InputError, match="there already"):
        join_corpora.main([str(tmp_path / "one"), str(tmp_path / "other"), str(tmp_path / "one")])
    with pytest.raises(SystemExit):
        join_corpora.main([str(tmp_path / "one"), str(tmp_path / "all")])
    assert not (tmp_path / "all").exists()
