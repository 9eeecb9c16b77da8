"""What the benchmarks work on: clips, recipes, checkpoints of random weights, and how they measure."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile
import torch

from models.clips.dataset import ComparisonDataset
from models.clips.features import frames_for_seconds
from models.clips.tables import clip_paths, read_training_table, utterances
from models.ensemble.checkpoint import Checkpoint, OutOfFold
from models.inference.scoring import Member
from models.network.build import make_network, network_settings
from models.network.comparison import ComparisonNetwork, half_weights
from models.network.encoder import build_encoder
from models.network.pretrained import pretrained_network
from models.network.whisper import WhisperEncoder
from models.recipe import Recipe
from models.speech.audio import SAMPLE_RATE_HZ, Waveform, write_wav
from models.speech.references import References

ROOT = Path(__file__).resolve().parent.parent
MAX_SECONDS = 16.0
SIZES = {
    "nano": (64, 2, 2),
    "tiny": (384, 4, 6),
    "base": (512, 6, 8),
    "small": (768, 12, 12),
    "medium": (1024, 24, 16),
}  # width, layers, heads


@dataclass(frozen=True)
class Clips:
    """A table, its audio, and the reference of each text, as waveform and as file."""

    table: pd.DataFrame
    data_dir: Path
    references: dict[str, Waveform]
    reference_files: dict[str, Path]

    def seconds(self) -> list[float]:
        """Of each response and its reference together."""
        responses = [soundfile.info(path).duration for path in clip_paths(self.data_dir, self.table["filename"])]
        references = [len(self.references[text]) / SAMPLE_RATE_HZ for text in utterances(self.table)]
        return [sum(both) for both in zip(responses, references, strict=True)]

    @property
    def mean_seconds(self) -> float:
        return float(np.mean(self.seconds()))

    def dataset(self, recipe: Recipe) -> ComparisonDataset:
        frames = frames_for_seconds(MAX_SECONDS)
        return ComparisonDataset(
            *(self.table, self.data_dir, self.references, 80, frames, recipe.augment),
            layout=recipe.layout,
            padding=recipe.padding,
        )


def made_clips(folder: Path, n_clips: int, seconds: float = 5.8) -> Clips:
    """Noise that swells and fades like syllables, in FLAC; so many seconds on average, with a reference of 2/5 of them."""
    rng = np.random.default_rng(0)
    rows, references = [], {}
    for index in range(n_clips):
        text = f"text {index}"
        references[text] = noise(0.4 * seconds * float(rng.gamma(9, 1 / 9)), rng)
        response = noise(0.6 * seconds * float(rng.gamma(9, 1 / 9)), rng)
        soundfile.write(folder / f"{index}.flac", response, SAMPLE_RATE_HZ, subtype="PCM_16")
        rows.append((f"{index}.flac", "sentence_repetition", text, "KG", float(rng.integers(2))))
    table = pd.DataFrame(rows, columns=["filename", "task", "expected_text", "grade", "score"])
    return Clips(table, folder, references, _reference_files(folder, references))


def read_clips(data_dir: Path, tts_dir: Path, folder: Path, n_clips: int) -> Clips:
    """Some of a training set's, with the references that were spoken for it."""
    table = read_training_table(data_dir).sample(n_clips, random_state=0).reset_index(drop=True)
    references = dict(References(tts_dir).load(utterances(table)))
    return Clips(table, data_dir, references, _reference_files(folder, references))


def noise(seconds: float, rng: np.random.Generator) -> Waveform:
    """Noise that swells and fades like syllables, of what is left of so many seconds."""
    n_samples = round(min(max(seconds, 0.5), MAX_SECONDS / 2 - 0.1) * SAMPLE_RATE_HZ)
    swell = np.sin(np.arange(n_samples) * (np.pi * 4 / SAMPLE_RATE_HZ)) ** 2
    return (rng.standard_normal(n_samples) * swell * 0.1).astype(np.float32)


def _reference_files(folder: Path, references: dict[str, Waveform]) -> dict[str, Path]:
    files = {text: folder / "references" / f"{index}.wav" for index, text in enumerate(references)}
    for text, path in files.items():
        write_wav(path, references[text])
    return files


def recipe_of(**changes: Any) -> Recipe:
    """Mean pooling, a linear head, no dropout, no augmentation, unless said otherwise."""
    settings = {"pooling": "mean", "dropout": 0.0, "augment": "none", "seed": 0, "data_seed": 0, **changes}
    return Recipe(name="timed", encoder="random", **settings)


def architecture_of(size: str) -> dict[str, Any]:
    """An encoder's, as a checkpoint states it."""
    width, layers, heads = SIZES[size]
    return {
        "d_model": width, "encoder_layers": layers, "encoder_attention_heads": heads, "encoder_ffn_dim": 4 * width,
        "num_mel_bins": 80, "max_source_positions": round(50 * MAX_SECONDS), "activation_function": "gelu", "dropout": 0.0,
        "attention_dropout": 0.0, "activation_dropout": 0.0, "encoder_layerdrop": 0.0, "scale_embedding": False,
    }  # fmt: skip


def member_of(size: str, recipe: Recipe, seed: int = 0) -> Member:
    """A checkpoint of random weights, as a member of an ensemble."""
    torch.manual_seed(seed)
    return _as_member(make_network(_draw(build_encoder(architecture_of(size))), recipe), recipe)


def pretrained_member(source: str, recipe: Recipe) -> Member:
    """The same with the weights of a Whisper: hub id or folder. Its head is untrained."""
    torch.manual_seed(0)
    return _as_member(pretrained_network(replace(recipe, encoder=source)), recipe)


def _as_member(network: ComparisonNetwork, recipe: Recipe) -> Member:
    empty = OutOfFold([], [], [], np.zeros(0), np.zeros(0))
    checkpoint = Checkpoint(
        recipe=recipe, fold=0, n_folds=1, weights=half_weights(network), encoder=network_settings(network), oof=empty,
        voice={}, data_fingerprint="", options={}, history=[], versions={},
    )  # fmt: skip
    return Member(checkpoint, recipe.batch_size, 1.0)


def _draw(encoder: WhisperEncoder) -> WhisperEncoder:
    """Small random weights, as a Whisper starts with; torch's own are so large that roundings grow through the layers."""
    for name, weight in encoder.named_parameters():
        if weight.ndim > 1:
            torch.nn.init.normal_(weight, std=0.02)
        elif name.endswith("bias"):
            torch.nn.init.zeros_(weight)
    return encoder


def in_turn(*actions: Callable[[], object], turns: int) -> list[float]:
    """Median seconds of each; the first turn of each warms up and does not count."""
    seconds: list[list[float]] = [[] for _ in actions]
    for turn in range(turns + 1):
        for action, found in zip(actions, seconds, strict=True):
            started = time.perf_counter()
            action()
            if turn:
                found.append(time.perf_counter() - started)
    return [statistics.median(found) for found in seconds]


# A process's peak memory counts what its parent held when it started it, so a small one stands between.
_BETWEEN = """
import json, resource, subprocess, sys, time
started = time.perf_counter()
done = subprocess.run([sys.executable, *sys.argv[1:]], capture_output=True, text=True)
seconds = time.perf_counter() - started
peak_kb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(json.dumps([done.returncode, done.stdout, done.stderr, seconds, peak_kb]))
"""


def as_process(command: Sequence[object]) -> tuple[str, float, float]:
    """Run a Python script in a process of its own: what it printed, seconds, peak memory in GB.

    raises : RuntimeError where it did not end well
    """
    between = [sys.executable, "-c", _BETWEEN, *map(str, command)]
    finished = subprocess.run(between, cwd=ROOT, capture_output=True, text=True, check=True)
    code, printed, complaint, seconds, peak_kb = json.loads(finished.stdout)
    if code not in (0, 1) or "Traceback" in complaint:  # check_models.py ends with 1 where it advises to train again
        raise RuntimeError(f"{command[0]} ended with {code}: {complaint[-500:]}")
    return printed, seconds, peak_kb / 2**20
