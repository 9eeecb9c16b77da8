"""How fast is every step, beside a plain implementation of the same? How does cost grow? Prints tables in Markdown.

Ours and the plain one (`benchmarks/plain.py`) take turns within one run; medians over the turns. Clips are noise in FLAC
with the lengths of children's sentences, or those of --data_dir. Weights are random.
"""

import argparse
import functools
import itertools
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from benchmarks.growth import growth_table
from benchmarks.material import (
    SIZES,
    Clips,
    architecture_of,
    as_process,
    in_turn,
    made_clips,
    member_of,
    read_clips,
    recipe_of,
)
from benchmarks.plain import PlainNetwork, PlainSamples, plain_scores, plain_step, plain_weights
from benchmarks.simulate_ensemble import made_table, simulate
from models.base.cli import positive, run
from models.base.compute import HALF_TYPES, resolve_device, resolve_precision
from models.clips.dataset import ComparisonDataset, EpochShuffle
from models.clips.tables import clip_paths, scalars, utterances
from models.ensemble.blend import fit_weights
from models.ensemble.metrics import sigmoid
from models.ensemble.rebuild import rebuild_network
from models.inference.scoring import Member, score_clips
from models.network.build import network_settings
from models.network.comparison import ComparisonNetwork, parameter_groups
from models.network.encoder import encoder_frames

STEP_CLIPS = 16
TRAINING_CLIPS = 38_095
PARTS = ("samples", "loader", "inference", "training", "weights", "checks", "growth")
Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Setting:
    """What is measured, and where."""

    clips: Clips
    size: str
    turns: int
    device: torch.device
    processes: int = 2

    @property
    def loaders(self) -> int:
        """Processes that load during inference: beside a GPU, which would wait for one; on a CPU, threads are counted."""
        return self.processes if self.device.type == "cuda" else 0

    @property
    def precision(self) -> str:
        return resolve_precision("auto", self.device)

    def plain_data(self, augment: str = "none") -> PlainSamples:
        references = [self.clips.reference_files[said] for said in utterances(self.clips.table)]
        return PlainSamples(references, clip_paths(self.clips.data_dir, self.clips.table["filename"]), augment)

    def plain_network(self, member: Member, checkpointing: bool = False) -> PlainNetwork:
        """With the same weights."""
        network = PlainNetwork(architecture_of(self.size), checkpointing)
        network.load_state_dict(rebuild_network(member.checkpoint).state_dict())
        return network.to(self.device)


def line(what: str, seconds: tuple[float, float], per: int, unit: str = "ms") -> str:
    """A row of the table: ours, plain, ratio."""
    ours, plain = (value * {"ms": 1000, "s": 1}[unit] / per for value in seconds)
    return f"| {what} | {ours:.1f} {unit} | {plain:.1f} {unit} | {plain / ours:.1f} × |"


def read_all(data: ComparisonDataset | PlainSamples) -> None:
    for row in range(len(data)):
        data[row]


def time_samples(setting: Setting) -> list[str]:
    """Loading, augmentation and features, per sample, in one process."""
    lines = []
    for what, augment in (("both sides augmented", "both"), ("response augmented", "response"), ("as it is", "none")):
        ours, plain = setting.clips.dataset(recipe_of(augment=augment)), setting.plain_data(augment)
        found = in_turn(functools.partial(read_all, ours), functools.partial(read_all, plain), setting.turns)
        lines.append(line(f"sample, {what}", found, len(setting.clips.table)))
    return lines


def time_loader(setting: Setting) -> list[str]:
    """Batches of augmented samples from several processes, per sample."""

    def through(data: ComparisonDataset | PlainSamples, collate: Callable[..., object] | None) -> Callable[[], None]:
        loader = DataLoader(
            data, STEP_CLIPS, num_workers=setting.processes, collate_fn=collate, persistent_workers=True, drop_last=True
        )
        return lambda: [None for _ in loader].clear()

    ours = setting.clips.dataset(recipe_of(augment="both"))
    found = in_turn(through(ours, ours.collate), through(setting.plain_data("both"), None), setting.turns)
    return [
        line(f"sample, both sides augmented, {setting.processes} loading processes", found, len(setting.clips.table))
    ]


def time_inference(setting: Setting) -> list[str]:
    """From files to scores, per clip, and how far the scores lie apart."""
    table, device = setting.clips.table, setting.device
    member = member_of(setting.size, recipe_of())
    fixed = member_of(setting.size, recipe_of(padding="fixed"))
    network, data = setting.plain_network(member).eval(), setting.plain_data()
    scalar_values = torch.from_numpy(scalars(table))
    plain = functools.partial(plain_scores, network, data, scalar_values, STEP_CLIPS, setting.loaders)

    def ours(own: Member, precision: str) -> np.ndarray:
        return score_clips(
            [own], table, setting.clips.data_dir, setting.clips.references, device, precision, setting.loaders
        )

    expected = plain().numpy()
    lines = []
    for what, own, precision in (
        ("padded to 16 s, float32", fixed, "fp32"),
        ("float32", member, "fp32"),
        (setting.precision, member, setting.precision),
    ):
        found = in_turn(functools.partial(ours, own, precision), plain, setting.turns)
        lines.append(line(f"inference, whisper-{setting.size}'s size, {what}", found, len(table)))
    apart = np.abs(ours(fixed, "fp32") - expected).max()
    half = np.abs(ours(member, setting.precision) - ours(member, "fp32")).max()
    return [
        *lines,
        f"| largest difference: padded to 16 s and plain; {setting.precision} and float32 | {apart:.1g}; {half:.1g} | | |",
    ]


def time_training(setting: Setting) -> list[str]:
    """Optimiser steps on features that lie ready, per sample, and the share of the device's matrix rate in them."""
    member, device = member_of(setting.size, recipe_of()), setting.device
    network = rebuild_network(member.checkpoint, device).train()
    optimizer = torch.optim.AdamW(parameter_groups(network, member.checkpoint.recipe), lr=1e-5, fused=True)
    data, plain_data = setting.clips.dataset(recipe_of()), setting.plain_data()
    lengths = [data[row]["log_mel"].shape[1] for row in range(len(data))]
    order = np.array(list(EpochShuffle(lengths, STEP_CLIPS, 0))).reshape(-1, STEP_CLIPS)
    batches = [_to(data.collate([data[row] for row in rows]), device) for rows in order]
    plain_network = setting.plain_network(member, checkpointing=True).train()
    plain_optimizer = torch.optim.AdamW(plain_network.parameters(), lr=1e-5)
    plain_batches = [
        (torch.stack([plain_data[row] for row in rows]).to(device), batch["scalars"], batch["labels"])
        for rows, batch in zip(order, batches, strict=True)
    ]
    plain_type = torch.float16 if device.type == "cuda" else torch.bfloat16  # fp16 has no fast arithmetic on a CPU

    def ours() -> None:
        for batch in batches:
            our_step(network, optimizer, batch, setting.precision, device)
        _wait(device)

    def plain() -> None:
        for batch in plain_batches:
            plain_step(plain_network, plain_optimizer, batch, plain_type)
        _wait(device)

    found = in_turn(ours, plain, setting.turns)
    work = 3 * sum(encoder_operations(setting.size, lengths[row]) for row in order.ravel())
    rates = [matrix_rate(device, dtype) for dtype in (HALF_TYPES.get(setting.precision, torch.float32), plain_type)]
    plain_work = 3 * order.size * encoder_operations(setting.size, data.max_frames)
    shares = [done / seconds / rate for done, seconds, rate in zip((work, plain_work), found, rates, strict=True)]
    return [
        line(f"training step, whisper-{setting.size}'s size, {setting.precision}", found, order.size),
        f"| the encoder's share of the matrix rate, {rates[0] / 1e9:.0f} GFLOP/s | {shares[0]:.0%} | {shares[1]:.0%} | |",
        *_gpu_memory(device),
    ]


def our_step(
    network: ComparisonNetwork, optimizer: torch.optim.Optimizer, batch: Batch, precision: str, device: torch.device
) -> None:
    """As the Trainer makes it."""
    with torch.autocast(device.type, HALF_TYPES.get(precision), enabled=precision != "fp32"):
        loss = network(**batch)["loss"]
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()


def encoder_operations(size: str, n_frames: int) -> float:
    """Floating-point operations of an encoder's products on one clip of so many spectrogram frames, forwards."""
    width, layers, _ = SIZES[size]
    frames = encoder_frames(n_frames)
    layer = 2 * 12 * width**2 * frames + 4 * frames**2 * width
    return layers * layer + 2 * 3 * width * (80 * n_frames + width * frames)


def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Floating-point operations per second in a large matrix product."""
    n = 8192 if device.type == "cuda" else 2048
    left, right = (torch.randn(n, n, device=device, dtype=dtype) for _ in range(2))

    def multiply() -> None:
        left @ right
        _wait(device)

    seconds, _ = in_turn(multiply, lambda: None, 5)
    return 2 * n**3 / seconds


def _to(batch: Batch, device: torch.device) -> Batch:
    return {name: value.to(device) for name, value in batch.items()}


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def _gpu_memory(device: torch.device) -> list[str]:
    if device.type != "cuda":
        return []
    return [f"| peak memory of both | {torch.cuda.max_memory_allocated() / 2**30:.1f} GB | | |"]


def time_weights(setting: Setting) -> list[str]:
    """The weights of 10 models on the real number of training clips."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, TRAINING_CLIPS).astype(np.float64)
    shared = rng.normal(0, 1.2, (len(labels), 1))
    predictions = sigmoid(2.2 * (2 * labels[:, None] - 1) + shared + rng.normal(0, 1.0, (len(labels), 10)))
    found = in_turn(lambda: fit_weights(labels, predictions), lambda: plain_weights(labels, predictions), setting.turns)
    return [line(f"ensemble weights, 10 × {TRAINING_CLIPS:,}", found, 1)]


def time_check(setting: Setting, folder: Path) -> list[str]:
    """check_models.py and get_config.py on 60 checkpoints, as processes."""
    checkpoint = member_of(setting.size, recipe_of()).checkpoint
    settings = network_settings(rebuild_network(checkpoint))
    simulate(folder, made_table(TRAINING_CLIPS), checkpoint.weights, settings)
    gigabytes = sum(path.stat().st_size for path in folder.iterdir()) / 2**30
    config = ["get_config.py", "--assets_dir", folder, "--output", folder / "model_configs.pkl"]
    lines = []
    for what, ours in (("check_models.py", ["check_models.py", "--assets_dir", folder]), ("get_config.py", config)):
        _, seconds, memory = as_process(ours)
        _, plain_seconds, plain_memory = as_process(["benchmarks/plain.py", folder])
        what = f"{what}, 60 checkpoints of {gigabytes:.1f} GB; plain: log loss per fold alone"
        lines.append(line(what, (seconds, plain_seconds), 1, "s"))
        lines.append(f"| its peak memory | {memory:.1f} GB | {plain_memory:.1f} GB | {plain_memory / memory:.1f} × |")
    return lines


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", type=Path, help="take clips from this training set, references from --tts_dir")
    parser.add_argument("--tts_dir", type=Path, default=Path("tts_data"), help="(default: %(default)s)")
    parser.add_argument("--clips", type=positive, default=64, help="at least 16 (default: %(default)s)")
    parser.add_argument("--turns", type=positive, default=5, help="(default: %(default)s)")
    parser.add_argument("--size", choices=SIZES, default="tiny", help="of the encoder (default: %(default)s)")
    parser.add_argument("--threads", type=positive, default=1, help="of torch (default: %(default)s)")
    parser.add_argument("--processes", type=positive, default=2, help="that load (default: %(default)s)")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="measure these alone (default: all)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    parser.add_argument("--shrink", type=positive, default=1, help="measure growth with so many times fewer clips")
    return parser.parse_args()


def main() -> None:
    options = parse_arguments()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.data_dir is None:
            clips = made_clips(folder, options.clips)
        else:
            clips = read_clips(options.data_dir, options.tts_dir, folder, options.clips)
        setting = Setting(clips, options.size, options.turns, resolve_device(options.device), options.processes)
        print(
            f"{options.clips} clips of {clips.mean_seconds:.1f} s with their references; {setting.device}, "
            f"threads of torch: {options.threads}; medians of {options.turns} turns\n"
        )
        parts: dict[str, Callable[[], list[str]]] = {
            "samples": lambda: time_samples(setting),
            "loader": lambda: time_loader(setting),
            "inference": lambda: time_inference(setting),
            "training": lambda: time_training(setting),
            "weights": lambda: time_weights(setting),
            "checks": lambda: time_check(setting, folder / "assets"),
        }
        print("| | ours | plain | ratio |\n|---|---|---|---|")
        for text in itertools.chain.from_iterable(part() for name, part in parts.items() if name in options.only):
            print(text, flush=True)
    if "growth" in options.only:
        print("\n" + "\n".join(growth_table("nano", options.shrink)))


if __name__ == "__main__":
    run(main)
