"""Bad checkpoints and configurations, given to the scripts as a user runs them; options of scoring and speaking.

Run: .venv/bin/python -m pytest tests/hardening/test_bad_files.py
"""

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fakes import INFER, OLD_TORCH, TRAIN, Payload, Script, set_cell, snapshot

from models.base.files import sha256_of_file

ROW = 5  # where the tests put a wrong value, the header being row 1


# Checkpoints


def damage_checkpoint(path: Path, how: str, marker: Path) -> None:
    whole = path.read_bytes()
    changed: dict[str, Callable[[], object]] = {
        "truncated": lambda: path.write_bytes(whole[: len(whole) // 2]),
        "last bytes missing": lambda: path.write_bytes(whole[:-10]),
        "no bytes": lambda: path.write_bytes(b""),
        "random bytes": lambda: path.write_bytes(np.random.default_rng(0).bytes(10_000)),
        "pickle with a payload": lambda: path.write_bytes(pickle.dumps(Payload(marker))),
        "torch.save of a payload": lambda: torch.save({"weights": Payload(marker)}, path),
        "torch.save of a list": lambda: torch.save([1, 2], path),
        "torch.save of a tensor": lambda: torch.save(torch.zeros(3), path),
        "torch.save of other weights": lambda: torch.save({"weight": torch.zeros(3)}, path),
        "a field is missing": lambda: torch.save(without(torch.load(path, weights_only=True), "oof"), path),
    }
    changed[how]()


def without(content: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in content.items() if key != name}


CHECKPOINT_DAMAGE = (
    "truncated",
    "last bytes missing",
    "no bytes",
    "random bytes",
    "pickle with a payload",
    "torch.save of a payload",
    "torch.save of a list",
    "torch.save of a tensor",
    "torch.save of other weights",
    "a field is missing",
)


def test_the_payloads_work(tmp_path: Path) -> None:
    """Or the tests that they don't run could not fail."""
    pickle.loads(pickle.dumps(Payload(tmp_path / "ran")))
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("how", CHECKPOINT_DAMAGE)
def test_training_does_not_touch_a_checkpoint_that_it_can_not_read(
    how: str, work: Path, refused: Callable[..., str]
) -> None:
    damage_checkpoint(work / "assets" / "model2s_0.pth", how, work / "ran")
    refused(TRAIN, "--output_dir", "assets", mentions=("model2s_0.pth",))
    assert not (work / "ran").exists()


@pytest.mark.skipif(OLD_TORCH, reason="needs torch 2.6 to read a checkpoint without its checksum")
def test_training_does_not_touch_a_checkpoint_of_other_data(work: Path, refused: Callable[..., str]) -> None:
    refused(TRAIN, "--output_dir", "assets", mentions=("model2s_0.pth", "data", "--overwrite"))


@pytest.mark.parametrize("how", CHECKPOINT_DAMAGE)
def test_other_scripts_name_a_broken_checkpoint(
    how: str, work: Path, script: Script, refused: Callable[..., str]
) -> None:
    damage_checkpoint(work / "assets" / "model2s_1.pth", how, work / "ran")
    before = snapshot(work)
    outcome = script("check_models.py")
    assert outcome.code == 1
    assert "model2s_1.pth" in outcome.output
    assert snapshot(work) == before
    refused("get_config.py", mentions=("model2s_1.pth",))
    assert not (work / "ran").exists()


def test_no_checkpoints(work: Path, refused: Callable[..., str]) -> None:
    for name in ("check_models.py", "get_config.py"):
        refused(name, "--assets_dir", "data", mentions=("data",))
        refused(name, "--assets_dir", "nowhere", mentions=("nowhere",))


@pytest.mark.parametrize("how", CHECKPOINT_DAMAGE)
def test_inference_with_a_broken_checkpoint(how: str, work: Path, refused: Callable[..., str]) -> None:
    """Once with the checksum of the sound file, once with that of the broken one."""
    path = work / "assets" / "model2s_1.pth"
    damage_checkpoint(path, how, work / "ran")
    refused(INFER, mentions=("model2s_1.pth", "checksum"))
    change_config(work, sha256=[sha256_of_file(work / "assets" / "model2s_0.pth"), sha256_of_file(path)])
    refused(INFER, mentions=("model2s_1.pth",))
    assert not (work / "ran").exists()


def test_a_checkpoint_with_weights_of_another_network(work: Path, refused: Callable[..., str]) -> None:
    path = work / "assets" / "model2s_1.pth"
    content = torch.load(path, weights_only=True)
    content["weights"]["head.0.weight"] = torch.zeros(1, 7)
    torch.save(content, path)
    change_config(work, sha256=[sha256_of_file(work / "assets" / "model2s_0.pth"), sha256_of_file(path)])
    refused(INFER, mentions=("model2s_1.pth",))


# The ensemble's configuration


def change_config(work: Path, **entry: object) -> None:
    """Change fields of the configuration's only model."""
    content = pickle.loads((work / "model_configs.pkl").read_bytes())
    content["models"][0] |= entry
    (work / "model_configs.pkl").write_bytes(pickle.dumps(content))


@pytest.mark.parametrize(
    "content", [b"", b"PK", np.random.default_rng(0).bytes(1000), pickle.dumps([1, 2]), pickle.dumps({"models": []})]
)
def test_a_file_that_is_no_configuration(content: bytes, work: Path, refused: Callable[..., str]) -> None:
    (work / "model_configs.pkl").write_bytes(content)
    refused(INFER, mentions=("model_configs.pkl",))


@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_a_truncated_configuration(share: float, work: Path, refused: Callable[..., str]) -> None:
    content = (work / "model_configs.pkl").read_bytes()
    (work / "model_configs.pkl").write_bytes(content[: int(share * len(content))])
    refused(INFER, mentions=("model_configs.pkl",))


def test_a_configuration_with_a_payload(work: Path, refused: Callable[..., str]) -> None:
    content = pickle.loads((work / "model_configs.pkl").read_bytes())
    (work / "model_configs.pkl").write_bytes(pickle.dumps(content | {"voice": Payload(work / "ran")}))
    refused(INFER, mentions=("model_configs.pkl",))
    assert not (work / "ran").exists()


def test_no_configuration(work: Path, refused: Callable[..., str]) -> None:
    refused(INFER, "--config", "nowhere.pkl", mentions=("nowhere.pkl", "get_config.py"))
    refused(INFER, "--config", "data", mentions=("data",))


@pytest.mark.parametrize(
    "entry",
    [
        {"weight": 0.5},
        {"weight": "1"},
        {"weight": None},
        {"paths": []},
        {"paths": [1, 2]},
        {"paths": None},
        {"paths": ["assets/model2s_0.pth"]},
        {"folds": [1, 0]},
        {"folds": ["0", "1"]},
        {"sha256": [None, None]},
        {"sha256": [1, 2]},
        {"batch_size": 0},
        {"batch_size": 2.5},
        {"max_seconds": "4"},
        {"name": "model2m"},
        {"surplus": 1},
    ],
    ids=str,
)
def test_a_configuration_with_a_wrong_model(entry: dict[str, object], work: Path, refused: Callable[..., str]) -> None:
    change_config(work, **entry)
    refused(INFER, mentions=("get_config.py",))


@pytest.mark.parametrize(
    "change",
    [
        {"models": {}},
        {"models": None},
        {"models": [1]},
        {"n_folds": 6},
        {"n_folds": "2"},
        {"voice": None},
        {"voice": {}},
        {"data_fingerprint": "other"},
        {"surplus": 1},
    ],
    ids=str,
)
def test_a_configuration_of_a_wrong_structure(
    change: dict[str, object], work: Path, refused: Callable[..., str]
) -> None:
    content = pickle.loads((work / "model_configs.pkl").read_bytes())
    (work / "model_configs.pkl").write_bytes(pickle.dumps(content | change))
    refused(INFER, mentions=("get_config.py",))


def test_a_configuration_with_a_changed_checksum(work: Path, refused: Callable[..., str]) -> None:
    change_config(work, sha256=["0" * 64, "0" * 64])
    refused(INFER, mentions=("model2s_0.pth", "checksum"))


def test_a_configuration_whose_checkpoint_is_missing(work: Path, refused: Callable[..., str]) -> None:
    (work / "assets" / "model2s_1.pth").unlink()
    refused(INFER, mentions=("model2s_1.pth",))


# Options of inference and of the other scripts


@pytest.mark.parametrize(
    ("arguments", "mentions"),
    [
        ("--folds_per_model 3", "--folds_per_model 3"),
        ("--device tpu", "--device tpu"),
        ("--device cuda:99", "--device cuda:99"),
        ("--precision fp16 --device cpu", "--precision fp16"),
        ("--tts_dir nowhere --voice nowhere", "nowhere"),
    ],
)
def test_options_of_inference(arguments: str, mentions: str, refused: Callable[..., str]) -> None:
    refused(INFER, *arguments.split(), mentions=tuple(mentions.split()))


@pytest.mark.parametrize("output", ["data", "model_configs.pkl/submission.csv"])
def test_an_output_that_can_not_be_written(output: str, refused: Callable[..., str]) -> None:
    refused(INFER, "--output", output, mentions=(Path(output).parts[0],))


@pytest.mark.parametrize(
    "arguments",
    ["--device cuda:99", "--precision fp16 --device cpu", "--folds_per_model 3"],
)
def test_nothing_is_spoken_before_the_options_are_checked(
    arguments: str, work: Path, refused: Callable[..., str]
) -> None:
    set_cell(work / "data" / "test_metadata.csv", ROW, "expected_text", "never spoken")
    refused(INFER, *arguments.split(), mentions=tuple(arguments.split()[:2]))


@pytest.mark.parametrize(
    ("speed", "voice"), [("0", "espeak"), ("nan", "espeak"), ("9", "espeak"), ("0.7", "./nowhere")]
)
def test_options_of_preprocessing(speed: str, voice: str, work: Path, refused: Callable[..., str]) -> None:
    shutil.rmtree(work / "tts_data")
    refused("preprocess.py", "--speed", speed, "--voice", voice, mentions=(voice if voice != "espeak" else speed,))


@pytest.mark.parametrize(
    ("name", "option"), [("preprocess.py", "--tts_dir"), ("get_config.py", "--output"), (TRAIN, "--tts_dir")]
)
def test_a_path_that_leads_through_a_file(name: str, option: str, work: Path, refused: Callable[..., str]) -> None:
    if name == "get_config.py" and OLD_TORCH:
        pytest.skip("needs torch 2.6 to read checkpoints without their checksums")
    refused(name, option, "model_configs.pkl/there", mentions=("model_configs.pkl",))


def test_preprocessing_into_the_references_of_another_voice(work: Path, refused: Callable[..., str]) -> None:
    refused("preprocess.py", "--speed", "1.25", mentions=("tts_data", "1.25", "0.7"))
