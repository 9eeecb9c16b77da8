"""Clips that are left out of training: read, refused, remembered. Run: pytest tests/clips/test_left_out.py"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fakes import TRAIN, Script, checkpoints, load, trained_checkpoint

from models.clips.left_out import left_out_checksum, read_left_out
from models.clips.tables import read_training_table
from models.ensemble.checkpoint import OutOfFold, load_checkpoint, save_checkpoint
from models.errors import InputError
from models.recipe import Recipe
from models.training.job import TrainingJob, make_job
from models.training.options import TrainingOptions
from tools.list_contradicted import contradicted, write_list


def write(folder: Path, *names: str) -> Path:
    file = folder / "left_out.csv"
    pd.DataFrame({"filename": names, "label": 1}).to_csv(file, index=False)
    return file


@pytest.fixture
def job(work: Path) -> Callable[..., TrainingJob]:
    options = TrainingOptions(data_dir=work / "data", tts_dir=work / "tts_data", output_dir=work / "out", n_folds=2)
    recipe: Recipe = replace(load("model2s"), batch_size=2)
    return lambda fold=0, **changes: make_job(recipe, fold, replace(options, **changes))


def test_what_is_left_out_is_held_out_but_not_trained_on(job: Callable[..., TrainingJob], work: Path) -> None:
    plain = job()
    name, other = plain.train["filename"].iloc[0], plain.validation["filename"].iloc[0]
    found = job(leave_out=write(work, name, other))
    assert list(found.train["filename"]) == [each for each in plain.train["filename"] if each != name]
    assert list(found.train.index) == list(range(len(found.train)))
    pd.testing.assert_frame_equal(found.validation, plain.validation)
    assert found.data_fingerprint == plain.data_fingerprint


def test_the_checksum_is_of_the_clips_alone() -> None:
    assert left_out_checksum(["b", "a"]) == left_out_checksum(["a", "b"]) != left_out_checksum(["a"])
    assert left_out_checksum([]) == ""


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["train0.wav", "nobody.wav"], "row 3: filename 'nobody.wav' is no training clip"),
        (["train0.wav", "train0.wav"], "row 3: filename 'train0.wav' is there twice"),
        ([], "has no rows"),
    ],
)
def test_what_is_wrong_is_named(work: Path, names: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_left_out(write(work, *names), read_training_table(work / "data"))


@pytest.mark.slow
def test_another_list_is_another_run(work: Path, script: Script) -> None:
    """It is remembered in the checkpoint, and a fold that is finished with another is refused."""
    table = read_training_table(work / "data")
    one, two = table["filename"].iloc[:2]
    outcome = script(TRAIN, "--output_dir", "out", "--leave_out", write(work, one))
    assert outcome.code == 0, outcome.error
    assert "1 clips are not trained on" in outcome.output
    found = load_checkpoint(work / "out" / "model2s_0.pth")
    assert found.left_out == left_out_checksum([one])
    for options in ([], ["--leave_out", write(work, one, two)]):
        refused = script(TRAIN, "--output_dir", "out", *options)
        assert refused.code == 1
        assert "another list of clips left out" in refused.error


def test_the_clips_whose_label_is_contradicted_most_are_listed(encoder_dir: Path) -> None:
    checkpoint = trained_checkpoint(encoder_dir)
    labels, scores = np.array([1.0, 0.0, 1.0, 0.0]), np.array([0.9, 0.8, 0.3, 0.1])
    held_out = OutOfFold(["a", "b", "c", "d"], ["deletion"] * 4, ["1"] * 4, labels, scores)
    found = contradicted([replace(checkpoint, oof=held_out)], 0.5)
    assert list(found["filename"]) == ["b", "c"]
    assert list(found["label"]) == [0.0, 1.0]


@pytest.mark.parametrize("share", [0.0, 0.5, -1.0, float("nan")])
def test_a_share_that_is_none_is_refused(tmp_path: Path, share: float) -> None:
    with pytest.raises(InputError, match="must lie between"):
        write_list(tmp_path, share, tmp_path / "list.csv")


def test_a_fold_that_can_not_be_read_is_not_passed_over(tmp_path: Path) -> None:
    for fold in checkpoints(n_folds=2):
        save_checkpoint(tmp_path / fold.file_name, fold)
    assert len(write_list(tmp_path, 0.1, tmp_path / "list.csv")) > 0
    broken = tmp_path / "model2s_1.pth"
    broken.write_bytes(broken.read_bytes()[:500])
    with pytest.raises(InputError, match=r"model2s_1\.pth"):
        write_list(tmp_path, 0.1, tmp_path / "other.csv")
    assert not (tmp_path / "other.csv").exists()
