"""Folds as tasks of Ray, on this machine or over a cluster. Ray is optional: it is imported only where it is asked for.

A fold is one task, in a process of its own. The project's code travels with it; data, references and encoders must be on
every node under the paths that they have here. A node that sees the output folder itself (this machine, or a shared disk)
trains there, so that whoever tries again goes on from the last saved state. Any other trains in a folder of its own, and
the checkpoint comes back through Ray.
"""

import argparse
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from models.cli import positive
from models.errors import InputError
from models.files import replace_when_done
from models.job import TrainingJob
from models.lock import sole_writer
from models.ray_fold import FoldResult, FoldTask, Home, train_here

PROJECT_DIR = Path(__file__).resolve().parent.parent
SHIPPED = ("models", "assets/encoders")
MAX_RETRIES = 4  # of a fold whose process or node dies
STORE_BYTES = 1 << 30  # of a cluster that is started here: it holds checkpoints on their way, and spills to disk
NEWS_SECONDS = 30.0  # between two looks at whether any node is left that could take a fold


def add_ray_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("Ray", "folds side by side, on this machine or over a cluster (docs/cluster.md)")
    group.add_argument(
        "--ray",
        nargs="?",
        const="local",
        metavar="ADDRESS",
        help="train with Ray: on all of this machine, or on the cluster at HOST:PORT, or 'auto' for the one that this machine "
        "is part of",
    )
    group.add_argument(
        "--gpus_per_fold",
        type=_gpu_share,
        metavar="N",
        help="GPUs of a fold; 0.5 lets two folds share one, whose memory must hold both (default: 1 where there are GPUs)",
    )
    group.add_argument(
        "--cpus_per_fold",
        type=positive,
        default=2,
        metavar="N",
        help="CPU cores of a fold; one trains, the others load audio unless --num_workers says otherwise (default: %(default)s)",
    )
    group.add_argument(
        "--memory_per_fold", type=positive, metavar="GB", help="main memory to be free for a fold (default: not asked)"
    )
    group.add_argument(
        "--local_states",
        action="store_true",
        help="keep the states of unfinished folds on the nodes' own disks even where the output folder is shared: faster, but "
        "what a lost node has done is done again",
    )


def train_on_ray(
    jobs: Sequence[TrainingJob], arguments: argparse.Namespace, options: Mapping[str, Any]
) -> Iterator[tuple[TrainingJob, str]]:
    """Train the jobs side by side; yields each with 'trained' or 'failed' as it ends, and tells why it failed.

    raises : InputError where Ray is not installed, the cluster does not answer, or no node could ever hold a fold
    """
    if not jobs:
        return
    ray = _import_ray()
    with ExitStack() as stack:
        for job in jobs:
            stack.enter_context(sole_writer(job.run_dir.with_name(f"{job.run_dir.name}.ray")))
        stack.enter_context(_connection(ray, arguments.ray))
        home = stack.enter_context(_home(arguments))
        needs = _needs(ray, arguments)
        _check_room(ray, needs, wait=False)
        train = ray.remote(max_calls=1, max_retries=MAX_RETRIES, scheduling_strategy="SPREAD")(train_here)
        running = {}
        for job in jobs:
            task = FoldTask(job.recipe, job.fold, arguments, dict(options), job.data_fingerprint, home)
            options_of_task = {"num_cpus": needs["CPU"], "num_gpus": needs["GPU"], "memory": needs["memory"] or None}
            running[train.options(name=task.name, **options_of_task).remote(task)] = job
        stack.callback(_cancel, ray, running)
        while running:
            done, _ = ray.wait(list(running), timeout=NEWS_SECONDS)
            if not done:
                _check_room(ray, needs, wait=True)
            for reference in done:
                job = running.pop(reference)
                yield job, _collect(ray, reference, job)


def _collect(ray: Any, reference: Any, job: TrainingJob) -> str:
    """Put what a task has made into the output folder; returns 'trained' or 'failed'."""
    name = job.checkpoint_path.stem
    try:
        result: FoldResult = ray.get(reference)
    except ray.exceptions.RayError as error:
        print(f"{name}: failed: {error}", file=sys.stderr, flush=True)
        return "failed"
    if result.error is not None:
        print(f"{name}: failed on {result.node}: {result.error}", file=sys.stderr, flush=True)
        return "failed"
    for file, content in result.files.items():
        with replace_when_done(job.output_dir / file) as temporary:
            content.tofile(temporary)
    print(f"{name}: trained on {result.node}", flush=True)
    return "trained"


@contextmanager
def _connection(ray: Any, address: str) -> Iterator[None]:
    """A cluster, to which this project's code is given; at the end nothing of ours is left running there."""
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")  # no GPU for who asks for none
    with tempfile.TemporaryDirectory() as code:
        for part in SHIPPED:
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(PROJECT_DIR / part, Path(code) / part, ignore=ignored)
        settings: dict[str, Any] = {"runtime_env": {"working_dir": code}, "logging_level": "error"}
        if address == "local":
            settings |= {"object_store_memory": STORE_BYTES, "include_dashboard": False}
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


def _check_answers(address: str) -> None:
    """Ray itself goes on asking for minutes.

    raises : OSError or ValueError where nothing listens at an address HOST:PORT
    """
    if address not in ("local", "auto"):
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal():
            raise ValueError("expected HOST:PORT, auto or nothing")
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


@contextmanager
def _home(arguments: argparse.Namespace) -> Iterator[Home]:
    """The output folder with a mark in it, by which a node knows that it sees this very folder."""
    folder = arguments.output_dir.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".ray-") as mark:
        yield Home(os.uname().nodename, folder, Path.cwd(), Path(mark.name).name, arguments.local_states)


def _cancel(ray: Any, running: Mapping[Any, TrainingJob]) -> None:
    for reference in running:
        ray.cancel(reference, force=True)


def _needs(ray: Any, arguments: argparse.Namespace) -> dict[str, float]:
    """What a fold asks of a node, in Ray's terms."""
    gpus = arguments.gpus_per_fold
    if gpus is None:
        gpus = 1.0 if ray.cluster_resources().get("GPU") and arguments.device != "cpu" else 0.0
    return {"CPU": arguments.cpus_per_fold, "GPU": gpus, "memory": (arguments.memory_per_fold or 0) * 2**30}


def _check_room(ray: Any, needs: Mapping[str, float], wait: bool) -> None:
    """Whether some node could hold a fold if it had nothing else to do.

    wait : where nodes were there and are not any more, others may come: say so
    raises : InputError, unless `wait`
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if any(all(node.get(kind, 0) >= amount for kind, amount in needs.items()) for node in nodes):
        return
    asked = f"{needs['CPU']} CPUs, {needs['GPU']:g} GPUs and {needs['memory'] / 2**30:.0f} GB of memory"
    there = "; ".join(
        f"{node.get('CPU', 0):g} CPUs, {node.get('GPU', 0):g} GPUs, {node.get('memory', 0) / 2**30:.0f} GB"
        for node in nodes
    )
    if not wait:
        raise InputError(
            f"--ray: no node could hold a fold, which asks for {asked}; the nodes have {there}; "
            "lower --cpus_per_fold, --gpus_per_fold or --memory_per_fold"
        )
    print(f"waiting for a node with {asked}; there are: {there or 'none'}", file=sys.stderr, flush=True)


def _import_ray() -> Any:
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")  # read at import: lines of different folds may look alike
    try:
        import ray
    except ImportError as error:
        raise InputError(
            "--ray: Ray is not installed here; pip install ray, on every machine that is to train, or leave --ray out"
        ) from error
    return ray


def _gpu_share(text: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from error
    if not (0 <= value <= 1 or (value > 1 and value.is_integer())):
        raise argparse.ArgumentTypeError(f"{text} is neither a share of a GPU (0 to 1) nor a whole number of them")
    return value
