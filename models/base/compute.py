"""Which device computes, in which number format, and in how many threads."""

import ctypes
import gc
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

from models.base.processes import local_rank
from models.errors import InputError

Item = TypeVar("Item")
Result = TypeVar("Result")

HALF_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}

# oneDNN keeps the kernels and buffers of the last 1024 convolutions, and what torch has above it those of the last 1024 products
# of matrices in bf16, each for one length of a batch: gigabytes, and hardly ever used again. These are more than a step of one
# network needs. Read when torch first computes such a thing.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "32")
os.environ.setdefault("LRU_CACHE_CAPACITY", "128")


def resolve_device(name: str) -> torch.device:
    """auto, cpu, cuda or cuda:N to a device that is there. Under torchrun, `auto` is the process's own GPU."""
    if name == "auto":
        if not torch.cuda.is_available():
            return torch.device("cpu")
        return torch.device("cuda", local_rank())
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"--device {name}: must be auto, cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise InputError(f"--device {name}: must be auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(
            f"--device {name}: this machine has {torch.cuda.device_count()} GPUs that torch can use; try --device auto"
        )
    return device


def resolve_precision(precision: str, device: torch.device) -> str:
    """auto to bf16, fp16 or fp32. bf16 keeps float32's range, so no loss scaling can go wrong: it comes first."""
    if precision == "fp16" and device.type == "cpu":
        raise InputError("--precision fp16: not for the CPU; use fp32 or bf16")
    if precision != "auto":
        return precision
    if device.type == "cpu":
        return "bf16" if bfloat16_is_fast() else "fp32"
    return "bf16" if torch.cuda.is_bf16_supported() else "fp16"


def bfloat16_is_fast() -> bool:
    """Whether the processor multiplies bfloat16 in hardware, as far as this version of torch can tell."""
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return supported is not None and bool(supported())


def compute_each(work: Callable[[Item], Result], items: Sequence[Item], device: torch.device) -> list[Result]:
    """What `work` gives for each item, in order, without gradients.

    On a CPU each item has one thread, and there are as many at a time as torch has threads: several threads in one small batch
    wait for each other after every step. Where there are fewer items than threads, each has them all, in turn.
    """
    work = torch.inference_mode()(work)
    threads = torch.get_num_threads()
    if device.type != "cpu" or not 1 < threads <= len(items):
        return [work(item) for item in items]
    torch.set_num_threads(1)  # of threads that begin from now on, too
    try:
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(work, items))
    finally:
        torch.set_num_threads(threads)


def settle_before_forking() -> None:
    """Make this process small before others are started as copies of it, which would hold for good what it has in use then.

    What is free goes back to the system, and the garbage collector leaves alone all that is there: it writes into each object
    that it looks at, and what one of the processes has written into they share no longer.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    release_freed()


def release_freed() -> None:
    """Give memory that is free back to the system, where the C library is glibc; elsewhere nothing happens."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
