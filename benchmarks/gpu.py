"""How busy a GPU is kept: one script for a machine with one card and 16 cores, two to four minutes, prints JSON.

    python benchmarks/gpu.py > gpu.json

Of whisper-small's and -medium's size, random weights, clips of children's lengths:

- a training step on features that lie ready, as the Trainer makes it (bf16 under autocast) and as CUDA graphs of a few lengths
  (--cuda_graphs): milliseconds, the GPU's own share of them (sum of its kernels, by the profiler), peak memory, and the
  losses of the first steps, which must be the same but for rounding;
- the same step by several processes at once;
- epochs by the Trainer itself, with CUDA graphs, on clips that loading processes augment and on clips that lie ready:
  milliseconds a step in the last epoch, how many of them went by until its batch was there, and how many inside of the step;
- inference of batches sorted by length: milliseconds a clip, and the share of the rate of a large matrix product;
- samples that loading processes make in a second, which must be more than training takes.

What a card or a version of torch can't do is told as `error`, and the rest goes on; each figure is told on the way.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from benchmarks.material import MAX_SECONDS, made_clips, member_of, recipe_of
from benchmarks.setting import STEP_CLIPS
from benchmarks.training import encoder_operations, matrix_rate
from models.base.cli import positive, run
from models.base.compute import resolve_device
from models.clips.dataset import EpochShuffle
from models.clips.features import frames_for_seconds
from models.ensemble.rebuild import rebuild_network
from models.network.comparison import ComparisonNetwork, parameter_groups
from models.training.graphs import GraphedSteps
from models.training.trainer import FoldTrainer

SCORED_CLIPS = 48  # in a batch of inference
BATCHES = 16  # of different lengths, again and again
COMPARED_STEPS = 8  # whose losses are told
EPOCHS = 3  # by the Trainer; the first records
Batch = dict[str, Tensor]
Step = Callable[[Batch], Tensor]


def made_batches(device: torch.device, size: int) -> list[Batch]:
    """Features of clips of a gamma distribution of lengths around 6 s, of similar length in each batch."""
    rng = np.random.default_rng(0)
    most = frames_for_seconds(MAX_SECONDS)
    lengths = np.sort((600 * rng.gamma(9, 1 / 9, BATCHES * size)).astype(int).clip(100, most)).reshape(BATCHES, size)
    torch.manual_seed(0)
    found = []
    for own in lengths[rng.permutation(BATCHES)]:
        found.append(
            {
                "log_mel": torch.randn(size, 80, int(own.max())),
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


def recorded_step(network: ComparisonNetwork, optimizer: torch.optim.Optimizer, device: torch.device) -> Step:
    """As the Trainer makes it with --cuda_graphs."""
    forward_and_back = GraphedSteps(network, torch.bfloat16, frames_for_seconds(MAX_SECONDS))

    def step(batch: Batch) -> Tensor:
        loss = forward_and_back(batch)
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        return loss

    return step


VARIANTS: dict[str, Callable[..., Step]] = {"not recorded": ordinary_step, "CUDA graphs": recorded_step}


def measure_step(size: str, variant: str, device: torch.device, seconds: float) -> dict[str, Any]:
    """Every shape is met once before the clock runs."""
    batches = made_batches(device, STEP_CLIPS)
    network, optimizer = new_training(size, device)
    step = VARIANTS[variant](network, optimizer, device)
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


def measure_epochs(size: str, device: torch.device, n_clips: int, processes: int) -> dict[str, Any]:
    """By the Trainer, on a GPU with CUDA graphs: what the last epoch took.

    Parameters
    ----------
    processes
        That load and augment files; 0: the clips lie ready.
    """
    recipe = recipe_of(augment="both", epochs=EPOCHS, schedule_epochs=EPOCHS)
    times = EpochTimes()
    with tempfile.TemporaryDirectory() as folder:
        clips = made_clips(Path(folder), n_clips)
        data, order = clips.dataset(recipe), EpochShuffle(clips.seconds(), STEP_CLIPS, 0)
        arguments = TrainingArguments(
            output_dir=folder, num_train_epochs=EPOCHS, per_device_train_batch_size=STEP_CLIPS, bf16=True, report_to=[],
            use_cpu=device.type == "cpu", dataloader_num_workers=processes, dataloader_persistent_workers=processes > 0,
            dataloader_pin_memory=device.type == "cuda", save_strategy="no", disable_tqdm=True, remove_unused_columns=False,
            logging_steps=20, logging_nan_inf_filter=False,
        )  # fmt: skip
        network = rebuild_network(member_of(size, recipe).checkpoint, device)
        trainer = FoldTrainer(
            recipe,
            order,
            model=network,
            args=arguments,
            train_dataset=data if processes else [data[row] for row in range(len(data))],
            data_collator=data.collate,
            callbacks=[times],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return {"processes": processes, **times.in_words(len(data) // STEP_CLIPS), "peak_gb": peak_gb(device)}


class EpochTimes(TrainerCallback):  # type: ignore[misc]
    """Where the time of the last epoch went.

    Until a step begins its batch is waited for; inside of it the processor starts what the GPU does, and clips and steps.
    """

    def __init__(self) -> None:
        self._epoch = self._waiting = self._inside = 0.0
        self._began = self._last = 0.0

    def in_words(self, steps: int) -> dict[str, float]:
        told = {
            "ms_per_step": self._epoch,
            "ms_until_batch_is_there": self._waiting,
            "ms_inside_of_step": self._inside,
        }
        return {name: round(1000 * seconds / steps, 2) for name, seconds in told.items()}

    def on_epoch_begin(self, *_: Any, **__: Any) -> None:
        self._waiting = self._inside = 0.0
        self._began = self._last = time.perf_counter()

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self._waiting += self._since_last()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self._inside += self._since_last()

    def on_epoch_end(self, *_: Any, **__: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self._epoch = time.perf_counter() - self._began

    def _since_last(self) -> float:
        before, self._last = self._last, time.perf_counter()
        return self._last - before


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


def measure_loading(n_clips: int, processes: int) -> dict[str, Any]:
    """Augmented samples from files, by loading processes."""
    with tempfile.TemporaryDirectory() as folder:
        data = made_clips(Path(folder), n_clips).dataset(recipe_of(augment="both"))
        loader = DataLoader(
            data, STEP_CLIPS, num_workers=processes, collate_fn=data.collate, persistent_workers=processes > 0
        )
        for _ in loader:  # starts them
            pass
        start = time.perf_counter()
        n_clips = sum(len(batch["labels"]) for batch in loader)
        return {"processes": processes, "samples_per_second": round(n_clips / (time.perf_counter() - start))}


def side_by_side(size: str, variant: str, processes: int, options: argparse.Namespace) -> dict[str, Any]:
    """Steps of several trainings at once: what they do together in the time of one step."""
    command = [sys.executable, __file__, "--only", "step", "--sizes", size, "--variants", variant]
    command += ["--device", options.device, "--seconds", str(options.seconds)]
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for _ in range(processes)
    ]
    told = [json.loads(process.communicate()[0]) for process in running]
    each = [one["sizes"][size]["step"][variant]["ms_per_step"] for one in told]
    return {"ms_per_step_of_each": each, "ms_per_step": round(1 / sum(1 / ms for ms in each), 2)}


def peak_gb(device: torch.device) -> float | None:
    return round(torch.cuda.max_memory_allocated() / 2**30, 2) if device.type == "cuda" else None


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def attempt(name: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What can't be done here is told, and costs nothing else."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    try:
        found = measure()
    except Exception as error:  # each library has its own
        found = {"error": f"{type(error).__name__}: {str(error).strip().splitlines()[:1]}"}
    print(f"{name}: {found}", file=sys.stderr, flush=True)
    return found


def of_size(size: str, device: torch.device, options: argparse.Namespace) -> Iterator[tuple[str, Any]]:
    if "step" in options.only:
        measures = {name: partial(measure_step, size, name, device, options.seconds) for name in options.variants}
        yield "step", {name: attempt(f"{size}, step, {name}", measure) for name, measure in measures.items()}
    if "inference" in options.only:
        yield "inference", attempt(f"{size}, inference", partial(measure_inference, size, device, options.seconds))
    if "epochs" in options.only:
        for what, processes in (("epochs", loaders()), ("epochs of ready clips", 0)):
            measure = partial(measure_epochs, size, device, options.clips, processes)
            yield what, attempt(f"{size}, {what}", measure)
    if "together" in options.only:
        yield (
            "together",
            {
                f"{n} × {name}": attempt(f"{size}, {n} at once, {name}", partial(side_by_side, size, name, n, options))
                for name in options.variants
                for n in options.together
            },
        )


def loaders() -> int:
    """All cores but two, which training needs."""
    return max(1, (os.cpu_count() or 2) - 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = ("step", "inference", "epochs", "together", "loading")
    parser.add_argument("--sizes", nargs="+", default=["small", "medium"], help="(default: %(default)s)")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), help="(default: all)")
    parser.add_argument("--only", nargs="+", choices=parts, default=parts, help="(default: all)")
    parser.add_argument("--together", nargs="+", type=positive, default=[3], help="trainings (default: %(default)s)")
    parser.add_argument("--clips", type=positive, default=1024, help="that are loaded (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement (default: %(default)s)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    options = parser.parse_args()
    device = resolve_device(options.device)
    told: dict[str, Any] = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "torch": torch.__version__,
        "cores": os.cpu_count(),
    }
    if "loading" in options.only:
        told["loading"] = attempt("loading", partial(measure_loading, options.clips, loaders()))
    told["sizes"] = {size: dict(of_size(size, device, options)) for size in options.sizes}
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    run(main)
