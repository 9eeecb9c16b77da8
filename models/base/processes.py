"""The processes of one run: how many there can be, and under torchrun what only one of them does and what all must agree on.

Needs no torch to import.
"""

import multiprocessing
import os
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

T = TypeVar("T")

_PATIENCE = timedelta(seconds=5)


def is_first_process() -> bool:
    """Whether this process writes and prints for all; a run without torchrun has no other."""
    return os.environ.get("RANK", "0") == "0"


def local_processes() -> int:
    """How many processes of the run share this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def possible_processes(wanted: int) -> int:
    """As many as are wanted to share the work; 0, so that this one does it all, where processes can't share memory.

    They need it for each lock. There is none where `/dev/shm` can't be written: on AWS Lambda, in hardened containers.
    """
    try:
        multiprocessing.get_context("spawn").Lock()
    except (OSError, ImportError):
        return 0
    return wanted


def first_decides(make: Callable[[], T]) -> T:
    """What `make` gives in the first process, in every process; the others don't call it, and wait."""
    import torch.distributed as dist

    if not (dist.is_available() and dist.is_initialized()):
        return make()
    values = [make() if dist.get_rank() == 0 else None]
    dist.broadcast_object_list(values, src=0)
    return values[0]  # type: ignore[return-value]


def wait_for_all() -> None:
    """Return when every process of the run has come so far."""
    import torch.distributed as dist

    if dist.is_available() and dist.is_initialized():
        dist.barrier()


def first_to_fail() -> bool:
    """Whether no other process of this run has asked that before: one message is enough, and the first tells the cause.

    The store of torchrun's agent, which outlives the processes, counts.
    """
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return True
    from torch.distributed import TCPStore

    try:
        store = TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False, timeout=_PATIENCE)
        return store.add(f"failed in start {os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", 1) == 1
    except RuntimeError:  # the agent is gone: nobody else can tell
        return True


def leave() -> None:
    """Take leave of the other processes, when all is done."""
    import torch.distributed as dist

    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()
