"""Programs that tests start in the background, alone or on a cluster of Ray, watch, and end with all that they started."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

STORE_BYTES = 100 << 20
NODE = {"num_cpus": 1, "num_gpus": 0, "object_store_memory": STORE_BYTES, "include_dashboard": False}  # of Ray


@contextmanager
def ray_cluster() -> Iterator[Any]:
    """A cluster of Ray on this machine, of a head that computes nothing; skips the test where Ray is not installed."""
    pytest.importorskip("ray", reason="Ray is not installed")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "num_cpus": 0})
    try:
        yield cluster
    finally:
        cluster.shutdown()


def add_node(cluster: Any) -> Any:
    """Add a node, with a folder of its own for the code that travels, as on a machine of its own.

    Otherwise nodes on one machine share that folder: what one has no more use for is deleted under the others.
    """
    number = sum(1 for _ in Path(cluster.head_node.get_session_dir_path()).glob("code_*"))
    return cluster.add_node(**{**NODE, "runtime_env_dir_name": f"code_{number}"})


def session(leader: int) -> list[int]:
    """The processes of a session that still run."""
    listed = subprocess.run(["pgrep", "-s", str(leader)], capture_output=True, text=True, check=False)
    return [int(pid) for pid in listed.stdout.split()]


Start = Callable[..., "subprocess.Popen[str]"]


@contextmanager
def starting(folder: Path, program: list[str], environment: Mapping[str, str]) -> Iterator[Start]:
    """Gives what starts `program` (arguments of Python's) in `folder` with further arguments, in a session of its own.

    Whatever still runs at the end is killed.
    """
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: object) -> subprocess.Popen[str]:
        surroundings = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", **environment}
        with open(folder / "output.log", "w") as log:
            process = subprocess.Popen(
                [sys.executable, *program, *map(str, arguments)],
                cwd=folder, env=surroundings, stdout=log, stderr=log, text=True, start_new_session=True,
            )  # fmt: skip
        started.append(process)
        return process

    try:
        yield start
    finally:
        for process in started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def output(folder: Path) -> str:
    """What the program printed that was started last there."""
    return (folder / "output.log").read_text()


def wait_for(condition: Callable[[], object], folder: Path, seconds: float = 300) -> None:
    """Wait as long as a loaded machine needs, where a process takes minutes to start."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, output(folder)
        time.sleep(0.05)
