"""Folds: the design's formula to the row, and groups that stay together.

Run: .venv/bin/python -m pytest tests/clips/test_folds.py
"""

import numpy as np
import pandas as pd
import pytest
from fakes import outside_data
from sklearn.model_selection import KFold

from models.clips.folds import split_fold
from models.clips.tables import read_training_table
from models.errors import InputError


def small_table(n_rows: int = 60) -> pd.DataFrame:
    return pd.DataFrame({"filename": [f"{row}.wav" for row in range(n_rows)], "score": np.arange(n_rows) % 2})


def formula(table: pd.DataFrame, fold: int, n_folds: int, data_seed: int) -> tuple[list[str], list[str]]:
    """As the design says it, and nothing else."""
    shuffled = table.sample(frac=1, random_state=data_seed + 2)
    train, validation = list(KFold(n_folds, shuffle=True, random_state=data_seed).split(shuffled))[fold]
    return shuffled.iloc[train]["filename"].tolist(), shuffled.iloc[validation]["filename"].tolist()


@pytest.mark.parametrize("data_seed", [1, 55, 4221])
def test_equal_to_the_designs_formula_on_the_real_metadata(data_seed: int) -> None:
    table = read_training_table(outside_data("goodnight_moon"))
    for fold in (0, 5):
        train, validation = split_fold(table, fold, 6, data_seed)
        assert (train["filename"].tolist(), validation["filename"].tolist()) == formula(table, fold, 6, data_seed)


def test_every_row_is_held_out_once() -> None:
    held_out = [name for fold in range(6) for name in split_fold(small_table(), fold, 6, 88)[1]["filename"]]
    assert sorted(held_out) == sorted(small_table()["filename"])


def test_row_order_is_part_of_the_formula() -> None:
    assert split_fold(small_table(), 0, 6, 1)[1]["filename"].tolist() == formula(small_table(), 0, 6, 1)[1]
    assert split_fold(small_table(), 0, 6, 1)[1]["filename"].tolist() != formula(small_table(), 0, 6, 2)[1]


def test_groups_stay_together_and_are_the_same_for_every_recipe() -> None:
    table = small_table()
    groups = [f"s{row % 11}" for row in range(len(table))]
    speaker = dict(zip(table["filename"], groups, strict=True))
    for fold in range(3):
        train, validation = split_fold(table, fold, 3, 88, groups)
        assert not {speaker[name] for name in train["filename"]} & {speaker[name] for name in validation["filename"]}
        assert set(validation["filename"]) == set(split_fold(table, fold, 3, 1, groups)[1]["filename"])
        assert list(train.columns) == list(table.columns)


@pytest.mark.parametrize(("fold", "n_folds"), [(6, 6), (-1, 6), (0, 61)])
def test_folds_that_can_not_be_cut_are_refused(fold: int, n_folds: int) -> None:
    with pytest.raises(InputError, match=str(fold if n_folds == 6 else n_folds)):
        split_fold(small_table(), fold, n_folds, 88)


def test_fewer_groups_than_folds_are_refused() -> None:
    with pytest.raises(InputError, match="groups"):
        split_fold(small_table(), 0, 6, 88, ["one", "two"] * 30)
