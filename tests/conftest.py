"""Shared by the tests: tiny encoders, fabricated audio and small data folders, all made here. Run: make test"""

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # read when transformers is imported; no test needs the network

import runpy
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fakes import (
    INFER,
    ROOT,
    TRAIN,
    TRAINING,
    Outcome,
    Script,
    jobs_on_tones,
    reference,
    save_tokenizer,
    snapshot,
    write_part,
)
from hypothesis import HealthCheck, settings

from models.training.job import TrainingJob

# What a shell starts in the background ignores Ctrl-C, and so would all that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples in every run, none timed or remembered: a run tells of the code alone. Each overwrites its file in one folder.
settings.register_profile(
    "repeatable",
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("repeatable")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Tiny networks gain nothing from threads, and tests run side by side."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def encoder_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Whisper of width 16 with decoder and tokenizer, as a hub repository would hold it."""
    from transformers import WhisperConfig, WhisperForConditionalGeneration, set_seed

    set_seed(0)
    config = WhisperConfig(
        vocab_size=80,
        d_model=16,
        encoder_layers=2,
        encoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_layers=1,
        decoder_attention_heads=2,
        decoder_ffn_dim=32,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=3,
    )
    folder = tmp_path_factory.mktemp("encoder")
    WhisperForConditionalGeneration(config).save_pretrained(folder)
    save_tokenizer(folder)
    return folder


@pytest.fixture
def make_data(tmp_path: Path) -> Callable[..., Path]:
    """A data folder with tones for answers: `make_data(train=24, test=8)`."""

    def make(train: int = 24, test: int = 8, seed: int = 0) -> Path:
        folder = tmp_path / "data"
        folder.mkdir(exist_ok=True)
        for part, n_clips in (("train", train), ("test", test)):
            write_part(folder, part, n_clips, np.random.default_rng(seed))
        return folder

    return make


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, encoder_dir: Path) -> Path:
    """A folder in which everything is right: data, references, two checkpoints and their configuration."""
    from fakes import use_model

    folder = tmp_path_factory.mktemp("prepared")
    (folder / "data").mkdir()
    for part, n_clips in (("train", 24), ("test", 8)):
        write_part(folder / "data", part, n_clips, np.random.default_rng(0))
    command = [sys.executable, str(ROOT / "preprocess.py"), "--jobs", "1"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    shutil.copytree(encoder_dir, folder / "encoder")
    use_model(folder, encoder_dir, "model2s")
    return folder


@pytest.fixture
def work(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to damage, and the current folder."""
    folder = tmp_path / "work"
    shutil.copytree(prepared, folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def aligned_work(work: Path, encoder_dir: Path) -> Path:
    """The same with two folds of an aligned model, which can be asked where an answer departs from its text."""
    from fakes import use_model

    use_model(work, encoder_dir, "alignmodel")
    return work


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Script:
    """Run a script as `python NAME …` would, but in this process, which has imported torch already."""
    monkeypatch.syspath_prepend(str(ROOT))

    def call(name: str, *arguments: object) -> Outcome:
        usual = {TRAIN: TRAINING, INFER: ["--num_workers", "0"]}.get(name, [])
        monkeypatch.setattr(sys, "argv", [name, *usual, *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(ROOT / name), run_name="__main__")
        code, (output, error) = ended.value.code, capfd.readouterr()
        return Outcome(1, output, f"{error}{code}") if isinstance(code, str) else Outcome(int(code or 0), output, error)

    return call


@pytest.fixture
def refused(script: Script, monkeypatch: pytest.MonkeyPatch, work: Path) -> Callable[..., str]:
    """Run a script that must stop with exit code 1 before it trains or scores, with nothing written; returns its message."""

    def long_work(*_: object, **__: object) -> None:
        pytest.fail("the long work has begun")

    def call(name: str, *arguments: object, mentions: tuple[object, ...] = ()) -> str:
        monkeypatch.setattr("models.training.setup.FoldTrainer.train", long_work)
        monkeypatch.setattr(
            "models.inference.self_corrections.score_clips", long_work
        )  # which calls it by a name of its own
        monkeypatch.setattr("models.inference.scoring.score_clips", long_work)
        before = snapshot(work)
        outcome = script(name, *arguments)
        assert outcome.code == 1, outcome.error
        assert "error: " in outcome.error
        for text in mentions:
            assert str(text) in outcome.error
        assert snapshot(work) == before
        return outcome.error

    return call


@pytest.fixture
def make_job(make_data: Callable[..., Path], encoder_dir: Path, tmp_path: Path) -> Callable[..., TrainingJob]:
    """A job on tones: 24 training and 12 validation clips unless told otherwise."""
    return jobs_on_tones(make_data(train=36), encoder_dir, tmp_path)


@pytest.fixture
def linked(work: Path, tmp_path: Path) -> Path:
    """A reference that is a link to a file elsewhere, by a voice that fits."""
    path = reference(work / "tts_data", "old")
    elsewhere = tmp_path / "elsewhere.wav"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    return path
