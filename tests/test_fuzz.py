"""A short version of `make fuzz`: damaged files are read or refused, whatever the damage.

Run: .venv/bin/python -m pytest tests/test_fuzz.py
"""

from pathlib import Path

import numpy as np
import pytest

from models.checkpoint import load_checkpoint
from models.errors import InputError
from tools.fuzz import KINDS, change_bytes, fuzz, make_checkpoint, run_kind


@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="limits memory by what /proc tells")
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_are_read_or_refused(kind: str) -> None:
    code, printed = run_kind(kind, 400, 1)
    assert code == 0, printed
    assert f"{kind}: 400 damaged" in printed


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
