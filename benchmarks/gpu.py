"""What a GPU is kept waiting for: one script for a machine with one card, five minutes, prints JSON.

    python benchmarks/gpu.py > gpu.json

Of whisper-small's and -medium's size, random weights, features that lie ready, clips of children's lengths:

- a training step as it is (bf16 under autocast), with lengths rounded up to a few buckets, and as one CUDA graph for each bucket:
  milliseconds, the GPU's own share of them (sum of its kernels, by the profiler), peak memory, and the loss of the first steps,
  which must be the same but for rounding (torch.compile gained nothing here: docs/experiments.md);
- the same step by several processes at once;
- inference of batches sorted by length: milliseconds a clip, and the share of the rate of a large matrix product;
- samples that loading processes make in a second, which must be more than training takes.

What a card or a version of torch can't do is told as `error`, and the rest goes on.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from benchmarks.material import MAX_SECONDS, made_clips, member_of, recipe_of
from benchmarks.setting import STEP_CLIPS
from benchmarks.training import encoder_operations, matrix_rate
from models.base.cli import positive, run
from models.base.compute import resolve_device
from models.clips.features import frames_for_seconds
from models.ensemble.rebuild import rebuild_network
from models.network.comparison import ComparisonNetwork, parameter_groups

SCORED_CLIPS = 48  # in a batch of inference
BUCKET_FRAMES = 160  # lengths are rounded up to multiples: ten of 16 s
BATCHES = 24  # of different lengths, again and again
COMPARED_STEPS = 8  # whose losses are told
LOADED_CLIPS = 512
Batch = dict[str, Tensor]
Step = Callable[[Batch], Tensor]


def made_batches(device: torch.device, size: int, bucket: int = 1) -> list[Batch]:
    """Features of clips of a gamma distribution of lengths around 6 s, of similar length in each batch."""
    rng = np.random.default_rng(0)
    most = frames_for_seconds(MAX_SECONDS)
    lengths = np.sort((600 * rng.gamma(9, 1 / 9, BATCHES * size)).astype(int).clip(100, most)).reshape(BATCHES, size)
    torch.manual_seed(0)
    found = []
    for own in lengths[rng.permutation(BATCHES)]:
        n_frames = min(-(-int(own.max()) // bucket) * bucket, most)
        features = torch.randn(size, 80, most)[..., :n_frames]  # the same whatever the bucket
        found.append(
            {
                "log_mel": features,
                "frames": torch.from_numpy(own),
                "scalars": torch.rand(size, 2),
                "labels": torch.from_numpy(rng.integers(0, 2, size).astype(np.float32)),
            }
        )
    return [{name: value.to(device) for name, value in batch.items()} for batch in found]


def new_training(size: str, device: torch.device) -> tuple[ComparisonNetwork, torch.optim.Optimizer]:
    member = member_of(size, recipe_of())
    network = rebuild_network(member.checkpoint, device).train()
    groups = parameter_groups(network, member.checkpoint.recipe)
    return network, torch.optim.AdamW(groups, lr=1e-5, fused=True, capturable=device.type == "cuda")


def ordinary_step(network: nn.Module, optimizer: torch.optim.Optimizer, device: torch.device) -> Step:
    """As the Trainer makes it."""

    def step(batch: Batch) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16):
            loss = network(**batch)["loss"]
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        return loss.detach()

    return step


@contextmanager
def undone(network: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """What steps do to weights and to the optimiser's state is taken back."""
    before = [parameter.detach().clone() for parameter in network.parameters()]
    kept = {key: {name: value.clone() for name, value in state.items()} for key, state in optimizer.state.items()}
    yield
    with torch.no_grad():
        for parameter, value in zip(network.parameters(), before, strict=True):
            parameter.copy_(value)
        for key, state in optimizer.state.items():
            for name, value in state.items():
                value.copy_(kept[key][name]) if key in kept else value.zero_()


def graphed_step(network: nn.Module, optimizer: torch.optim.Optimizer, device: torch.device) -> Step:
    """The whole step is captured once for each shape, and replayed (CUDA graphs, torch's notes on CUDA semantics)."""
    graphs: dict[tuple[int, ...], tuple[torch.cuda.CUDAGraph, Batch, Tensor]] = {}
    pool = torch.cuda.graph_pool_handle()

    def forward_and_back(batch: Batch) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, cache_enabled=False):
            loss = network(**batch)["loss"]
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0, foreach=True)
        optimizer.step()
        return loss.detach()

    def capture(batch: Batch) -> tuple[torch.cuda.CUDAGraph, Batch, Tensor]:
        held = {name: value.clone() for name, value in batch.items()}
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream), undone(network, optimizer):  # warms libraries up, which a capture must not do
            optimizer.zero_grad(set_to_none=True)
            forward_and_back(held)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        optimizer.zero_grad(set_to_none=True)
        with torch.cuda.graph(graph, pool=pool):
            loss = forward_and_back(held)
        return graph, held, loss

    def step(batch: Batch) -> Tensor:
        shape = tuple(batch["log_mel"].shape)
        if shape not in graphs:
            graphs[shape] = capture(batch)
        graph, held, loss = graphs[shape]
        for name, value in batch.items():
            held[name].copy_(value)
        graph.replay()
        return loss.clone()

    return step


VARIANTS: dict[str, tuple[Callable[..., Step], int]] = {
    "as it is": (ordinary_step, 1),
    "lengths in buckets": (ordinary_step, BUCKET_FRAMES),
    "CUDA graphs, in buckets": (graphed_step, BUCKET_FRAMES),
}


def measure_step(size: str, variant: str, device: torch.device, seconds: float) -> dict[str, Any]:
    """Every shape is met once before the clock runs."""
    make, bucket = VARIANTS[variant]
    batches = made_batches(device, STEP_CLIPS, bucket)
    network, optimizer = new_training(size, device)
    step = make(network, optimizer, device)
    began = time.perf_counter()
    losses = [float(step(batch)) for batch in batches[:COMPARED_STEPS]]
    for batch in batches[COMPARED_STEPS:] if device.type == "cuda" else ():
        step(batch)
    wait(device)
    prepared = time.perf_counter() - began
    milliseconds = 1000 * time_through(step, batches, device, seconds)
    kernels = 1000 * kernel_seconds(step, batches, device) if device.type == "cuda" else None
    return {
        "ms_per_step": round(milliseconds, 2),
        "gpu_ms_per_step": None if kernels is None else round(kernels, 2),
        "gpu_share": None if kernels is None else round(kernels / milliseconds, 3),
        "first_seconds": round(prepared, 1),
        "first_losses": [round(loss, 5) for loss in losses],
        "peak_gb": peak_gb(device),
    }


def time_through(step: Step, batches: Sequence[Batch], device: torch.device, seconds: float) -> float:
    """Median seconds of a step over whole turns through the batches, for about so many seconds."""
    found, began = [], time.perf_counter()
    while not found or time.perf_counter() - began < seconds:
        start = time.perf_counter()
        for batch in batches:
            step(batch)
        wait(device)
        found.append((time.perf_counter() - start) / len(batches))
    return float(np.median(found))


def kernel_seconds(step: Step, batches: Sequence[Batch], device: torch.device) -> float:
    """What the GPU itself works in a step, on average."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
        for batch in batches:
            step(batch)
        wait(device)
    microseconds = sum(event.self_device_time_total for event in profiler.key_averages())
    return float(microseconds) / 1e6 / len(batches)


def measure_inference(size: str, device: torch.device, seconds: float) -> dict[str, Any]:
    checkpoint = member_of(size, recipe_of()).checkpoint
    network = rebuild_network(checkpoint, device).eval()
    network.lower_precision(torch.bfloat16)
    batches = made_batches(device, SCORED_CLIPS)

    @torch.inference_mode()
    def step(batch: Batch) -> Tensor:
        return network(**{name: value for name, value in batch.items() if name != "labels"})["logits"]

    step(batches[0])
    taken = time_through(step, batches, device, seconds) / SCORED_CLIPS
    lengths = torch.cat([batch["frames"] for batch in batches]).tolist()
    operations = float(np.mean([encoder_operations(checkpoint.encoder, length) for length in lengths]))
    rate = matrix_rate(device, torch.bfloat16)
    return {
        "ms_per_clip": round(1000 * taken, 3),
        "tflops": round(operations / taken / 1e12, 1),
        "share_of_matrix_rate": round(operations / taken / rate, 3),
        "matrix_tflops": round(rate / 1e12, 1),
        "hours_of_38095_clips_by_30": round(38_095 * 30 * taken / 3600, 2),
        "peak_gb": peak_gb(device),
    }


def measure_loading(processes: int) -> dict[str, Any]:
    """Augmented samples from files, by loading processes."""
    with tempfile.TemporaryDirectory() as folder:
        data = made_clips(Path(folder), LOADED_CLIPS).dataset(recipe_of(augment="both"))
        loader = DataLoader(
            data, STEP_CLIPS, num_workers=processes, collate_fn=data.collate, persistent_workers=processes > 0
        )
        for _ in loader:  # starts them
            pass
        start = time.perf_counter()
        n_clips = sum(len(batch["labels"]) for batch in loader)
        return {"processes": processes, "samples_per_second": round(n_clips / (time.perf_counter() - start))}


def side_by_side(size: str, processes: int, options: argparse.Namespace) -> dict[str, Any]:
    """Steps of several trainings at once, each as it is: what they do together in the time of one step."""
    command = [sys.executable, __file__, "--only", "step", "--sizes", size, "--variants", "as it is"]
    command += ["--device", options.device, "--seconds", str(options.seconds)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(processes)]
    told = [json.loads(process.communicate()[0]) for process in running]
    each = [one["sizes"][size]["step"]["as it is"]["ms_per_step"] for one in told]
    return {
        "processes": processes,
        "ms_per_step_of_each": each,
        "ms_per_step": round(1 / sum(1 / ms for ms in each), 2),
    }


def peak_gb(device: torch.device) -> float | None:
    return round(torch.cuda.max_memory_allocated() / 2**30, 2) if device.type == "cuda" else None


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def attempt(measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What can't be done here is told, and costs nothing else."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    try:
        return measure()
    except Exception as error:  # each library has its own
        return {"error": f"{type(error).__name__}: {str(error).strip().splitlines()[:1]}"}


def of_size(size: str, device: torch.device, options: argparse.Namespace) -> Iterator[tuple[str, Any]]:
    if "step" in options.only:
        yield (
            "step",
            {
                name: attempt(lambda name=name: measure_step(size, name, device, options.seconds))
                for name in options.variants
            },
        )
    if "inference" in options.only:
        yield "inference", attempt(lambda: measure_inference(size, device, options.seconds))
    if "together" in options.only:
        yield "together", [attempt(lambda n=n: side_by_side(size, n, options)) for n in options.together]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = ("step", "inference", "together", "loading")
    parser.add_argument("--sizes", nargs="+", default=["small", "medium"], help="(default: %(default)s)")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), help="(default: all)")
    parser.add_argument("--only", nargs="+", choices=parts, default=parts, help="(default: all)")
    parser.add_argument("--together", nargs="+", type=positive, default=[2, 3], help="trainings (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement (default: %(default)s)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    options = parser.parse_args()
    device = resolve_device(options.device)
    told: dict[str, Any] = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "torch": torch.__version__,
        "cores": os.cpu_count(),
        "sizes": {size: dict(of_size(size, device, options)) for size in options.sizes},
    }
    if "loading" in options.only:
        told["loading"] = attempt(lambda: measure_loading(max(1, (os.cpu_count() or 2) - 2)))
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    run(main)
