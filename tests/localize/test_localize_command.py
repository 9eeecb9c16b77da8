"""localize.py: one clip and tables of clips. Run: python -m pytest tests/localize/test_localize_command.py"""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from fakes import NO_ANSWERS, Outcome, read_rows, shipped_model, trained_checkpoint, write_rows

from models.base.files import sha256_of_file
from models.ensemble.checkpoint import load_checkpoint, save_checkpoint
from models.ensemble.config import ModelEntry, read_config, write_config
from models.localize.methods import METHODS
from models.network.build import network_settings
from models.network.comparison import half_weights


@pytest.fixture
def trained(work: Path) -> Path:
    """Beside the joint model that is there, an aligned one of less weight, in one configuration."""
    shipped = shipped_model()
    joint_path = work / "assets" / "model2s_0.pth"
    joint = load_checkpoint(joint_path, sha256_of_file(joint_path))
    recipe = replace(shipped.recipe, name="aligned")
    aligned = replace(
        joint,
        recipe=recipe,
        weights=half_weights(shipped.network),
        encoder=network_settings(shipped.network),
    )
    path = work / "assets" / "aligned_0.pth"
    save_checkpoint(path, aligned)
    config = read_config(work / "model_configs.pkl")
    entry = ModelEntry("aligned", 0.3, ["assets/aligned_0.pth"], [0], [sha256_of_file(path)], 8.0, 4)
    models = [replace(config.models[0], weight=0.7), entry]
    write_config(work / "model_configs.pkl", replace(config, models=models))
    return work


@pytest.mark.slow
def test_the_command_for_a_csv_takes_the_aligned_model(trained: Path, script: Callable[..., Outcome]) -> None:
    pytest.importorskip("matplotlib")
    rows = read_rows(trained / "data" / "test_metadata.csv")[:4]
    rows.append(["gone.wav", *rows[1][1:]])
    write_rows(trained / "clips.csv", rows)
    outcome = script("localize.py", "--csv", "clips.csv", "--data_dir", "data", "--output_dir", "found", "--picture")
    assert outcome.code == 0, outcome.error
    for name, _, text, _ in [dict(zip(rows[0], row, strict=True)).values() for row in rows[1:4]]:
        content = json.loads((trained / "found" / f"{name}.json").read_text(encoding="utf-8"))
        assert (content["expected_text"], content["method"]) == (text, "alignment")
        assert (trained / "found" / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
    problems = json.loads((trained / "found" / "problems.json").read_text(encoding="utf-8"))
    assert list(problems) == ["gone.wav"]


@pytest.mark.slow
def test_every_clip_has_results_of_its_own(trained: Path, script: Callable[..., Outcome]) -> None:
    """Whatever it is called: as the list of problems, as the longest file, or as a folder that another's result is called."""
    longest = ["x" * 251 + ".wav", "x" * 250 + "y.wav"]
    names = ["problems", "problems~", "a", "a.json/b", "a.json~/b", "deep/problems", "problems.json", *longest]
    header, first, *_ = read_rows(trained / "data" / "test_metadata.csv")
    for name in names:
        (trained / "data" / name).parent.mkdir(exist_ok=True)
        shutil.copy(trained / "data" / first[0], trained / "data" / name)
    write_rows(trained / "clips.csv", [header, *([name, *first[1:]] for name in [*names, "gone.wav"])])
    call = ["localize.py", "--csv", "clips.csv", "--data_dir", "data", "--output_dir", "found"]
    outcome = script(*call)
    assert outcome.code == 0, outcome.error
    results = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((trained / "found").rglob("*.json"))]
    assert len([result for result in results if "units" in result]) == len(names)
    problems = json.loads((trained / "found" / "problems.json").read_text(encoding="utf-8"))
    assert list(problems) == ["gone.wav"]
    assert (trained / "found" / "problems~.json").is_file()
    write_rows(trained / "clips.csv", [header, ["problems", *first[1:]]])
    assert script(*call).code == 0
    assert not (trained / "found" / "problems.json").exists()  # an earlier run's


@pytest.mark.skipif(
    tuple(map(int, torch.__version__.split(".")[:2])) < (2, 6),
    reason="a checkpoint without a checksum is read from torch 2.6 on",
)
def test_the_command_for_one_clip(trained: Path, encoder_dir: Path, script: Callable[..., Outcome]) -> None:
    save_checkpoint(trained / "assets" / "alignmodel_0.pth", trained_checkpoint(encoder_dir, "alignmodel"))
    asked = ["localize.py", "--checkpoints", "assets/alignmodel_0.pth"]
    one = ["--audio", f"data/{read_rows(trained / 'data' / 'test_metadata.csv')[1][0]}", "--text", "it is cold"]
    outcome = script(*asked, *one)
    assert outcome.code == 0, outcome.error
    assert all(word in outcome.output for word in ("it", "is", "cold"))
    for method in METHODS:
        outcome = script("localize.py", "--checkpoints", "assets/model2s_0.pth", *one, "--method", method)
        assert outcome.code == 1
        assert "model2s" in outcome.error
        assert "--model" in outcome.error
    for kind, waveform in NO_ANSWERS.items():
        soundfile.write(trained / "none.wav", waveform, 16000, subtype="FLOAT")
        outcome = script(*asked, "--audio", "none.wav", *one[2:])
        assert outcome.code == 1, kind
        assert "none.wav: the recording" in outcome.error
    soundfile.write(trained / "long.wav", 0.1 * np.random.default_rng(0).standard_normal(16000 * 5), 16000)
    outcome = script(*asked, "--audio", "long.wav", *one[2:])
    assert outcome.code == 0, outcome.error
    assert "recording's 5.0 s" in outcome.output
    outcome = script("localize.py", *one[:1], "nothing.wav", *one[2:])
    assert outcome.code == 1
    assert "nothing.wav" in outcome.error
