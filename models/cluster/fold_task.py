"""One fold on a node of a Ray cluster: what the node is told, what it does, what it gives back."""

import hashlib
import os
import platform
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models import training
from models.base.cli import explain
from models.base.files import sole_writer
from models.clips.left_out import left_out_checksum
from models.errors import InputError
from models.recipe import Recipe
from models.speech.checksums import differing_texts, name_texts
from models.speech.references import References
from models.training.job import TrainingJob
from models.training.options import TrainingOptions

LOCK_SECONDS = 120.0  # until a file system notices that the node which tried before is gone

Files = dict[str, NDArray[np.uint8]]  # contents, by their path in the output folder


@dataclass(frozen=True)
class Home:
    """Where the run was started, as absolute paths.

    Attributes
    ----------
    mark
        A file in the output folder; who sees it sees that folder.
    local_states
        Train on the node's own disk all the same.
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

    Attributes
    ----------
    options
        As where the run was started; relative paths are as from there.
    fingerprint, references, word_labels, corrections, left_out
        Of the data, of each text's reference, of what is known of words, of people's labels and of clips left out, where the run
        was started.
    cpus
        Of the task; all but one load audio where `options` do not say otherwise.
    """

    recipe: Recipe
    fold: int
    options: TrainingOptions
    fingerprint: str
    references: Mapping[str, str]
    home: Home
    cpus: int
    word_labels: str = ""
    corrections: str = ""
    left_out: str = ""

    @property
    def name(self) -> str:
        return f"{self.recipe.name}_{self.fold}"


@dataclass(frozen=True)
class FoldResult:
    """How it went.

    Attributes
    ----------
    error
        What was wrong with the input.
    files
        Of a node that does not see the output folder.
    """

    node: str
    error: str | None = None
    files: Files = field(default_factory=dict)


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


def _train(task: FoldTask) -> Files:
    home, options = task.home, _on_this_node(task)
    if home.directory.is_dir():
        os.chdir(home.directory)  # a relative --encoder is looked for there
    job = training.make_job(task.recipe, task.fold, options)
    if job.data_fingerprint != task.fingerprint:
        raise InputError(f"{options.data_dir}: other training data than on {home.host}; copy the same to every node")
    if job.word_labels != task.word_labels:
        raise InputError(f"{options.word_labels}: other word labels than on {home.host}; copy the same to every node")
    if job.corrections.checksum != task.corrections:
        raise InputError(f"{options.corrections}: other corrections than on {home.host}; copy the same to every node")
    if left_out_checksum(job.left_out) != task.left_out:
        raise InputError(f"{options.leave_out}: another list than on {home.host}; copy the same to every node")
    if other := differing_texts(References(options.tts_dir).checksums(task.references), task.references):
        raise InputError(
            f"{options.tts_dir}: another reference of {name_texts(other)} than on {home.host}; copy that folder to every node"
        )
    if not home.is_here:
        job.checkpoint_path.unlink(missing_ok=True)  # what matters is what is in the output folder
    if options.overwrite or not training.is_finished(job):
        with sole_writer(job.run_dir, LOCK_SECONDS):
            pass
        training.train_fold(job, restart=options.overwrite)
    return {} if home.is_here else _take(job)


def _on_this_node(task: FoldTask) -> TrainingOptions:
    options, home = task.options, task.home
    return replace(
        options,
        data_dir=home.directory / options.data_dir,
        tts_dir=home.directory / options.tts_dir,
        groups=options.groups and home.directory / options.groups,
        word_labels=options.word_labels and home.directory / options.word_labels,
        corrections=options.corrections and home.directory / options.corrections,
        leave_out=options.leave_out and home.directory / options.leave_out,
        output_dir=home.output_dir if home.is_here else home.away,
        num_workers=options.num_workers if "num_workers" in options.given else task.cpus - 1,
    )


def _take(job: TrainingJob) -> Files:
    """The curves and the checkpoint, which are no longer kept here. It comes last: with it in place, the fold is finished."""
    curves = [path for path in job.run_dir.rglob("events.out.tfevents*") if path.is_file()]
    root = job.options.output_dir
    taken = {str(path.relative_to(root)): np.fromfile(path, np.uint8) for path in [*curves, job.checkpoint_path]}
    shutil.rmtree(job.run_dir)
    job.checkpoint_path.unlink()
    return taken
