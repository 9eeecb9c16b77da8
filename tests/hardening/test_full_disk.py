"""A disk that is full: a clear error, no traceback, and nothing that was there is changed.

A limit on the size of files stands for the full disk: a write fails half-way in the same manner, with another number.

Run: .venv/bin/python -m pytest tests/hardening/test_full_disk.py
"""

import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fakes import INFER, ROOT, TRAIN, TRAINING, snapshot, trained_checkpoint

from models.ensemble.checkpoint import save_checkpoint

# The script, the largest file in bytes, and what could not be written
CASES = [
    (["preprocess.py"], 4096, "tts_data/"),
    ([TRAIN, *map(str, TRAINING), "--fold", "1"], 20_000, "runs/model2s_1"),
    (["get_config.py"], 100, "model_configs.pkl"),
    ([INFER, "--num_workers", "0"], 50, "submission.csv"),
]


@contextmanager
def full_disk(most_bytes: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(("command", "most_bytes", "mentions"), CASES)
def test_a_script_says_what_it_could_not_write(command: list[str], most_bytes: int, mentions: str, work: Path) -> None:
    next((work / "tts_data").glob("*.wav")).unlink()
    if command[0] != "preprocess.py":
        subprocess.run([sys.executable, str(ROOT / "preprocess.py")], cwd=work, check=True, capture_output=True)
    before = {name: content for name, content in snapshot(work).items() if not name.endswith(".lock")}
    limited = "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2); "
    limited += "sys.argv = sys.argv[2:]; sys.path.insert(0, sys.argv[0].rpartition('/')[0]); "
    limited += "runpy.run_path(sys.argv[0], run_name='__main__')"
    script, *arguments = command
    done = subprocess.run(
        [sys.executable, "-c", limited, str(most_bytes), str(ROOT / script), *arguments],
        cwd=work, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "error: " in done.stderr
    assert mentions in done.stderr
    assert "Traceback" not in done.stderr
    after = snapshot(work)
    assert before.items() <= after.items()
    assert not [name for name in after if name.endswith(".tmp")]


def test_a_checkpoint_is_written_whole_or_not_at_all(encoder_dir: Path, tmp_path: Path) -> None:
    path = tmp_path / "model2s_0.pth"
    save_checkpoint(path, trained_checkpoint(encoder_dir))
    before = path.read_bytes()
    with pytest.raises(OSError, match=r"model2s_0\.pth"), full_disk(10_000):
        save_checkpoint(path, trained_checkpoint(encoder_dir, fold=1))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
