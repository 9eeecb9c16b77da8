"""What every use of Ray shares: the connection, the code that travels, whether there is room, tasks as they end.

Ray is optional: it is imported only where it is asked for. The project's code travels with a run; data, references and
checkpoints must be on every node under the paths that they have where the run was started.
"""

import importlib
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from models.base.files import PROJECT_DIR
from models.cluster.options import ClusterOptions
from models.errors import InputError

SHIPPED = ("models", "assets/encoders")
MOST_TRIES = 5  # of work whose process or node dies
NEWS_SECONDS = 30.0  # between two looks at whether any node is left that could take a task

Result = TypeVar("Result")


def import_ray() -> Any:
    """Ray, or an InputError that says how to get it."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would tell its makers of each cluster
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")  # read at import: lines of different folds may look alike
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise InputError(
            f"--ray: {error.name or 'Ray'} is not installed here; pip install 'ray>=2.60', on every machine that is to work, "
            "or leave --ray out"
        ) from error


@contextmanager
def connection(ray: Any, address: str, store_bytes: int | None = None) -> Iterator[None]:
    """A cluster, to which this project's code is given; at the end nothing of ours is left running there.

    Parameters
    ----------
    store_bytes
        The object store of a cluster that is started here; None leaves it to Ray.

    Raises
    ------
    InputError
        Where no cluster answers.
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


def task_needs(ray: Any, options: ClusterOptions, device: str) -> dict[str, float]:
    """What a task asks of a node, in Ray's terms: a GPU where the cluster has any and `device` (of --device) may be one."""
    gpus = options.gpus
    if gpus is None:
        gpus = 1.0 if ray.cluster_resources().get("GPU") and device != "cpu" else 0.0
    return {"CPU": options.cpus, "GPU": gpus, "memory": options.memory_gb * 2**30}


def alive_nodes(ray: Any) -> list[dict[str, float]]:
    """What each node has, in Ray's terms."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def check_room(ray: Any, needs: Mapping[str, float], what: str, wait: bool = False) -> None:
    """Check that some node could hold a task, in an otherwise idle cluster.

    Parameters
    ----------
    needs
        As of `task_needs`.
    what
        "fold" or "task", as in the options that ask for more or less.
    wait
        Where nodes were there and are not any more, others may come: say so.

    Raises
    ------
    InputError
        Where none could, unless `wait`.
    """
    nodes = alive_nodes(ray)
    if any(all(node.get(kind, 0) >= amount for kind, amount in needs.items()) for node in nodes):
        return
    asked = f"{needs['CPU']:g} CPUs, {needs['GPU']:g} GPUs and {needs['memory'] / 2**30:.0f} GB of memory"
    there = "; ".join(
        f"{node.get('CPU', 0):g} CPUs, {node.get('GPU', 0):g} GPUs, {node.get('memory', 0) / 2**30:.0f} GB"
        for node in nodes
    )
    if not wait:
        raise InputError(
            f"--ray: no node could hold a {what}, which asks for {asked}; the nodes have {there}; lower --cpus_per_{what}, "
            f"--gpus_per_{what} or, of folds, --memory_per_fold"
        )
    print(f"waiting for a node with {asked}; there are: {there or 'none'}", file=sys.stderr, flush=True)


def run_tasks(
    ray: Any,
    work: Callable[..., Result],
    shares: Sequence[tuple[Any, ...]],
    needs: Mapping[str, float],
    what: str,
    **settings: Any,
) -> Generator[tuple[int, Result | Exception], None, None]:
    """Call `work` with each share's arguments, somewhere; at the end, whatever ends it, none goes on running.

    What dies with its process or node is done again: Ray itself would try without end what dies for want of memory, so the
    tries are counted here.

    Parameters
    ----------
    needs
        As of `task_needs`.
    what
        "fold" or "task", as of `check_room`.
    settings
        More options of a remote function.

    Yields
    ------
    int, Result or RayError
        A share's place as it ends, with what `work` returned, what it raised, or what ended its last process.
    """
    start = _starter(ray, work, needs, settings)
    tries = [1] * len(shares)
    running = {start(*share): place for place, share in enumerate(shares)}
    try:
        while running:
            done, _ = ray.wait(list(running), timeout=NEWS_SECONDS)
            if not done:
                check_room(ray, needs, what, wait=True)
            for handle in done:
                place, (found, died) = running.pop(handle), _outcome(ray, handle)
                if died and tries[place] < MOST_TRIES:
                    tries[place] += 1
                    running[start(*shares[place])] = place
                else:
                    yield place, found
    finally:
        for handle in running:
            ray.cancel(handle, force=True)


def _starter(
    ray: Any, work: Callable[..., Any], needs: Mapping[str, float], settings: Mapping[str, Any]
) -> Callable[..., Any]:
    """What starts `work` somewhere, once, and gives its handle."""
    resources = {"num_cpus": needs["CPU"], "num_gpus": needs["GPU"], "memory": needs["memory"] or None}
    return ray.remote(max_retries=0, scheduling_strategy="SPREAD", **resources, **settings)(work).remote


def _outcome(ray: Any, handle: Any) -> tuple[Any, bool]:
    """What a task that has ended returned, raised or was ended by; and whether its process or node died."""
    try:
        return ray.get(handle), False
    except ray.exceptions.RayError as error:
        return error, not isinstance(error, ray.exceptions.RayTaskError)


def _check_answers(address: str) -> None:
    """Ray itself goes on asking for minutes. Raises OSError or ValueError where nothing listens at an address HOST:PORT."""
    if address not in ("local", "auto"):
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal():
            raise ValueError("expected HOST:PORT, auto or nothing")
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
