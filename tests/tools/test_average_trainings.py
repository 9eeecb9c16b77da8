"""One fold of several trainings: the mean of their weights, and what that scores."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.ensemble.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from models.errors import InputError
from models.training.fold import train_fold
from models.training.job import TrainingJob
from tests.fakes import Script, trained_checkpoint
from tools.average_trainings import average

TOOL = "tools/average_trainings.py"


@pytest.fixture
def pair(encoder_dir: Path) -> tuple[Checkpoint, Checkpoint]:
    first = trained_checkpoint(encoder_dir, fold=1)
    second = trained_checkpoint(encoder_dir, fold=1)
    moved = {name: tensor + 0.5 for name, tensor in first.weights.items()}
    return replace(first, weights=moved), replace(
        second, recipe=replace(second.recipe, learning_rate=0.1, seed=7, encoder="elsewhere")
    )


def test_weights_are_the_mean_and_the_recipe_is_the_last_ones(pair: tuple[Checkpoint, Checkpoint]) -> None:
    mean = average(pair)
    for name, tensor in mean.weights.items():
        torch.testing.assert_close(tensor, (pair[0].weights[name].float() + pair[1].weights[name]).half() / 2)
    assert mean.recipe == pair[1].recipe
    assert (mean.fold, mean.history, mean.tries) == (1, [], [])


def test_what_does_not_belong_together_is_refused(pair: tuple[Checkpoint, Checkpoint], encoder_dir: Path) -> None:
    with pytest.raises(InputError, match="one training alone"):
        average(pair[:1])
    with pytest.raises(InputError, match="first of the checkpoints has another fold"):
        average([trained_checkpoint(encoder_dir, fold=0), pair[1]])
    with pytest.raises(InputError, match="max_seconds"):
        average([replace(pair[0], recipe=replace(pair[0].recipe, max_seconds=3.0)), pair[1]])
    with pytest.raises(InputError, match="other data"):
        average([replace(pair[0], data_fingerprint="another"), pair[1]])
    oof = replace(pair[0].oof, filenames=[f"_{name}" for name in pair[0].oof.filenames])
    with pytest.raises(InputError, match="held-out clips"):
        average([replace(pair[0], oof=oof), pair[1]])


@pytest.mark.slow
def test_the_mean_scores_what_its_fold_held_out(
    make_job: Callable[..., TrainingJob], tmp_path: Path, script: Script, refused: Callable[..., None]
) -> None:
    job = make_job("verifytiny", epochs=1, drawn_texts=1)
    first = train_fold(job).rename(tmp_path / "first.pth")
    second = train_fold(replace(job, recipe=replace(job.recipe, joined_answers=0.5)))
    folders = ("--data_dir", job.options.data_dir, "--tts_dir", job.options.tts_dir, "--precision", "fp32")
    done = script(TOOL, first, second, "--output_dir", tmp_path / "mean", *folders)
    assert done.code == 0, done.err
    mean, last = load_checkpoint(tmp_path / "mean" / second.name), load_checkpoint(second)
    assert mean.oof.filenames == last.oof.filenames
    assert not np.allclose(mean.oof.predictions, last.oof.predictions)
    same = tmp_path / "same.pth"
    save_checkpoint(same, last)
    assert script(TOOL, same, second, "--output_dir", tmp_path / "twice", *folders).code == 0
    twice = load_checkpoint(tmp_path / "twice" / second.name)
    np.testing.assert_allclose(twice.oof.predictions, last.oof.predictions, atol=2e-3)  # weights in float16
    refused(TOOL, first, second, "--output_dir", tmp_path / "mean", *folders, mentions=("already there",))
