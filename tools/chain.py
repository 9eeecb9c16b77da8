"""Run the project's scripts one after the other, showing each command as a user would type it."""

import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def run_commands(commands: Sequence[Sequence[str]]) -> float:
    """Run Python scripts from the project's folder; stops at the first that fails. Returns the minutes that they took."""
    start_seconds = time.monotonic()
    for command in commands:
        print(f"\n$ python {shlex.join(command)}", flush=True)
        finished = subprocess.run([sys.executable, *command], cwd=ROOT, check=False)
        if finished.returncode:
            sys.exit(f"stopped: {command[0]} ended with {finished.returncode}")
    return (time.monotonic() - start_seconds) / 60
