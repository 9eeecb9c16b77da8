"""Which clips are held out. Kept to the row of published runs, so that OOF files can be compared."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from models.errors import InputError


def split_fold(
    table: pd.DataFrame, fold: int, n_folds: int, data_seed: int, groups: Sequence[str] | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The training and the validation rows of one fold, both in shuffled order.

    Parameters
    ----------
    n_folds
        1: no row is held out.
    groups
        One per row, such as the speaker; a group never lies on both sides, and every recipe gets the same folds.
    """
    if not 0 <= fold < n_folds:
        raise InputError(f"--fold {fold}: must lie in 0..{n_folds - 1}, since --n_folds is {n_folds}")
    if n_folds == 1:
        return table.sample(frac=1, random_state=data_seed + 2).reset_index(drop=True), table.iloc[:0]
    from sklearn.model_selection import GroupKFold, KFold  # 1 s, which only training needs

    _check_enough(table, n_folds, groups)
    shuffled = table.assign(_group=groups if groups is not None else "").sample(frac=1, random_state=data_seed + 2)
    if groups is None:
        splits = list(KFold(n_folds, shuffle=True, random_state=data_seed).split(shuffled))
    else:
        splits = list(GroupKFold(n_folds).split(shuffled, groups=shuffled["_group"]))
    train, validation = (shuffled.iloc[np.asarray(rows)].drop(columns="_group") for rows in splits[fold])
    return train.reset_index(drop=True), validation.reset_index(drop=True)


def _check_enough(table: pd.DataFrame, n_folds: int, groups: Sequence[str] | None) -> None:
    units, what = (len(table), "clips") if groups is None else (len(set(groups)), "groups")
    if units < n_folds:
        raise InputError(f"--n_folds {n_folds}: more folds than {what} ({units})")
