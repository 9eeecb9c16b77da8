"""Folds as tasks of Ray, on this machine or over a cluster.

A fold is one task, in a process of its own. The project's code travels with it; data, references and encoders must be on
every node under the paths that they have here. A node that sees the output folder itself (this machine, or a shared disk)
trains there, so that whoever tries again goes on from the last saved state. Any other trains in a folder of its own, and
the checkpoint comes back through Ray.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from models.base.cli import positive
from models.base.files import replace_when_done, sole_writer
from models.cluster.connection import (
    MAX_RETRIES,
    add_ray_address,
    check_room,
    connection,
    default_gpus,
    gpu_share,
    import_ray,
    refuse_without_ray,
)
from models.cluster.fold_task import FoldResult, FoldTask, Home, train_here
from models.speech.references import reference_checksums
from models.training.job import TrainingJob

STORE_BYTES = 1 << 30  # of a cluster that is started here: it holds checkpoints on their way, and spills to disk
NEWS_SECONDS = 30.0  # between two looks at whether any node is left that could take a fold
ROOM = ("a fold", "--cpus_per_fold, --gpus_per_fold or --memory_per_fold")


def add_ray_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("Ray", "folds side by side, on this machine or over a cluster (docs/cluster.md)")
    add_ray_address(group, "train")
    group.add_argument(
        "--gpus_per_fold",
        type=gpu_share,
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


def check_ray_options(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """raises : InputError where an option would do nothing"""
    refuse_without_ray(arguments, parser, ("gpus_per_fold", "cpus_per_fold", "memory_per_fold", "local_states"))


def train_on_ray(
    jobs: Sequence[TrainingJob], arguments: argparse.Namespace, options: Mapping[str, Any]
) -> Iterator[tuple[TrainingJob, str]]:
    """Train the jobs side by side; yields each with 'trained' or 'failed' as it ends, and tells why it failed.

    raises : InputError where Ray is not installed, the cluster does not answer, or no node could ever hold a fold
    """
    if not jobs:
        return
    ray = import_ray()
    with ExitStack() as stack:
        for job in jobs:
            stack.enter_context(sole_writer(job.run_dir.with_name(f"{job.run_dir.name}.ray")))
        stack.enter_context(connection(ray, arguments.ray, STORE_BYTES))
        home = stack.enter_context(_home(arguments))
        references = reference_checksums(arguments.tts_dir, jobs[0].texts)  # the folds share their clips, and so these
        needs = _needs(ray, arguments)
        check_room(ray, needs, *ROOM)
        train = ray.remote(max_calls=1, max_retries=MAX_RETRIES, scheduling_strategy="SPREAD")(train_here)
        running = {}
        for job in jobs:
            task = FoldTask(job.recipe, job.fold, arguments, dict(options), job.data_fingerprint, references, home)
            options_of_task = {"num_cpus": needs["CPU"], "num_gpus": needs["GPU"], "memory": needs["memory"] or None}
            running[train.options(name=task.name, **options_of_task).remote(task)] = job
        stack.callback(_cancel, ray, running)
        while running:
            done, _ = ray.wait(list(running), timeout=NEWS_SECONDS)
            if not done:
                check_room(ray, needs, *ROOM, wait=True)
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
    gpus = default_gpus(ray, arguments.gpus_per_fold, arguments.device)
    return {"CPU": arguments.cpus_per_fold, "GPU": gpus, "memory": (arguments.memory_per_fold or 0) * 2**30}
