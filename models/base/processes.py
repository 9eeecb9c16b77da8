"""The processes of one run: how many there can be, and under torchrun what only one of them does and what all must agree on.

Needs no torch to import.
"""

import multiprocessing
import os
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from models.errors import InputError

T = TypeVar("T")

_PATIENCE = timedelta(seconds=5)
_TORCHRUN = "TORCHELASTIC_RUN_ID"  # set in each process that torchrun starts, and so are these
_OF_TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_WITHOUT_LAUNCHER = {  # what the Trainer's libraries read, and what it says where nobody has started several processes
    "LOCAL_RANK": "-1",
    "WORLD_SIZE": "1",
    "OMPI_COMM_WORLD_SIZE": "1",
    "PMI_SIZE": "1",
    "MV2_COMM_WORLD_SIZE": "1",
}
_SWITCHES = (
    "ACCELERATE_USE_",
    "ACCELERATE_TORCH_DEVICE",
    "ACCELERATE_DYNAMO_BACKEND",
)  # other ways to compute begin so
_OFF = ("", "0", "no", "n", "off", "f", "false")


def under_torchrun() -> bool:
    """Whether torchrun has started this process: then it tells which of how many it is. Others' variables count for nothing."""
    return _TORCHRUN in os.environ and all(name in os.environ for name in _OF_TORCHRUN)


def refuse_other_launchers() -> None:
    """Check that the Trainer, which believes more of the environment, finds there what `under_torchrun` does.

    Raises
    ------
    InputError
        Naming a variable that a launcher has left, or one of a launcher that is not torchrun.
    """
    misleading = [name for name in os.environ if name.startswith(_SWITCHES) and os.environ[name].lower() not in _OFF]
    if not under_torchrun():
        misleading += [name for name, value in _WITHOUT_LAUNCHER.items() if os.environ.get(name, value) != value]
    if misleading:
        name = misleading[0]
        raise InputError(
            f"the environment variable {name} is {os.environ[name]!r}, as a launcher leaves it; take it away (unset {name}), "
            "or start several processes by torchrun"
        )


def is_first_process() -> bool:
    """Whether this process writes and prints for all; a run without torchrun has no other."""
    return _told("RANK", 0) == 0


def local_rank() -> int:
    """Which of the processes on this machine this is."""
    return _told("LOCAL_RANK", 0)


def local_processes() -> int:
    """How many processes of the run share this machine."""
    return _told("LOCAL_WORLD_SIZE", 1)


def all_processes() -> int:
    """How many processes the run has, on all machines."""
    return _told("WORLD_SIZE", 1)


def _told(name: str, alone: int) -> int:
    """A number that torchrun tells, or what it is without."""
    return int(os.environ[name]) if under_torchrun() else alone


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
    if not under_torchrun() or os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
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
