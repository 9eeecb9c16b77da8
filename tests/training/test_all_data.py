"""One more run on all clips: as many epochs as were best for its folds, their predictions, their weight.

Run: .venv/bin/python -m pytest tests/training/test_all_data.py
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes import INFER, TRAIN, Script, checkpoints

from models.clips.tables import read_training_table
from models.ensemble.blend import gather_blend
from models.ensemble.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from models.ensemble.config import read_config
from models.errors import InputError
from models.training.all_data import held_out_by, read_folds, with_best_epochs


def told(item: Checkpoint, *losses: float) -> Checkpoint:
    history = [{"epoch": float(epoch), "validation_log_loss": loss} for epoch, loss in enumerate(losses, 1)]
    return replace(item, history=history)


def test_the_epoch_is_the_best_one_over_all_folds() -> None:
    losses = [(0.5, 0.3, 0.29), (0.5, 0.3, 0.4)]
    folds = [told(item, *own) for item, own in zip(checkpoints(n_folds=2), losses, strict=True)]
    found = with_best_epochs(replace(folds[0].recipe, epochs=9, schedule_epochs=9), folds)
    assert (found.epochs, found.schedule_epochs) == (2, folds[0].recipe.schedule_epochs)
    with pytest.raises(InputError, match="history"):
        with_best_epochs(folds[0].recipe, checkpoints(n_folds=2))


def test_it_has_the_predictions_of_its_folds() -> None:
    folds = checkpoints(n_folds=3)
    whole = replace(folds[0], n_folds=1, oof=held_out_by(folds))
    one, other = gather_blend(folds), gather_blend([whole])
    assert dict(zip(one.filenames, one.predictions[:, 0], strict=True)) == dict(
        zip(other.filenames, other.predictions[:, 0], strict=True)
    )
    assert len(set(other.folds.tolist())) > 1


def test_folds_that_are_missing_or_other_ones_are_refused(tmp_path: Path) -> None:
    folds = checkpoints(n_folds=2)
    output_dir, recipe = tmp_path / "all_data", folds[0].recipe
    with pytest.raises(InputError, match="no fold of model2s"):
        read_folds(recipe, output_dir, "data")
    save_checkpoint(tmp_path / folds[0].file_name, folds[0])
    with pytest.raises(InputError, match=r"missing \[1\]"):
        read_folds(recipe, output_dir, "data")
    save_checkpoint(tmp_path / folds[1].file_name, folds[1])
    assert len(read_folds(replace(recipe, epochs=9, schedule_epochs=9), output_dir, "data")) == 2
    for asked in ((replace(recipe, learning_rate=0.5), "data"), (recipe, "other")):
        with pytest.raises(InputError, match="model2s_0"):
            read_folds(asked[0], output_dir, asked[1])


def test_options_that_make_no_sense_are_refused(work: Path, script: Script, refused: Callable[..., str]) -> None:
    assert script("train.py", "--all_data", "--folds", 1).code == 2
    assert script("train.py", "--all_data", "--ray").code == 2
    refused(TRAIN, "--n_folds", 1, mentions=("--n_folds 1", "--all_data"))


@pytest.mark.slow
def test_from_its_folds_to_scores(work: Path, script: Script) -> None:
    """TRAIN is what train.py calls."""
    for fold in range(2):
        assert script(TRAIN, "--fold", fold, "--n_folds", 2, "--output_dir", "made", "--epochs", 2).code == 0
    folds = [load_checkpoint(work / f"made/model2s_{fold}.pth") for fold in range(2)]
    run = ("--fold", 0, "--n_folds", 1, "--output_dir", "made/all_data", "--epochs", 2)
    outcome = script(TRAIN, *run)
    assert outcome.code == 0, outcome.error
    whole = load_checkpoint(work / "made/all_data/model2s_0.pth")
    assert whole.recipe.epochs in (1, 2)
    assert (whole.fold, whole.n_folds, whole.data_fingerprint) == (0, 1, folds[0].data_fingerprint)
    assert set(whole.oof.filenames) == set(read_training_table(work / "data")["filename"])
    assert sorted(whole.oof.predictions) == sorted(np.concatenate([item.oof.predictions for item in folds]))
    assert not np.array_equal(
        whole.weights["encoder.conv1.weight"].numpy(), folds[0].weights["encoder.conv1.weight"].numpy()
    )
    assert "finished already" in script(TRAIN, *run).output
    assert script("get_config.py", "--assets_dir", "made/all_data", "--output", "whole.pkl").code == 0
    assert [entry.folds for entry in read_config(work / "whole.pkl").models] == [[0]]
    assert script(INFER, "--config", "whole.pkl").code == 0
    assert script(INFER, "--checkpoints", "made/all_data/model2s_0.pth").code == 0
    assert script("publish.py", "--config", "whole.pkl").code == 0
    assert script("check_models.py", "--assets_dir", "made/all_data", "--report", "page.html").code == 0
