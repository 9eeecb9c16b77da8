"""Checkpoints and the ensemble's configuration: what goes in comes out, and nothing else is let in.

Run: .venv/bin/python -m pytest tests/ensemble/test_checkpoint.py
"""

import pickle
import pickletools
import zipfile
from dataclasses import asdict, replace
from pathlib import Path
from pickletools import (
    TAKEN_FROM_ARGUMENT1,
    TAKEN_FROM_ARGUMENT4,
    TAKEN_FROM_ARGUMENT4U,
    TAKEN_FROM_ARGUMENT8U,
    UP_TO_NEWLINE,
)

import numpy as np
import pytest
import torch
from fakes import VOICE, Payload, checkpoints, priors, trained_checkpoint

from models.base.files import replace_when_done, sha256_of_file
from models.ensemble.checkpoint import CHECKPOINT_FORMAT, load_checkpoint, save_checkpoint
from models.ensemble.config import (
    _PLAIN_OPCODES,
    EnsembleConfig,
    ModelEntry,
    config_bytes,
    read_config,
    relative_path,
    write_config,
)
from models.ensemble.rebuild import check_weights, rebuild_network
from models.errors import InputError


def test_round_trip(encoder_dir: Path, tmp_path: Path) -> None:
    saved = trained_checkpoint(encoder_dir)
    save_checkpoint(tmp_path / "model2s_0.pth", saved)
    found = load_checkpoint(tmp_path / "model2s_0.pth", sha256_of_file(tmp_path / "model2s_0.pth"))
    for field in (
        "recipe",
        "fold",
        "n_folds",
        "encoder",
        "voice",
        "data_fingerprint",
        "options",
        "history",
        "versions",
    ):
        assert getattr(found, field) == getattr(saved, field), field
    assert found.oof.filenames == saved.oof.filenames
    np.testing.assert_array_equal(found.oof.predictions, saved.oof.predictions)
    assert {name: tensor.dtype for name, tensor in found.weights.items()} == dict.fromkeys(saved.weights, torch.float16)
    log_mel, scalars = torch.randn(2, 80, 400), torch.rand(2, 2)
    with torch.no_grad():
        expected = rebuild_network(saved)(log_mel, scalars)["logits"]
        torch.testing.assert_close(rebuild_network(found)(log_mel, scalars)["logits"], expected, atol=0, rtol=0)


def test_file_is_plain(encoder_dir: Path, tmp_path: Path) -> None:
    """Anyone can read it with torch alone, and nothing in it is code."""
    save_checkpoint(tmp_path / "a.pth", trained_checkpoint(encoder_dir))
    content = torch.load(tmp_path / "a.pth", weights_only=True)
    assert content["format"] == CHECKPOINT_FORMAT
    assert content["recipe"]["name"] == "model2s"
    assert all(tensor.dtype == torch.float16 for tensor in content["weights"].values())


def test_weights_that_are_not_finite_are_not_saved(encoder_dir: Path, tmp_path: Path) -> None:
    checkpoint = trained_checkpoint(encoder_dir)
    checkpoint.weights["head.0.bias"].fill_(float("inf"))
    with pytest.raises(InputError, match=r"head\.0\.bias"):
        save_checkpoint(tmp_path / "a.pth", checkpoint)
    assert not list(tmp_path.iterdir())


def test_a_pickle_with_a_payload_is_refused_and_does_not_run(tmp_path: Path) -> None:
    for index, write in enumerate((torch.save, lambda value, path: path.write_bytes(pickle.dumps(value)))):
        path, marker = tmp_path / f"{index}.pth", tmp_path / f"ran{index}"
        write({"format": CHECKPOINT_FORMAT, "weights": Payload(marker)}, path)
        with pytest.raises(InputError, match=path.name):
            load_checkpoint(path)
        assert not marker.exists()
    torch.load(tmp_path / "0.pth", weights_only=False)
    assert (tmp_path / "ran0").exists()  # the payload works, so the check above could have failed


def test_damaged_and_foreign_files_are_refused(encoder_dir: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    save_checkpoint(path, trained_checkpoint(encoder_dir))
    whole = path.read_bytes()
    content = torch.load(path, weights_only=True)
    for damaged in (whole[:-100], whole[: len(whole) // 2], b"", b"\x00" * 1000, whole[100:]):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"a\.pth"):
            load_checkpoint(path)
    for foreign in (
        {"weights": {}},
        [1, 2],
        {**content, "format": "other"},
        {**content, "oof": {}},
        {**content, "recipe": {}},
    ):
        torch.save(foreign, path)
        with pytest.raises(InputError, match=r"a\.pth"):
            load_checkpoint(path)
    with pytest.raises(InputError, match=r"b\.pth"):
        load_checkpoint(tmp_path / "b.pth")


def test_a_compressed_checkpoint_is_refused(tmp_path: Path) -> None:
    """A few megabytes of it could fill the memory, and torch itself reads it."""
    path, small = tmp_path / "a.pth", tmp_path / "small.pth"
    save_checkpoint(path, checkpoints()[0])
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(small, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    assert torch.load(small, weights_only=True)["format"] == CHECKPOINT_FORMAT
    with pytest.raises(InputError, match=r"small\.pth.*compressed"):
        load_checkpoint(small, sha256_of_file(small))


def test_torchscript_is_refused_before_torch_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.pth"
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), path)
    monkeypatch.setattr(torch, "load", lambda *arguments, **more: pytest.fail("torch reads it"))
    with pytest.raises(InputError, match=r"a\.pth.*TorchScript"):
        load_checkpoint(path, sha256_of_file(path))


@pytest.mark.parametrize(
    "encoder", [{}, {"d_model": "x"}, {"d_model": -1}, {"d_model": 10**30}, {"num_mel_bins": None}], ids=str
)
def test_an_encoder_that_can_not_be_built(encoder: dict[str, object], encoder_dir: Path, tmp_path: Path) -> None:
    sound = trained_checkpoint(encoder_dir)
    settings = {**sound.encoder, **encoder} if encoder else {}
    with pytest.raises(InputError, match=r"model2s_0\.pth"):
        check_weights(replace(sound, encoder=settings))


def test_another_checksum_is_refused_before_the_file_is_read(tmp_path: Path) -> None:
    path, marker = tmp_path / "a.pth", tmp_path / "ran"
    torch.save(Payload(marker), path)
    with pytest.raises(InputError, match="checksum"):
        load_checkpoint(path, "0" * 64)
    assert not marker.exists()


def test_old_torch_needs_the_checksum(encoder_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.pth"
    save_checkpoint(path, trained_checkpoint(encoder_dir))
    monkeypatch.setattr(torch, "__version__", "2.4.1+cu121")
    with pytest.raises(InputError, match="checksum"):
        load_checkpoint(path)
    assert load_checkpoint(path, sha256_of_file(path)).fold == 0


def test_files_appear_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file.txt"
    with replace_when_done(target) as temporary:
        temporary.write_text("old")

    def die_halfway() -> None:
        with replace_when_done(target) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        die_halfway()
    assert target.read_text() == "old"
    assert [path.name for path in target.parent.iterdir()] == ["file.txt"]


def config() -> EnsembleConfig:
    entry = ModelEntry("model2s", 1.0, ["assets/model2s_0.pth"], [0], ["0" * 64], 16.0, 8)
    return EnsembleConfig(6, VOICE, "data", priors(), [entry])


def test_configuration_round_trip_of_plain_values(tmp_path: Path) -> None:
    path = tmp_path / "model_configs.pkl"
    write_config(path, config())
    assert read_config(path) == config()
    assert asdict(config())["models"][0] == pickle.loads(path.read_bytes())["models"][0]
    assert relative_path(tmp_path / "assets" / "x.pth", tmp_path / "model_configs.pkl") == "assets/x.pth"


def test_a_configuration_with_a_payload_is_refused_and_does_not_run(tmp_path: Path) -> None:
    path, marker = tmp_path / "model_configs.pkl", tmp_path / "ran"
    path.write_bytes(pickle.dumps({"models": Payload(marker)}))
    with pytest.raises(InputError, match="refused"):
        read_config(path)
    assert not marker.exists()


@pytest.mark.parametrize("protocol", [4, 5])
def test_a_configuration_of_every_protocol_that_has_no_numbered_memo_is_read(protocol: int, tmp_path: Path) -> None:
    content = {"format": "speech-text-comparison ensemble 1", **asdict(config())}
    (tmp_path / "c.pkl").write_bytes(pickle.dumps(content, protocol=protocol))
    assert read_config(tmp_path / "c.pkl") == config()


def minimal(opcode: pickletools.OpcodeInfo) -> bytes:
    """The opcode with the shortest argument that it may have."""
    lines = {"stringnl": b"''\n", "stringnl_noescape_pair": b"os\nmkdir\n"}
    sizes = {TAKEN_FROM_ARGUMENT1: 1, TAKEN_FROM_ARGUMENT4: 4, TAKEN_FROM_ARGUMENT4U: 4, TAKEN_FROM_ARGUMENT8U: 8}
    code = opcode.code.encode("latin-1")
    if opcode.arg is None:
        return code
    if opcode.arg.n == UP_TO_NEWLINE:
        return code + lines.get(opcode.arg.name, b"0\n")
    return code + bytes(sizes.get(opcode.arg.n, opcode.arg.n))


REFUSED_OPCODES = [opcode for opcode in pickletools.opcodes if opcode.name not in _PLAIN_OPCODES]


@pytest.mark.parametrize("opcode", REFUSED_OPCODES, ids=lambda opcode: opcode.name)
def test_an_opcode_that_plain_values_do_not_need_is_refused(opcode: pickletools.OpcodeInfo, tmp_path: Path) -> None:
    """Wherever it stands, and before anything is loaded: of a known extension code the unpickler asks nobody."""
    sound = config_bytes(config())
    for content in (sound[:2] + minimal(opcode) + sound[2:], sound[:-1] + minimal(opcode) + sound[-1:]):
        (tmp_path / "c.pkl").write_bytes(content)
        with pytest.raises(InputError, match=rf"c\.pkl: refused: it holds the opcode {opcode.name},"):
            read_config(tmp_path / "c.pkl")


def test_no_opcode_that_calls_or_looks_up_is_plain() -> None:
    """By the standard library's own description: what such an opcode leaves on the stack may be any object."""
    free = {op.name for op in pickletools.opcodes if pickletools.anyobject in op.stack_after}
    assert {"GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "PERSID"} <= free
    assert free & _PLAIN_OPCODES == {"BINGET", "LONG_BINGET", "MEMOIZE"}  # what has been made before


@pytest.mark.slow
@pytest.mark.parametrize(
    "content",
    [b"\x80\x02Nr\xff\xff\xff\xff.", b"\x80\x04" + b"]" * 100_000 + b"a" * 99_999 + b".", b"\x80\x04]\x94h\x00a."],
    ids=["a memo of 64 GB", "a list 100,000 deep", "a list in itself"],
)
def test_small_configurations_that_ask_for_much(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "c.pkl").write_bytes(content)
    with pytest.raises(InputError, match=r"c\.pkl"):
        read_config(tmp_path / "c.pkl")


@pytest.mark.parametrize(
    "voice", [{"engine": [], "speed": 1.0, "source": "s"}, {"engine": "e", "speed": "1", "source": "s"}]
)
def test_a_voice_that_is_no_plain_one(voice: dict[str, object], tmp_path: Path) -> None:
    content = {"format": "speech-text-comparison ensemble 1", **asdict(config()), "voice": voice}
    (tmp_path / "c.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(InputError, match=r"c\.pkl.*voice"):
        read_config(tmp_path / "c.pkl")


@pytest.mark.parametrize(
    "change",
    [
        {"models": []},
        {"models": [asdict(config().models[0]) | {"weight": 0.5}]},
        {"models": [asdict(config().models[0]) | {"weight": float("nan")}]},
        {"models": [asdict(config().models[0]) | {"folds": [0, 1]}]},
        {"models": [asdict(config().models[0]) | {"batch_size": 0}]},
        {"models": [{"name": "model2s"}]},
        {"format": "another"},
        {"unheard_of": 1},
    ],
)
def test_a_configuration_of_wrong_content_is_refused(change: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "model_configs.pkl"
    write_config(path, config())
    path.write_bytes(pickle.dumps(pickle.loads(path.read_bytes()) | change))
    with pytest.raises(InputError, match=r"model_configs\.pkl"):
        read_config(path)


def test_oof_predictions_must_be_whole(tmp_path: Path) -> None:
    """Neither written nor read otherwise."""
    sound, path = checkpoints()[0], tmp_path / "a.pth"
    save_checkpoint(path, sound)
    content = torch.load(path, weights_only=True)
    for predictions in (sound.oof.predictions[:-1], sound.oof.predictions * np.nan):
        path.unlink()
        with pytest.raises(InputError, match="out-of-fold"):
            save_checkpoint(path, replace(sound, oof=replace(sound.oof, predictions=predictions)))
        assert not path.exists()
        torch.save({**content, "oof": {**content["oof"], "predictions": torch.tensor(predictions)}}, path)
        with pytest.raises(InputError, match="out-of-fold"):
            load_checkpoint(path)


def test_the_same_checkpoint_is_the_same_bytes_under_any_name(encoder_dir: Path, tmp_path: Path) -> None:
    """Its checksum tells whether two runs came to the same."""
    for name in ("a.pth", "other.pth"):
        save_checkpoint(tmp_path / name, trained_checkpoint(encoder_dir))
    assert (tmp_path / "a.pth").read_bytes() == (tmp_path / "other.pth").read_bytes()


def test_the_bytes_do_not_tell_where_strings_came_from(encoder_dir: Path, tmp_path: Path) -> None:
    """Options that have travelled through a pickle are saved to the same bytes as those of the command line."""
    checkpoint = replace(trained_checkpoint(encoder_dir), options={"encoder": "elsewhere", "epochs": 2})
    travelled = replace(checkpoint, options=pickle.loads(pickle.dumps(checkpoint.options)))
    for name, item in (("a", checkpoint), ("b", travelled)):
        save_checkpoint(tmp_path / name, item)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
