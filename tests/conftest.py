"""Shared by the tests: tiny encoders, fabricated audio and small data folders, all made here. Run: make test"""

import csv
import hashlib
import os
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

os.environ["HF_HUB_OFFLINE"] = "1"  # read when transformers is imported; no test needs the network

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
TRAIN, INFER = "train_model2s.py", "infer.py"
TEXTS = {
    "deletion": ("old", "eat", "lap"),
    "blending": ("cat", "fox", "desk"),
    "nonword_repetition": ("teevog", "huhmeyf", "kerbohfim"),
    "sentence_repetition": ("we like to play", "she has a red hat", "it is cold"),
}


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Tiny networks gain nothing from threads, and tests run side by side."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def encoder_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Whisper of width 16 with a decoder, as a hub repository would hold it."""
    from transformers import WhisperConfig, WhisperForConditionalGeneration, set_seed

    set_seed(0)
    config = WhisperConfig(
        vocab_size=64,
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


def write_part(folder: Path, part: str, n_clips: int, rng: np.random.Generator) -> None:
    rows = []
    for index in range(n_clips):
        task = list(TEXTS)[index % 4]
        text = TEXTS[task][index // 4 % 3]
        rows.append(
            (
                f"{part}{index}.wav",
                task,
                text,
                ("KG", "1", "2", "3")[index // 2 % 4],
                float(index % 2),
                f"s{index // 2 % 6}",
            )
        )
        soundfile.write(folder / rows[-1][0], tone(0.3, 200 + 50 * index, rng), 16000)
    table = pd.DataFrame(rows, columns=["filename", "task", "expected_text", "grade", "score", "speaker"])
    table = table.sample(frac=1, random_state=1)
    table[["filename", "task", "expected_text", "grade"]].to_csv(folder / f"{part}_metadata.csv", index=False)
    table[["filename", "score"]].to_csv(folder / f"{part}_labels.csv", index=False)
    table[["filename", "speaker"]].to_csv(folder / f"{part}_source.csv", index=False)
    if part == "test":
        table[["filename"]].sample(frac=1, random_state=2).assign(score=0.5).to_csv(
            folder / "submission_format.csv", index=False
        )


def tone(seconds: float, frequency_hz: float, rng: np.random.Generator) -> np.ndarray:
    """A tone in noise, float32 at 16 kHz."""
    times = np.arange(int(seconds * 16000)) / 16000
    return (0.3 * np.sin(2 * np.pi * frequency_hz * times) + 0.01 * rng.standard_normal(len(times))).astype(np.float32)


@dataclass(frozen=True)
class Outcome:
    code: int
    output: str
    error: str


Script = Callable[..., Outcome]


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, encoder_dir: Path) -> Path:
    """A folder in which everything is right: data, references, two checkpoints and their configuration."""
    from simulate import priors, trained_checkpoint

    from models.base.files import sha256_of_file
    from models.ensemble.checkpoint import save_checkpoint
    from models.ensemble.config import EnsembleConfig, ModelEntry, write_config
    from models.speech.references import read_identity

    folder = tmp_path_factory.mktemp("prepared")
    (folder / "data").mkdir()
    for part, n_clips in (("train", 24), ("test", 8)):
        write_part(folder / "data", part, n_clips, np.random.default_rng(0))
    command = [sys.executable, str(ROOT / "preprocess.py"), "--jobs", "1"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    shutil.copytree(encoder_dir, folder / "encoder")
    voice, sha256 = read_identity(folder / "tts_data"), []
    paths = [folder / "assets" / f"model2s_{fold}.pth" for fold in range(2)]
    for fold, path in enumerate(paths):
        save_checkpoint(path, replace(trained_checkpoint(encoder_dir, fold=fold), voice=voice, n_folds=2))
        sha256.append(sha256_of_file(path))
    names = [path.relative_to(folder).as_posix() for path in paths]
    entry = ModelEntry("model2s", 1.0, names, [0, 1], sha256, max_seconds=4.0, batch_size=4)
    write_config(folder / "model_configs.pkl", EnsembleConfig(2, voice, "data", priors(), [entry]))
    return folder


@pytest.fixture
def work(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to damage, and the current folder."""
    folder = tmp_path / "work"
    shutil.copytree(prepared, folder)
    monkeypatch.chdir(folder)
    return folder


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


TRAINING = "--n_folds 2 --encoder encoder --epochs 1 --max_seconds 4 --batch_size 4 --num_workers 0".split()


@pytest.fixture
def refused(script: Script, monkeypatch: pytest.MonkeyPatch, work: Path) -> Callable[..., str]:
    """Run a script that must stop with exit code 1 before it trains or scores, with nothing written; returns its message."""

    def long_work(*_: object, **__: object) -> None:
        pytest.fail("the long work has begun")

    def call(name: str, *arguments: object, mentions: tuple[object, ...] = ()) -> str:
        monkeypatch.setattr("models.training.fold.FoldTrainer.train", long_work)
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


def snapshot(folder: Path) -> dict[str, str]:
    """Every file and folder, with a checksum of its content."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in folder.rglob("*")
    }


def read_rows(file: Path) -> list[list[str]]:
    with open(file, newline="", encoding="utf-8") as stream:
        return list(csv.reader(stream))


def write_rows(file: Path, rows: list[list[str]]) -> None:
    with open(file, "w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, lineterminator="\n").writerows(rows)


def set_cell(file: Path, row: int, column: str, value: str) -> None:
    rows = read_rows(file)
    rows[row - 1][rows[0].index(column)] = value
    write_rows(file, rows)


def set_line(file: Path, row: int, line: str) -> None:
    lines = file.read_text(encoding="utf-8").splitlines()
    lines[row - 1] = line
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
