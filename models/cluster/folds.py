"""Folds as tasks of Ray, on this machine or over a cluster.

A fold is one task, in a process of its own. The project's code travels with it; data, references and encoders must be on
every node under the paths that they have here. A node that sees the output folder itself (this machine, or a shared disk)
trains there, so that whoever tries again goes on from the last saved state. Any other trains in a folder of its own, and
the checkpoint comes back through Ray.
"""

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from models.base.files import replace_when_done, sole_writer
from models.clips.left_out import left_out_checksum
from models.cluster.connection import check_room, connection, import_ray, run_tasks, task_needs
from models.cluster.fold_task import FoldResult, FoldTask, Home, train_here
from models.cluster.options import ClusterOptions
from models.speech.references import References
from models.training.job import TrainingJob
from models.training.options import TrainingOptions

STORE_BYTES = 1 << 30  # of a cluster that is started here: it holds checkpoints on their way, and spills to disk


def train_on_ray(
    jobs: Sequence[TrainingJob], options: TrainingOptions, cluster: ClusterOptions
) -> Iterator[tuple[TrainingJob, str]]:
    """Train the jobs side by side; yields each with 'trained' or 'failed' as it ends, and tells why it failed.

    Raises
    ------
    InputError
        Where Ray is not installed, the cluster does not answer, or no node could ever hold a fold.
    """
    if not jobs:
        return
    ray = import_ray()
    with ExitStack() as stack:
        for job in jobs:
            stack.enter_context(sole_writer(job.run_dir.with_name(f"{job.run_dir.name}.ray")))
        stack.enter_context(connection(ray, cluster.address, STORE_BYTES))
        home = stack.enter_context(_home(options.output_dir, cluster.local_states))
        # The folds share their clips, and so these.
        references = References(options.tts_dir).checksums(jobs[0].utterances)
        needs = task_needs(ray, cluster, options.device)
        check_room(ray, needs, "fold")
        shared = (references, home, cluster.cpus)
        tasks = [
            FoldTask(
                *(job.recipe, job.fold, options, job.data_fingerprint, *shared),
                word_labels=job.word_labels,
                corrections=job.corrections.checksum,
                left_out=left_out_checksum(job.left_out),
            )
            for job in jobs
        ]
        ended = run_tasks(ray, train_here, [(task,) for task in tasks], needs, "fold", max_calls=1)
        for place, result in stack.enter_context(closing(ended)):
            yield jobs[place], _collect(jobs[place], result)


def _collect(job: TrainingJob, result: FoldResult | Exception) -> str:
    """Put what a task has made into the output folder; returns 'trained' or 'failed'."""
    if isinstance(result, Exception):
        print(f"{job.name}: failed: {result}", file=sys.stderr, flush=True)
        return "failed"
    if result.error is not None:
        print(f"{job.name}: failed on {result.node}: {result.error}", file=sys.stderr, flush=True)
        return "failed"
    for file, content in result.files.items():
        with replace_when_done(job.options.output_dir / file) as temporary:
            content.tofile(temporary)
    print(f"{job.name}: trained on {result.node}", flush=True)
    return "trained"


@contextmanager
def _home(output_dir: Path, local_states: bool) -> Iterator[Home]:
    """The output folder with a mark in it, by which a node knows that it sees this very folder."""
    folder = output_dir.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".ray-") as mark:
        yield Home(os.uname().nodename, folder, Path.cwd(), Path(mark.name).name, local_states)
