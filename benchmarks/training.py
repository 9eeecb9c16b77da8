"""Optimiser steps of a joint network on features that lie ready, and the share of the device's matrix rate in them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.material import in_turn, recipe_of
from benchmarks.plain import plain_step
from benchmarks.rows import Row, timed
from benchmarks.setting import STEP_CLIPS, Setting
from models.base.compute import HALF_TYPES
from models.clips.dataset import EpochShuffle
from models.ensemble.rebuild import rebuild_network
from models.inference.scoring import Member
from models.network.comparison import ComparisonNetwork, parameter_groups
from models.network.encoder import encoder_frames

Batch = dict[str, Tensor]
PlainBatch = tuple[Tensor, Tensor, Tensor]


def time_training(setting: Setting) -> list[Row]:
    """Per sample."""
    member, device = setting.member(), setting.device
    encoder = member.checkpoint.encoder
    data = setting.clips.dataset(recipe_of())
    lengths = [data[row]["log_mel"].shape[1] for row in range(len(data))]
    order = np.array(list(EpochShuffle(lengths, STEP_CLIPS, 0))).reshape(-1, STEP_CLIPS)
    batches = [_to(data.collate([data[row] for row in rows]), device) for rows in order]
    plain_batches = _plain_batches(setting, order, batches)
    plain_type = torch.float16 if device.type == "cuda" else torch.bfloat16  # fp16 has no fast arithmetic on a CPU
    found = in_turn(
        OurTraining(setting, member, batches),
        PlainTraining(setting, member, plain_batches, plain_type),
        turns=setting.turns,
    )
    rates = [matrix_rate(device, dtype) for dtype in (HALF_TYPES.get(setting.precision, torch.float32), plain_type)]
    work = 3 * sum(encoder_operations(encoder, lengths[row]) for row in order.ravel())
    plain_work = 3 * order.size * encoder_operations(encoder, data.max_frames)
    shares = [done / seconds / rate for done, seconds, rate in zip((work, plain_work), found, rates, strict=True)]
    return [
        timed("training", f"training step, {setting.weights}, {setting.precision}", found, order.size),
        Row("training", "the encoder's share of the matrix rate", *shares, "share"),
        Row("training", "the matrix rate", *(rate / 1e9 for rate in rates), "GFLOP/s"),
        *_gpu_memory(device),
    ]


class OurTraining:
    """A call makes a step on each batch, as the Trainer does."""

    def __init__(self, setting: Setting, member: Member, batches: Sequence[Batch]) -> None:
        self.network = rebuild_network(member.checkpoint, setting.device).train()
        groups = parameter_groups(self.network, member.checkpoint.recipe)
        self.optimizer = torch.optim.AdamW(groups, lr=1e-5, fused=True)
        self.batches, self.precision, self.device = batches, setting.precision, setting.device

    def __call__(self) -> None:
        for batch in self.batches:
            our_step(self.network, self.optimizer, batch, self.precision, self.device)
        _wait(self.device)


class PlainTraining:
    """The same with transformers' network, which computes activations anew to save memory, and autocast in `dtype`."""

    def __init__(self, setting: Setting, member: Member, batches: Sequence[PlainBatch], dtype: torch.dtype) -> None:
        self.network = setting.plain_network(member, checkpointing=True).train()
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=1e-5)
        self.batches, self.dtype, self.device = batches, dtype, setting.device

    def __call__(self) -> None:
        for batch in self.batches:
            plain_step(self.network, self.optimizer, batch, self.dtype)
        _wait(self.device)


def our_step(
    network: ComparisonNetwork, optimizer: torch.optim.Optimizer, batch: Batch, precision: str, device: torch.device
) -> None:
    with torch.autocast(device.type, HALF_TYPES.get(precision), enabled=precision != "fp32"):
        loss = network(**batch)["loss"]
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()


def encoder_operations(architecture: Mapping[str, Any], n_frames: int) -> float:
    """Floating-point operations of an encoder's products on one clip of so many spectrogram frames, forwards."""
    width, layers = architecture["d_model"], architecture["encoder_layers"]
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

    (seconds,) = in_turn(multiply, turns=5)
    return 2 * n**3 / seconds


def _plain_batches(setting: Setting, order: np.ndarray, batches: Sequence[Batch]) -> list[PlainBatch]:
    data = setting.plain_data()
    return [
        (torch.stack([data[row] for row in rows]).to(setting.device), batch["scalars"], batch["labels"])
        for rows, batch in zip(order, batches, strict=True)
    ]


def _to(batch: Batch, device: torch.device) -> Batch:
    return {name: value.to(device) for name, value in batch.items()}


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def _gpu_memory(device: torch.device) -> list[Row]:
    if device.type != "cuda":
        return []
    return [Row("training", "peak memory of both", torch.cuda.max_memory_allocated() / 2**30, None, "GB")]
