"""One network from all folds: the mean of their weights. Run: python -m pytest tests/tools/test_average_folds.py"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from fakes import Script, checkpoints, trained_checkpoint

from models.ensemble.checkpoint import load_checkpoint, save_checkpoint
from models.errors import InputError
from tools.average_folds import average

TOOL = "tools/average_folds.py"


def test_weights_are_the_mean_and_nothing_is_held_out(encoder_dir: Path) -> None:
    folds = [trained_checkpoint(encoder_dir, fold=fold) for fold in range(3)]
    folds = [replace(fold, n_folds=3) for fold in folds]
    whole = average(folds)
    for name, tensor in whole.weights.items():
        mean = sum(fold.weights[name].double() for fold in folds) / 3
        torch.testing.assert_close(tensor.double(), mean, atol=2e-3, rtol=1e-3)
        assert tensor.dtype == folds[0].weights[name].dtype
    assert (whole.fold, whole.n_folds, whole.history) == (0, 1, [])  # no fold's losses are its own
    assert set(whole.oof.filenames) == {name for fold in folds for name in fold.oof.filenames}


def test_folds_that_are_missing_or_do_not_belong_together_are_refused() -> None:
    folds = checkpoints(n_folds=3)
    with pytest.raises(InputError, match="missing"):
        average(folds[:2])
    other = replace(folds[1], recipe=replace(folds[1].recipe, learning_rate=0.5))
    with pytest.raises(InputError, match=folds[1].file_name):
        average([folds[0], other, folds[2]])
    with pytest.raises(InputError, match="several models"):
        average([*folds, *checkpoints("model1m", n_folds=3)])
    with pytest.raises(InputError, match="other data"):
        average([folds[0], replace(folds[1], data_fingerprint="another"), folds[2]])
    again = replace(folds[1], recipe=replace(folds[1].recipe, seed=99))
    assert average([folds[0], again, folds[2]]).n_folds == 1  # one that collapsed was begun anew with another seed


def test_a_file_that_is_there_is_not_replaced(tmp_path: Path, script: Script, refused: Callable[..., None]) -> None:
    for fold in checkpoints(n_folds=2):
        save_checkpoint(tmp_path / fold.file_name, fold)
    files = sorted(tmp_path.glob("*.pth"))
    assert script(TOOL, *files, "--output_dir", tmp_path / "whole").code == 0
    assert load_checkpoint(tmp_path / "whole" / files[0].name).n_folds == 1
    refused(TOOL, *files, "--output_dir", tmp_path / "whole", mentions=("already there",))
