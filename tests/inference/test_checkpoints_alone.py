"""Trained folds without a configuration: equal weights, nothing fitted, and what does not belong together refused.

Run: .venv/bin/python -m pytest tests/inference/test_checkpoints_alone.py
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from fakes import INFER, Script, trained_checkpoint

from models.clips.tables import read_test_table
from models.ensemble.checkpoint import load_checkpoint, save_checkpoint
from models.ensemble.source import EnsembleSource, equal_blend
from models.errors import InputError
from models.inference.answers import Answer
from models.inference.published_references import CACHE_VARIABLE
from models.inference.scorer import Scorer

pytestmark = pytest.mark.skipif(
    torch.__version__.startswith("2.4"), reason="torch below 2.6 reads no checkpoint without a checksum"
)


@pytest.fixture
def files(work: Path, encoder_dir: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Two folds of one model and one of another, in the current folder."""
    monkeypatch.setenv(CACHE_VARIABLE, str(work / "cache"))
    trained = load_checkpoint(Path("assets/model2s_0.pth"))
    found = [Path("assets/model2s_0.pth"), Path("assets/model2s_1.pth"), Path("assets/alignsmall_0.pth")]
    other = trained_checkpoint(encoder_dir, "alignsmall")
    alike = {"voice": trained.voice, "n_folds": 2, "data_fingerprint": trained.data_fingerprint}
    save_checkpoint(found[2], replace(other, **alike))
    return found


def scores_of(*files: Path) -> np.ndarray:
    scorer = Scorer.from_checkpoints(files, Path("tts_data"), device="cpu", precision="fp32")
    table = read_test_table(Path("data"))
    rows = zip(table["filename"], table["expected_text"], table["task"], table["grade"], strict=True)
    return scorer.score_batch([Answer(Path("data") / name, text, task, grade) for name, text, task, grade in rows])


def test_each_has_the_same_say(files: list[Path], script: Script) -> None:
    each = [scores_of(file) for file in files]
    np.testing.assert_allclose(scores_of(*files), np.mean(each, axis=0), rtol=0, atol=1e-6)
    outcome = script(INFER, "--precision", "fp32", "--checkpoints", *files)
    assert outcome.code == 0, outcome.error
    assert "nothing was fitted" in outcome.output
    np.testing.assert_allclose(pd.read_csv("submission.csv")["score"], np.mean(each, axis=0), rtol=0, atol=1e-6)


def test_one_is_enough(files: list[Path], script: Script) -> None:
    outcome = script(INFER, "--precision", "fp32", "--checkpoints", files[0])
    assert outcome.code == 0, outcome.error
    assert "one network" in outcome.output
    np.testing.assert_allclose(pd.read_csv("submission.csv")["score"], scores_of(files[0]), rtol=0, atol=1e-6)


@pytest.mark.slow
def test_several_are_published_with_the_figures_of_what_they_held_out(files: list[Path], script: Script) -> None:
    outcome = script("publish.py", "--checkpoints", files[0], files[2])
    assert outcome.code == 0, outcome.error
    there = Scorer.from_pretrained("published", device="cpu", precision="fp32").published
    assert not there.fitted
    assert [member.share for member in there.members] == [0.5, 0.5]
    held_out = {name for file in (files[0], files[2]) for name in load_checkpoint(file).oof.filenames}
    assert there.figures["clips"] == len(held_out)
    assert "nothing was fitted" in Path("published/README.md").read_text()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"data_fingerprint": "other"}, "other data"),
        ({"n_folds": 5}, "n_folds"),
        ({"voice": {"engine": "none", "source": "none", "speed": 1.0}}, "voice"),
        ({}, "both are fold 0 of model2s"),
    ],
    ids=["data", "folds", "voice", "twice"],
)
def test_what_does_not_belong_together_is_refused(
    change: dict[str, Any], told: str, files: list[Path], refused: Callable[..., str]
) -> None:
    other = Path("assets/other.pth")
    if change:
        save_checkpoint(other, replace(load_checkpoint(files[2]), **change))
    else:
        other.write_bytes(files[0].read_bytes())
    refused(INFER, "--checkpoints", files[0], other, mentions=(other, files[0], told))


def test_the_same_file_twice_is_refused(files: list[Path]) -> None:
    with pytest.raises(InputError, match="both are fold 0"):
        equal_blend([files[0], files[0]])
    with pytest.raises(InputError, match="at least one"):
        Scorer.from_checkpoints([])


def test_a_part_of_the_folds_is_no_option_of_theirs(files: list[Path], script: Script) -> None:
    assert script(INFER, "--checkpoints", files[0], "--folds_per_model", 1).code == 2
    assert script(INFER, "--checkpoints", files[0], "--config", "model_configs.pkl").code == 2


def test_a_source_is_the_same_from_anywhere(files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = EnsembleSource(Path("model_configs.pkl"), tuple(files)).absolute()
    monkeypatch.chdir(tmp_path)
    assert [len(entry.folds) for entry in source.read().models] == [2, 1]
    assert sum(entry.weight for entry in source.read().models) == pytest.approx(1)
