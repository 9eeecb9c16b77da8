"""What every use of Ray shares: the options, the connection, the code that travels, whether there is room.

Ray is optional: it is imported only where it is asked for. The project's code travels with a run; data, references and
checkpoints must be on every node under the paths that they have where the run was started.
"""

import argparse
import importlib
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from models.base.files import PROJECT_DIR
from models.errors import InputError

SHIPPED = ("models", "assets/encoders")
MAX_RETRIES = 4  # of work whose process or node dies


def add_ray_address(group: argparse._ActionsContainer, purpose: str) -> None:
    group.add_argument(
        "--ray",
        nargs="?",
        const="local",
        metavar="ADDRESS",
        help=f"{purpose} with Ray: on all of this machine, or on the cluster at HOST:PORT, or 'auto' for the one that this "
        "machine is part of",
    )


def refuse_without_ray(arguments: argparse.Namespace, parser: argparse.ArgumentParser, names: Sequence[str]) -> None:
    """raises : InputError where one of these options is given, which do nothing without --ray"""
    for name in names:
        if arguments.ray is None and getattr(arguments, name) != parser.get_default(name):
            raise InputError(f"--{name}: is for --ray; give that too, or leave this out")


def gpu_share(text: str) -> float:
    """The type of an option: a share of a GPU, or a number of GPUs."""
    try:
        value = float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from error
    if not (0 <= value <= 1 or (value > 1 and value.is_integer())):
        raise argparse.ArgumentTypeError(f"{text} is neither a share of a GPU (0 to 1) nor a whole number of them")
    return value


def import_ray(*needed: str, install: str = "ray") -> Any:
    """Ray, once it and the `needed` modules can be imported.

    install : what pip is to install otherwise
    raises : InputError where one is missing
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would tell its makers of each cluster
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")  # read at import: lines of different folds may look alike
    try:
        ray = importlib.import_module("ray")
        for name in needed:
            importlib.import_module(name)
    except ImportError as error:
        raise InputError(
            f"--ray: {error.name or 'Ray'} is not installed here; pip install {install}, on every machine that is to work, "
            "or leave --ray out"
        ) from error
    return ray


@contextmanager
def connection(ray: Any, address: str, store_bytes: int | None = None) -> Iterator[None]:
    """A cluster, to which this project's code is given; at the end nothing of ours is left running there.

    store_bytes : the object store of a cluster that is started here; None leaves it to Ray
    raises : InputError where no cluster answers
    """
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")  # no GPU for who asks for none
    with tempfile.TemporaryDirectory() as code:
        for part in SHIPPED:
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(PROJECT_DIR / part, Path(code) / part, ignore=ignored)
        settings: dict[str, Any] = {"runtime_env": {"working_dir": code}, "logging_level": "error"}
        if address == "local":
            settings |= {"object_store_memory": store_bytes, "include_dashboard": False}
        try:
            _check_answers(address)
            ray.init(address=address, **settings)
        except (OSError, RuntimeError, ValueError) as error:
            raise InputError(
                f"--ray {address}: no Ray cluster could be reached ({error}); start Ray on this machine too (ray start "
                "--address=HOST:PORT), the same versions of Ray and Python as there, set RAY_AUTH_MODE and RAY_AUTH_TOKEN where "
                "the cluster asks for a token, or give --ray without an address"
            ) from error
        try:
            yield
        finally:
            ray.shutdown()


def default_gpus(ray: Any, asked: float | None, device: str) -> float:
    """GPUs of a worker: as asked, or else one where the cluster has any and `device` (of --device) may be one."""
    if asked is not None:
        return asked
    return 1.0 if ray.cluster_resources().get("GPU") and device != "cpu" else 0.0


def node_resources(ray: Any) -> list[dict[str, float]]:
    """What each node that is alive has, in Ray's terms."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def has_room(resources: Mapping[str, float], needs: Mapping[str, float]) -> bool:
    """Whether a node could hold what asks for `needs` if it had nothing else to do."""
    return all(resources.get(kind, 0) >= amount for kind, amount in needs.items())


def check_room(ray: Any, needs: Mapping[str, float], what: str, options: str, wait: bool = False) -> None:
    """That some node could hold it, in an otherwise idle cluster.

    needs : CPU, GPU and memory, in Ray's terms
    what, options : who asks, and which options would ask for less
    wait : where nodes were there and are not any more, others may come: say so
    raises : InputError, unless `wait`
    """
    nodes = node_resources(ray)
    if any(has_room(node, needs) for node in nodes):
        return
    asked = f"{needs['CPU']:g} CPUs, {needs['GPU']:g} GPUs and {needs['memory'] / 2**30:.0f} GB of memory"
    there = "; ".join(
        f"{node.get('CPU', 0):g} CPUs, {node.get('GPU', 0):g} GPUs, {node.get('memory', 0) / 2**30:.0f} GB"
        for node in nodes
    )
    if not wait:
        raise InputError(
            f"--ray: no node could hold {what}, which asks for {asked}; the nodes have {there}; lower {options}"
        )
    print(f"waiting for a node with {asked}; there are: {there or 'none'}", file=sys.stderr, flush=True)


def _check_answers(address: str) -> None:
    """Ray itself goes on asking for minutes.

    raises : OSError or ValueError where nothing listens at an address HOST:PORT
    """
    if address not in ("local", "auto"):
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal():
            raise ValueError("expected HOST:PORT, auto or nothing")
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
