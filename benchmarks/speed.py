"""How fast is every step, beside a plain implementation of the same? Prints a table in Markdown.

Ours and the plain one (`benchmarks/plain.py`) take turns within one run; medians over the turns. Clips are noise bursts in
FLAC with the lengths of children's sentences, or those of --data_dir. Weights are random.
"""

import argparse
import functools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import torch
from scipy.optimize import minimize
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.plain import PlainNetwork, PlainSamples, plain_step
from models.audio import SAMPLE_RATE_HZ, Waveform, write_wav
from models.build import make_network
from models.checkpoint import Checkpoint, OutOfFold
from models.cli import run
from models.dataset import ComparisonDataset, EpochShuffle
from models.device import HALF_TYPES, resolve_device, resolve_precision
from models.encoder import build_encoder
from models.ensemble import fit_weights
from models.features import frames_for_seconds
from models.inference import Member, score_clips
from models.metrics import log_loss, sigmoid
from models.network import ComparisonNetwork, half_weights, parameter_groups
from models.recipe import Recipe
from models.references import load_references
from models.tables import clip_paths, read_training_table

MAX_SECONDS = 16.0
SIZES = {"tiny": (384, 4, 6), "small": (768, 12, 12), "medium": (1024, 24, 16)}
STEP_CLIPS = 16


@dataclass(frozen=True)
class Clips:
    """A table, its audio, and the reference of each text, as waveform and as file."""

    table: pd.DataFrame
    data_dir: Path
    references: dict[str, Waveform]
    reference_files: dict[str, Path]

    @property
    def mean_seconds(self) -> float:
        """Of response and reference together."""
        lengths = [soundfile.info(path).duration for path in clip_paths(self.data_dir, self.table["filename"])]
        return float(
            np.mean(lengths)
            + np.mean([len(self.references[text]) for text in self.table["expected_text"]]) / SAMPLE_RATE_HZ
        )

    def dataset(self, augment: str, recipe: Recipe) -> ComparisonDataset:
        return ComparisonDataset(
            self.table,
            self.data_dir,
            self.references,
            80,
            frames_for_seconds(MAX_SECONDS),
            augment,
            layout=recipe.layout,
        )

    def plain(self, augment: str) -> PlainSamples:
        references = [self.reference_files[text] for text in self.table["expected_text"]]
        return PlainSamples(references, clip_paths(self.data_dir, self.table["filename"]), augment)


def made_clips(folder: Path, n_clips: int) -> Clips:
    """Noise that swells and fades like syllables; 6.1 s on average with its reference, as in children's sentences."""
    rng = np.random.default_rng(0)
    rows, references = [], {}
    for index in range(n_clips):
        text = f"text {index}"
        references[text] = _noise(float(rng.gamma(9, 0.28)), rng)
        soundfile.write(
            folder / f"{index}.flac", _noise(float(rng.gamma(9, 0.4)), rng), SAMPLE_RATE_HZ, subtype="PCM_16"
        )
        rows.append((f"{index}.flac", "sentence_repetition", text, "KG", float(rng.integers(2))))
    table = pd.DataFrame(rows, columns=["filename", "task", "expected_text", "grade", "score"])
    return Clips(table, folder, references, _reference_files(folder, references))


def read_clips(data_dir: Path, tts_dir: Path, folder: Path, n_clips: int) -> Clips:
    table = read_training_table(data_dir).sample(n_clips, random_state=0).reset_index(drop=True)
    references = dict(load_references(tts_dir, table["expected_text"].tolist()))
    return Clips(table, data_dir, references, _reference_files(folder, references))


def _noise(seconds: float, rng: np.random.Generator) -> Waveform:
    n_samples = round(min(max(seconds, 0.5), 7.5) * SAMPLE_RATE_HZ)
    swell = np.sin(np.arange(n_samples) * (np.pi * 4 / SAMPLE_RATE_HZ)) ** 2
    return (rng.standard_normal(n_samples) * swell * 0.1).astype(np.float32)


def _reference_files(folder: Path, references: dict[str, Waveform]) -> dict[str, Path]:
    files = {text: folder / "references" / f"{index}.wav" for index, text in enumerate(references)}
    for text, path in files.items():
        write_wav(path, references[text])
    return files


def in_turn(ours: Callable[[], object], plain: Callable[[], object], turns: int) -> tuple[float, float]:
    """Median seconds of each; the first turn of each warms up and does not count."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for turn in range(turns + 1):
        for action, found in zip((ours, plain), seconds, strict=True):
            started = time.perf_counter()
            action()
            if turn:
                found.append(time.perf_counter() - started)
    return statistics.median(seconds[0]), statistics.median(seconds[1])


def recipe_of(**changes: object) -> Recipe:
    return Recipe(name="timed", encoder="random", pooling="mean", dropout=0.0, seed=0, data_seed=0, **changes)  # type: ignore[arg-type]


def architecture_of(size: str) -> dict[str, object]:
    """As a checkpoint states it."""
    width, layers, heads = SIZES[size]
    return {
        "d_model": width, "encoder_layers": layers, "encoder_attention_heads": heads, "encoder_ffn_dim": 4 * width,
        "num_mel_bins": 80, "max_source_positions": round(50 * MAX_SECONDS), "activation_function": "gelu", "dropout": 0.0,
        "attention_dropout": 0.0, "activation_dropout": 0.0, "encoder_layerdrop": 0.0, "scale_embedding": False,
    }  # fmt: skip


def plain_architecture(size: str) -> dict[str, object]:
    width, layers, heads = SIZES[size]
    return {
        "d_model": width, "encoder_layers": layers, "encoder_attention_heads": heads, "encoder_ffn_dim": 4 * width,
        "decoder_layers": 0,
    }  # fmt: skip


def line(what: str, ours: float, plain: float, unit: str, scale: float = 1.0) -> str:
    return f"| {what} | {ours * scale:.1f} {unit} | {plain * scale:.1f} {unit} | {plain / ours:.1f} × |"


def read_all(data: ComparisonDataset | PlainSamples) -> None:
    for row in range(len(data)):
        data[row]


def time_samples(clips: Clips, turns: int) -> list[str]:
    """Loading, augmentation and features, per sample."""
    lines = []
    for what, augment in (
        ("both sides augmented", "both"),
        ("response augmented", "response"),
        ("no augmentation", "none"),
    ):
        ours, plain = clips.dataset(augment, recipe_of()), clips.plain(augment)
        found = in_turn(functools.partial(read_all, ours), functools.partial(read_all, plain), turns)
        lines.append(line(f"training sample, {what}", *found, "ms", 1000 / len(clips.table)))
    return lines


def trained_member(size: str, recipe: Recipe) -> Member:
    """A checkpoint of random weights."""
    torch.manual_seed(0)
    network = make_network(build_encoder(architecture_of(size)), recipe)
    empty = OutOfFold([], [], [], np.zeros(0), np.zeros(0))
    checkpoint = Checkpoint(
        recipe=recipe, fold=0, n_folds=1, weights=half_weights(network), encoder=architecture_of(size), oof=empty,
        voice={}, data_fingerprint="", options={}, history=[], versions={},
    )  # fmt: skip
    return Member(checkpoint, recipe.batch_size, 1.0)


def time_inference(clips: Clips, size: str, turns: int, device: torch.device, precision: str) -> list[str]:
    """From files to scores, per clip."""
    plain_data = clips.plain("none")
    torch.manual_seed(0)
    network = PlainNetwork(plain_architecture(size)).to(device).eval()

    @torch.inference_mode()
    def plain() -> None:
        for start in range(0, len(plain_data), STEP_CLIPS):
            rows = range(start, min(start + STEP_CLIPS, len(plain_data)))
            log_mel = torch.stack([plain_data[row] for row in rows]).to(device)
            network(log_mel, torch.zeros(len(rows), 2, device=device)).cpu()

    lines = []
    for what, number_format in (("float32", "fp32"), (precision, precision)):
        member = trained_member(size, recipe_of())

        def ours(member: Member = member, number_format: str = number_format) -> None:
            score_clips([member], clips.table, clips.data_dir, clips.references, device, number_format, 0)

        found = in_turn(ours, plain, turns)
        lines.append(line(f"inference, whisper-{size}'s size, {what}", *found, "ms", 1000 / len(clips.table)))
    return lines


def time_training(clips: Clips, size: str, turns: int, device: torch.device, precision: str) -> list[str]:
    """Optimiser steps on features that lie ready, per sample."""
    recipe = recipe_of()
    torch.manual_seed(0)
    network = make_network(build_encoder(architecture_of(size)), recipe).to(device).train()
    optimizer = torch.optim.AdamW(parameter_groups(network, 1e-3), lr=1e-5, fused=True)
    data, plain_data = clips.dataset("none", recipe), clips.plain("none")
    lengths = [data.frames_read(data[row]) for row in range(len(data))]
    order = list(EpochShuffle(lengths, STEP_CLIPS, 0))
    batches = [
        {name: value.to(device) for name, value in data.collate([data[row] for row in rows]).items()}
        for rows in np.array(order).reshape(-1, STEP_CLIPS)
    ]
    plain_network = PlainNetwork(plain_architecture(size), checkpointing=True).to(device).train()
    plain_optimizer = torch.optim.AdamW(plain_network.parameters(), lr=1e-5)
    plain_batches = [
        (torch.stack([plain_data[row] for row in rows]).to(device), *_answers(clips, rows, device))
        for rows in np.array(order).reshape(-1, STEP_CLIPS)
    ]
    plain_type = torch.float16 if device.type == "cuda" else torch.bfloat16  # fp16 has no fast arithmetic on a CPU

    def ours() -> None:
        for batch in batches:
            our_step(network, optimizer, batch, precision, device)
        _wait(device)

    def plain() -> None:
        for batch in plain_batches:
            plain_step(plain_network, plain_optimizer, batch, plain_type)
        _wait(device)

    found = in_turn(ours, plain, turns)
    return [line(f"training step, whisper-{size}'s size, {precision}", *found, "ms", 1000 / len(order))]


def our_step(
    network: ComparisonNetwork,
    optimizer: torch.optim.Optimizer,
    batch: dict[str, Tensor],
    precision: str,
    device: torch.device,
) -> None:
    with torch.autocast(device.type, HALF_TYPES.get(precision), enabled=precision != "fp32"):
        loss = network(**batch)["loss"]
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()


def _answers(clips: Clips, rows: np.ndarray, device: torch.device) -> tuple[Tensor, Tensor]:
    labels = torch.tensor(clips.table["score"].to_numpy()[rows], dtype=torch.float32)
    return torch.zeros(len(rows), 2, device=device), labels.to(device)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def time_weights(turns: int) -> list[str]:
    """The weights of 10 models on 38,095 clips; plainly: SLSQP with numerical gradients."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 38_095).astype(np.float64)
    shared = rng.normal(0, 1.2, (len(labels), 1))
    predictions = sigmoid(2.2 * (2 * labels[:, None] - 1) + shared + rng.normal(0, 1.0, (len(labels), 10)))

    def plain() -> None:
        minimize(
            lambda weights: log_loss(labels, predictions @ weights), np.full(10, 0.1), method="SLSQP",
            bounds=[(0, 1)] * 10, constraints={"type": "eq", "fun": lambda weights: weights.sum() - 1},
        )  # fmt: skip

    return [
        line(
            "ensemble weights, 10 × 38,095",
            *in_turn(lambda: fit_weights(labels, predictions), plain, turns),
            "ms",
            1000,
        )
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data_dir", type=Path, help="take clips from this training set, with references from --tts_dir"
    )
    parser.add_argument("--tts_dir", type=Path, default=Path("tts_data"))
    parser.add_argument("--clips", type=int, default=64, help="(default: %(default)s)")
    parser.add_argument("--turns", type=int, default=5, help="(default: %(default)s)")
    parser.add_argument("--size", choices=SIZES, default="tiny", help="of the encoder (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="of torch (default: %(default)s)")
    parser.add_argument("--device", default="auto", help="(default: %(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = resolve_device(options.device)
    precision = resolve_precision("auto", device)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clips = (
            made_clips(folder, options.clips)
            if options.data_dir is None
            else read_clips(options.data_dir, options.tts_dir, folder, options.clips)
        )
        print(
            f"{options.clips} clips of {clips.mean_seconds:.1f} s with their references; {device}, {options.threads} threads\n"
        )
        print("| | ours | plain | ratio |\n|---|---|---|---|", flush=True)
        for lines in (
            lambda: time_samples(clips, options.turns),
            lambda: time_inference(clips, options.size, options.turns, device, precision),
            lambda: time_training(clips, options.size, options.turns, device, precision),
            lambda: time_weights(options.turns),
        ):
            print("\n".join(lines()), flush=True)


if __name__ == "__main__":
    run(main)
