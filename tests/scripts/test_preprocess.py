"""preprocess.py: references for a folder of clips. Run: .venv/bin/python -m pytest tests/scripts/test_preprocess.py"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes import ROOT, SAID, listed_references, times_of_references

from models.speech.references import References, read_identity


@pytest.fixture
def tts_dir(tmp_path: Path) -> Path:
    return tmp_path / "tts_data"


def preprocess(*arguments: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "preprocess.py", *arguments]
    return subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_preprocess_twice(make_data: Callable[..., Path], tts_dir: Path) -> None:
    data_dir = make_data()
    options = ("--data_dir", data_dir, "--tts_dir", tts_dir, "--jobs", "2")
    first = preprocess(*options)
    assert first.returncode == 0, first.stderr
    texts = set(SAID)
    assert set(listed_references(tts_dir)) == texts
    assert read_identity(tts_dir)["speed"] == 0.7
    before = times_of_references(tts_dir)
    assert len(before) == len(texts)
    second = preprocess(*options)
    assert second.returncode == 0, second.stderr
    assert times_of_references(tts_dir) == before
    loaded = References(tts_dir).load(texts)
    assert all(len(waveform) > 1600 for waveform in loaded.values())


@pytest.mark.slow
def test_preprocess_speaks_the_texts_of_test_clips_too(make_data: Callable[..., Path], tts_dir: Path) -> None:
    data_dir = make_data(train=4, test=4)
    metadata = data_dir / "test_metadata.csv"
    metadata.write_text(metadata.read_text().replace(",cat,", ',"well, a new one",'))
    assert preprocess("--data_dir", data_dir, "--tts_dir", tts_dir, "--jobs", "1").returncode == 0
    assert set(listed_references(tts_dir)) == {
        "old",
        "cat",
        "teevog{T IY V AA G}",
        "we like to play",
        "well, a new one",
    }
    metadata.unlink()
    assert preprocess("--data_dir", data_dir, "--tts_dir", tts_dir / "train_only").returncode == 0
    assert set(listed_references(tts_dir / "train_only")) == {"old", "cat", "teevog{T IY V AA G}", "we like to play"}


@pytest.mark.slow
def test_preprocess_help() -> None:
    process = preprocess("--help")
    assert process.returncode == 0
    for option in ("--data_dir", "--tts_dir", "--voice", "--speed", "--jobs", "--speaker_embedding", "--vocoder"):
        assert option in process.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "wrong",
    [("--speed", "9"), ("--voice", "melo"), ("--data_dir", "/no/such/folder")],
    ids=["speed", "voice", "data"],
)
def test_preprocess_fails_with_a_message(make_data: Callable[..., Path], tts_dir: Path, wrong: tuple[str, str]) -> None:
    process = preprocess("--data_dir", make_data(train=4, test=4), "--tts_dir", tts_dir, *wrong, cwd=tts_dir.parent)
    assert process.returncode == 1
    assert process.stderr.startswith("error: ")
    assert "Traceback" not in process.stderr
    assert not tts_dir.exists()
