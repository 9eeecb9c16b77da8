"""Scripts that run in the background while a test looks at them: started as a user would, their output in a file."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

STORE_BYTES = 100 << 20
NODE = {"num_cpus": 1, "num_gpus": 0, "object_store_memory": STORE_BYTES, "include_dashboard": False}  # of Ray

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


def wait_for(condition: Callable[[], object], folder: Path, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, output(folder)
        time.sleep(0.05)
