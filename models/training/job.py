"""A training job: one fold of one recipe on one set of data. Everything that can be checked before training is checked here."""

import argparse
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from models.clips.folds import split_fold
from models.clips.tables import fingerprint, read_groups, read_training_table
from models.errors import InputError
from models.recipe import Recipe
from models.speech.checksums import differing_texts, name_texts
from models.speech.references import VOICE_FILE, reference_checksums
from models.training.options import override_recipe


@dataclass(frozen=True)
class TrainingJob:
    """What to train, on what, how, and where to.

    options : the command-line options that differ from the defaults, for training another fold in the same way
    grouping : a checksum of each training clip's group; empty where folds are not cut by group
    """

    recipe: Recipe
    fold: int
    n_folds: int
    train: pd.DataFrame
    validation: pd.DataFrame
    data_fingerprint: str
    data_dir: Path
    tts_dir: Path
    output_dir: Path
    device: str
    precision: str
    num_workers: int
    gradient_accumulation_steps: int
    max_tries: int
    options: dict[str, Any]
    grouping: str = ""

    @property
    def texts(self) -> list[str]:
        """The distinct expected texts of the fold, held-out clips and all."""
        return sorted({*self.train["expected_text"], *self.validation["expected_text"]})

    @property
    def checkpoint_path(self) -> Path:
        return self.output_dir / f"{self.recipe.name}_{self.fold}.pth"

    @property
    def run_dir(self) -> Path:
        """Where the run keeps its state and its TensorBoard logs while it is not finished."""
        return self.output_dir / "runs" / f"{self.recipe.name}_{self.fold}"


def make_job(recipe: Recipe, fold: int, arguments: argparse.Namespace, options: dict[str, Any]) -> TrainingJob:
    """Read and check the tables, and cut the fold."""
    recipe = override_recipe(recipe, arguments)
    _check_output_dir(arguments.output_dir)
    table = read_training_table(arguments.data_dir)
    groups = _groups(arguments, table)
    train, validation = split_fold(table, fold, arguments.n_folds, recipe.data_seed, groups)
    if len(train) < recipe.batch_size:
        raise InputError(f"--batch_size {recipe.batch_size}: more than the {len(train)} training clips of fold {fold}")
    return TrainingJob(
        recipe=recipe,
        fold=fold,
        n_folds=arguments.n_folds,
        train=train,
        validation=validation,
        data_fingerprint=fingerprint(table),
        data_dir=arguments.data_dir,
        tts_dir=arguments.tts_dir,
        output_dir=arguments.output_dir,
        device=arguments.device,
        precision=arguments.precision,
        num_workers=arguments.num_workers,
        gradient_accumulation_steps=arguments.gradient_accumulation_steps,
        max_tries=arguments.max_tries,
        options=options,
        grouping="" if groups is None else _grouping(table["filename"].tolist(), groups),
    )


def is_finished(job: TrainingJob) -> bool:
    """Whether the job's checkpoint is there.

    raises : InputError where a file of that name is there but comes from another recipe, fold or set of data, or from other
        references than there are now
    """
    if not job.checkpoint_path.exists():
        return False
    from models.ensemble.checkpoint import load_checkpoint

    found = load_checkpoint(job.checkpoint_path)
    differences = [
        name
        for name, ours, theirs in (
            ("recipe", job.recipe, found.recipe),
            ("fold", job.fold, found.fold),
            ("n_folds", job.n_folds, found.n_folds),
            ("training data", job.data_fingerprint, found.data_fingerprint),
            ("choice of held-out clips", set(job.validation["filename"]), set(found.oof.filenames)),
        )
        if ours != theirs
    ]
    if (job.tts_dir / VOICE_FILE).is_file():
        other = differing_texts(reference_checksums(job.tts_dir, found.references), found.references)
        differences += [f"reference of {name_texts(other)}"] if other else []
    if differences:
        raise InputError(
            f"{job.checkpoint_path}: already there, but with another {' and '.join(differences)}; "
            "give --overwrite to train it again, or another --output_dir"
        )
    return True


def _check_output_dir(output_dir: Path) -> None:
    for path in (output_dir, *output_dir.parents):
        if path.exists() and not path.is_dir():
            raise InputError(f"--output_dir {output_dir}: {path} is a file; give a folder, new or old")


def _grouping(filenames: list[str], groups: list[str]) -> str:
    """The same wherever the file lies and in whatever order its rows are."""
    return hashlib.sha256(json.dumps(sorted(zip(filenames, groups, strict=True))).encode()).hexdigest()


def _groups(arguments: argparse.Namespace, table: pd.DataFrame) -> list[str] | None:
    """The group of each row for GroupKFold, from the metadata or from the file given by --groups."""
    if arguments.group_by is None:
        if arguments.groups is not None:
            raise InputError("--groups FILE needs --group_by COLUMN, the file's column to group by")
        return None
    file = arguments.groups or arguments.data_dir / "train_metadata.csv"
    return read_groups(file, arguments.group_by, table["filename"].tolist())
