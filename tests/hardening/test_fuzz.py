"""A short version of `make fuzz`: damaged files are read or refused, whatever the damage.

Run: .venv/bin/python -m pytest tests/hardening/test_fuzz.py
"""

import contextlib
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from models.ensemble.checkpoint import load_checkpoint
from models.errors import InputError
from tools import fuzz_places
from tools.fuzz import (
    ALL_KINDS,
    FOLDERS,
    KINDS,
    MARK,
    change_bytes,
    fuzz,
    make_checkpoint,
    payloads_that_do_not_run,
    run_kind,
    spoilt_folders,
)
from tools.fuzz_payloads import run_freely


@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="limits memory by what /proc tells")
@pytest.mark.parametrize("kind", ALL_KINDS)
def test_damaged_files_are_read_or_refused(kind: str) -> None:
    cases = 400 if kind in KINDS else 120
    code, printed = run_kind(kind, cases, 1)
    assert code == 0, printed
    assert f"{kind}: {cases} damaged" in printed


@pytest.mark.parametrize("case", [1892, 3059, 3693, 4126])
def test_damage_that_broke_torchs_unpickler(case: int, tmp_path: Path) -> None:
    """It raised an IndexError."""
    (path,) = make_checkpoint(tmp_path)
    path.write_bytes(change_bytes(path.read_bytes(), np.random.default_rng([0, case])))
    with pytest.raises(InputError, match=path.name):
        load_checkpoint(path)


def test_what_goes_wrong_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path) -> None:
        raise [ValueError("oh"), InputError("nothing is named")][len(path.read_bytes()) % 2]

    make, change, _ = KINDS["configurations"]
    monkeypatch.setitem(KINDS, "configurations", (make, change, fail))
    accepted, wrong = fuzz("configurations", 20, 0, tmp_path)
    assert accepted == 0
    assert len(wrong) == 20
    assert {line.split(": ")[1] for line in wrong} == {"ValueError", "names no file"}


# The fuzzer's own teeth


def test_every_payload_runs_where_files_are_trusted(tmp_path: Path) -> None:
    assert payloads_that_do_not_run(tmp_path) == []


def test_payloads_still_run_inside_of_the_files(tmp_path: Path) -> None:
    """Read by someone who trusts them. Some ask for too much memory or are no pickles of torch's; most leave their mark."""
    marks = 0
    for case in range(40):
        folder = tmp_path / str(case)
        folder.mkdir()
        FOLDERS["payloads"](folder, np.random.default_rng([5, case]))
        (path,) = folder.iterdir()
        if b"the payload ran" in path.read_bytes():  # and not a hostile size
            with contextlib.suppress(Exception):
                run_freely(path)
        marks += (folder / MARK).is_dir()
    assert marks > 20


def test_a_payload_that_runs_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load_freely(path: Path, sha256: str) -> object:
        return torch.load(path, weights_only=False)

    monkeypatch.setattr("tools.fuzz_payloads.load_checkpoint", load_freely)
    _, wrong = fuzz("payloads", 20, 0, tmp_path)
    assert sum("the payload ran" in line for line in wrong) > 8


def test_what_comes_from_outside_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(fuzz_places, "clip_paths", lambda folder, names: [folder / name for name in names])
        for kind in ("paths", "links"):
            assert any("ReadOutside" in line for line in fuzz(kind, 30, 0, tmp_path)[1]), kind
    monkeypatch.setattr("models.speech.references.refuse_foreign", lambda paths: None)
    monkeypatch.setattr("models.inference.published.refuse_foreign", lambda paths: None)
    monkeypatch.setattr("models.packing.archive.refuse_foreign", lambda paths: None)
    assert any("ReadOutside" in line for line in fuzz("references", 40, 0, tmp_path)[1])


@pytest.mark.parametrize("kind", FOLDERS)
def test_the_same_seed_makes_the_same_folders(kind: str, tmp_path: Path) -> None:
    def look() -> list[dict[str, str]]:
        return [
            {str(path.relative_to(name)): content(path) for path in sorted(Path(name).rglob("*"))}
            for name, _ in spoilt_folders(kind, 15, 3, tmp_path)
        ]

    def content(path: Path) -> str:
        if path.is_symlink():
            return os.readlink(path)
        return path.read_bytes().hex() if path.is_file() and path.stat().st_size < 10**6 else str(path.lstat().st_mode)

    first = look()
    assert look() == first
    assert len({str(folder) for folder in first}) > 10
