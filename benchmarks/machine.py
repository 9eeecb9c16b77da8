"""On what something was measured: processor, GPU, versions, commit, how busy the machine was."""

import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.material import ROOT
from models.base.compute import bfloat16_is_fast

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Machine:
    """What ratios are compared on.

    Attributes
    ----------
    cores
        That this process may use.
    bf16
        Whether the processor multiplies bfloat16 in hardware.
    gpu
        The name of the one that is measured, or "".
    """

    processor: str
    cores: int
    bf16: bool
    gpu: str

    def __str__(self) -> str:
        parts = [self.processor, f"{self.cores} cores", "bf16" if self.bf16 else "no bf16", self.gpu]
        return ", ".join(part for part in parts if part)


def this_machine(device: torch.device) -> Machine:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    return Machine(processor_name(), cores, bfloat16_is_fast(), gpu)


def processor_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """What the processor calls itself; its architecture where it says nothing."""
    lines = cpuinfo.read_text(errors="replace").splitlines() if cpuinfo.is_file() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(filter(None, [*named, platform.processor(), platform.machine()]), UNKNOWN)


def commit(root: Path = ROOT) -> str:
    """As `git describe` names it; UNKNOWN where the project is no repository."""
    command = ["git", "--git-dir", ".git", "--work-tree", ".", "describe", "--always", "--tags", "--dirty"]
    try:
        return subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return UNKNOWN


def load() -> float | None:
    """Processes that wanted a core in the last minute, on average; None where the system doesn't tell."""
    return round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None
