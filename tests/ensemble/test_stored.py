"""Checkpoints read without torch: the same as with it, and nothing that torch would refuse.

Run: python -m pytest tests/ensemble/test_stored.py
"""

import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import ROOT, Payload, checkpoints, trained_checkpoint

from models.ensemble.checkpoint import (
    CHECKPOINT_FORMAT,
    Checkpoint,
    load_checkpoint,
    load_without_weights,
    save_checkpoint,
)
from models.ensemble.stored import StoredTensor, read_stored
from models.errors import InputError


def test_all_but_the_weights_is_as_torch_reads_it(encoder_dir: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    save_checkpoint(path, trained_checkpoint(encoder_dir))
    found, known = load_without_weights(path), load_checkpoint(path)
    for item in fields(Checkpoint):
        if item.name not in ("weights", "oof"):
            assert getattr(found, item.name) == getattr(known, item.name), item.name
    for name in ("filenames", "tasks", "grades"):
        assert getattr(found.oof, name) == getattr(known.oof, name)
    for name in ("labels", "predictions"):
        own, other = getattr(found.oof, name), getattr(known.oof, name)
        assert own.dtype == other.dtype
        np.testing.assert_array_equal(own, other)


@pytest.mark.parametrize("use", [len, list, dict, lambda weights: weights["w"], lambda weights: "w" in weights])
def test_weights_that_were_not_read_are_not_taken_for_none(use: Callable[[object], object], tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a.pth", checkpoints()[0])
    found = load_without_weights(tmp_path / "a.pth")
    with pytest.raises(RuntimeError, match="without its weights"):
        use(found.weights)
    with pytest.raises(RuntimeError, match="without its weights"):
        save_checkpoint(tmp_path / "b.pth", found)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(6, dtype=torch.float64).reshape(2, 3),
        torch.arange(6, dtype=torch.float16)[2:5],
        torch.tensor(3),
        torch.tensor([True, False]),
        torch.zeros(0),
    ],
    ids=str,
)
def test_tensors_as_torch_wrote_them(tensor: torch.Tensor, tmp_path: Path) -> None:
    torch.save({"a": tensor}, tmp_path / "a.pth")
    found = read_stored(tmp_path / "a.pth")["a"]
    assert isinstance(found, StoredTensor)
    np.testing.assert_array_equal(found.numpy(), tensor.numpy())
    assert found.numpy().dtype == tensor.numpy().dtype


def test_numbers_that_do_not_lie_one_after_the_other_are_refused(tmp_path: Path) -> None:
    torch.save(torch.ones(2, 3).T, tmp_path / "a.pth")
    with pytest.raises(ValueError, match="strides"):
        read_stored(tmp_path / "a.pth").numpy()


def test_the_other_order_of_bytes(tmp_path: Path) -> None:
    """As a machine of IBM's writes it."""
    torch.save(torch.tensor([1.0, 2.0]), tmp_path / "a.pth")
    with zipfile.ZipFile(tmp_path / "a.pth") as source, zipfile.ZipFile(tmp_path / "b.pth", "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith("data/0"):
                content = np.frombuffer(content, "<f4").astype(">f4").tobytes()
            target.writestr(name, b"big" if name.endswith("byteorder") else content)
    np.testing.assert_array_equal(read_stored(tmp_path / "b.pth").numpy(), [1.0, 2.0])


def test_payloads_are_refused_and_do_not_run(tmp_path: Path) -> None:
    path, marker = tmp_path / "a.pth", tmp_path / "ran"
    torch.save({"format": CHECKPOINT_FORMAT, "weights": Payload(marker)}, path)
    with pytest.raises(InputError, match=r"a\.pth"):
        load_without_weights(path)
    assert not marker.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.",
        b"\x80\x02ctorch\nload\n)R.",
        b"\x80\x02\x82\x01.",
        b"\x80\x02(ios\nsystem\n.",
        b"\x80\x02}}b.",
        pickle.dumps(Path("a")),
        b"\x80\x02Nr\xff\xff\xff\xff0.",
    ],
    ids=["a call", "a loader", "an extension code", "an instance", "a state", "another protocol", "a pop"],
)
def test_what_plain_values_do_not_need_is_refused(content: bytes, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.pth", "w") as archive:
        archive.writestr("archive/data.pkl", content)
    with pytest.raises(InputError, match=r"a\.pth"):
        load_without_weights(tmp_path / "a.pth")


def test_numbers_that_are_missing_or_damaged_are_noticed(tmp_path: Path) -> None:
    """Also of weights, which are not read."""
    save_checkpoint(tmp_path / "a.pth", checkpoints()[0])

    def changed(change: Callable[[str, bytes], bytes | None]) -> Path:
        with zipfile.ZipFile(tmp_path / "a.pth") as source, zipfile.ZipFile(tmp_path / "b.pth", "w") as target:
            for name in source.namelist():
                content = change(name, source.read(name))
                if content is not None:
                    target.writestr(name, content)
        return tmp_path / "b.pth"

    members = ("data/0", "data/1", "data/2")  # the weight, labels and predictions
    for member in members:
        for spoilt in (None, b"", b"\0" * 7):
            path = changed(
                lambda name, content, member=member, spoilt=spoilt: spoilt if name.endswith(member) else content
            )
            with pytest.raises(InputError, match=r"b\.pth"):
                load_without_weights(path)
    path = changed(lambda name, content: content)
    assert load_without_weights(path).fold == 0
    whole = bytearray(path.read_bytes())
    whole[whole.index(checkpoints()[0].oof.predictions.tobytes()) + 100] ^= 1
    path.write_bytes(whole)
    with pytest.raises(InputError, match=r"b\.pth"):
        load_without_weights(path)


_LISTS = """
import runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit:
    pass
print("IMPORTED", *sys.modules)
"""


@pytest.mark.slow
def test_get_config_needs_no_torch(tmp_path: Path) -> None:
    """Nor what takes as long."""
    for item in checkpoints():
        save_checkpoint(tmp_path / item.file_name, item)
    command = ["get_config.py", "--assets_dir", str(tmp_path), "--output", str(tmp_path / "c.pkl")]
    found = subprocess.run(
        [sys.executable, "-c", _LISTS, *command], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert (tmp_path / "c.pkl").is_file()
    imported = set(found.stdout.rpartition("IMPORTED")[2].split())
    assert not imported & {"torch", "transformers", "librosa", "numba", "sklearn", "soundfile", "matplotlib"}
