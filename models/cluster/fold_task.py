"""One fold on a node of a Ray cluster: what the node is told, what it does, what it gives back."""

import argparse
import hashlib
import os
import platform
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.base.cli import explain
from models.base.files import sole_writer
from models.errors import InputError
from models.recipe import Recipe
from models.speech.checksums import differing_texts, name_texts
from models.speech.references import reference_checksums
from models.training.job import TrainingJob, is_finished, make_job

LOCK_SECONDS = 120.0  # until a file system notices that the node which tried before is gone


@dataclass(frozen=True)
class Home:
    """Where the run was started, as absolute paths.

    mark : a file in the output folder; who sees it sees that folder
    local_states : train on the node's own disk all the same
    """

    host: str
    output_dir: Path
    directory: Path
    mark: str
    local_states: bool

    @property
    def is_here(self) -> bool:
        return not self.local_states and (self.output_dir / self.mark).is_file()

    @property
    def away(self) -> Path:
        """A folder of a node's own that stands for the output folder, the same one for every try."""
        digest = hashlib.sha256(f"{self.host}:{self.output_dir}".encode()).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"speech_text_comparison_{os.getuid()}" / digest


@dataclass(frozen=True)
class FoldTask:
    """What to train.

    arguments, options : as for `make_job`
    fingerprint, references : of the data, and of each text's reference, where the run was started
    """

    recipe: Recipe
    fold: int
    arguments: argparse.Namespace
    options: dict[str, Any]
    fingerprint: str
    references: Mapping[str, str]
    home: Home

    @property
    def name(self) -> str:
        return f"{self.recipe.name}_{self.fold}"


@dataclass(frozen=True)
class FoldResult:
    """How it went.

    error : what was wrong with the input
    files : uint8, by their path in the output folder, of a node that does not see that folder
    """

    node: str
    error: str | None = None
    files: dict[str, NDArray[np.uint8]] = field(default_factory=dict)


def train_here(task: FoldTask) -> FoldResult:
    """Train a fold on this node, or go on with it; errors in the input come back as a message."""
    node = platform.node()
    print(f"{task.name}: begins on {node}", flush=True)
    try:
        return FoldResult(node, files=_train(task))
    except (InputError, OSError) as error:
        message = explain(error)
        if message is None:
            raise
        return FoldResult(node, error=message)


def _train(task: FoldTask) -> dict[str, NDArray[np.uint8]]:
    from models.training.fold import train_fold

    home, arguments = task.home, argparse.Namespace(**vars(task.arguments))
    for name in ("data_dir", "tts_dir", "groups"):
        if getattr(arguments, name) is not None:
            setattr(arguments, name, home.directory / getattr(arguments, name))
    if home.directory.is_dir():
        os.chdir(home.directory)  # a relative --encoder is looked for there
    if "num_workers" not in task.options:
        arguments.num_workers = arguments.cpus_per_fold - 1
    arguments.output_dir = home.output_dir if home.is_here else home.away
    job = make_job(task.recipe, task.fold, arguments, task.options)
    if job.data_fingerprint != task.fingerprint:
        raise InputError(f"{arguments.data_dir}: other training data than on {home.host}; copy the same to every node")
    if other := differing_texts(reference_checksums(arguments.tts_dir, task.references), task.references):
        raise InputError(
            f"{arguments.tts_dir}: another reference of {name_texts(other)} than on {home.host}; copy that folder to every node"
        )
    if not home.is_here:
        job.checkpoint_path.unlink(missing_ok=True)  # what matters is what is in the output folder
    if arguments.overwrite or not is_finished(job):
        with sole_writer(job.run_dir, LOCK_SECONDS):
            pass
        train_fold(job, restart=arguments.overwrite)
    return {} if home.is_here else _take(job)


def _take(job: TrainingJob) -> dict[str, NDArray[np.uint8]]:
    """The curves and the checkpoint, which are no longer kept here. It comes last: with it in place, the fold is finished."""
    files = [path for path in job.run_dir.rglob("events.out.tfevents*") if path.is_file()]
    taken = {
        str(path.relative_to(job.output_dir)): np.fromfile(path, np.uint8) for path in [*files, job.checkpoint_path]
    }
    shutil.rmtree(job.run_dir)
    job.checkpoint_path.unlink()
    return taken
