"""Shared by the tests: tiny encoders, fabricated audio and small data folders, all made here. Run: make test"""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

os.environ["HF_HUB_OFFLINE"] = "1"  # read when transformers is imported; no test needs the network

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
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
            (f"{part}{index}.wav", task, text, ("KG", "1", "2", "3")[index // 2 % 4], float(index % 2), f"s{index % 6}")
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
