"""Clips on a node of a Ray cluster: what the node is told, and what it does, which is what infer.py does with all of them."""

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from models import ensemble, inference
from models.base.compute import resolve_device, resolve_precision
from models.base.files import sha256_of_file
from models.clips.tables import TEST_TABLES, clip_paths, utterances
from models.errors import InputError
from models.speech.examining import Examined, examine


@dataclass(frozen=True)
class NodeOptions:
    """What every task is told.

    Attributes
    ----------
    data_dir, shown_dir
        Absolute, and as messages name it.
    source
        The ensemble's, absolute.
    sha256
        The checksum of each file that must be the same as where the run was started.
    cpus
        Of the task: threads, and all but one load audio.
    """

    data_dir: Path
    shown_dir: Path
    source: ensemble.EnsembleSource
    sha256: dict[str, str]
    folds_per_model: int | None
    device: str
    precision: str
    cpus: int
    accept_self_corrections: bool = False


def node_options(
    data_dir: Path,
    source: ensemble.EnsembleSource,
    folds_per_model: int | None,
    device: str,
    precision: str,
    cpus: int,
    accept_self_corrections: bool,
) -> NodeOptions:
    """What tasks are told of a folder and an ensemble, with the checksums of their files as they are here."""
    folder, source = data_dir.absolute(), source.absolute()
    files = (*source.files, *(folder / name for name in TEST_TABLES))
    same = {str(path): sha256_of_file(path) for path in files}
    compute = (device, precision, cpus)
    return NodeOptions(folder, data_dir, source, same, folds_per_model, *compute, accept_self_corrections)


@dataclass(frozen=True)
class ClipResult:
    """What a task gives back: a value for each of its clips, or what was wrong with the input."""

    values: list[Any] = field(default_factory=list)
    error: str | None = None


def check_clips(options: NodeOptions, filenames: Sequence[str]) -> ClipResult:
    """Decode each clip: what is to be known of it, or in words why it can't be read or is no answer."""

    def shown(path: Path, name: str) -> Examined | str:
        found = examine(path)
        return str(found).replace(str(path), str(options.shown_dir / name)) if isinstance(found, InputError) else found

    def work() -> list[Examined | str]:
        return [
            shown(path, name) for path, name in zip(clip_paths(options.data_dir, filenames), filenames, strict=True)
        ]

    return _answer(options, work)


def score_clips(options: NodeOptions, table: pd.DataFrame, references: dict[str, Any]) -> ClipResult:
    """The ensemble's probability of each clip, and the second from which it counts."""
    said = references.keys() & set(utterances(table))
    spoken = {utterance: references[utterance].copy() for utterance in said}  # torch wants them writable

    def work() -> list[tuple[float, float]]:
        torch.set_num_threads(options.cpus)
        device = resolve_device(options.device)
        precision = resolve_precision(options.precision, device)
        members, correction = _ensemble(options.source, options.folds_per_model)
        compute = (device, precision, options.cpus - 1)
        rule = {"correction": correction, "accept_self_corrections": options.accept_self_corrections}
        found = inference.score_counted(members, table, options.data_dir, spoken, *compute, **rule)
        return list(zip(found.scores.tolist(), found.starts.tolist(), strict=True))

    return _answer(options, work)


def _answer(options: NodeOptions, work: Callable[[], list[Any]]) -> ClipResult:
    """What the work gives, where this node holds the same files as where the run was started."""
    try:
        _check_files(tuple(options.sha256.items()))
        return ClipResult(work())
    except InputError as error:
        return ClipResult(error=f"on node {platform.node()}: {error}")


@lru_cache(maxsize=1)
def _ensemble(source: ensemble.EnsembleSource, folds_per_model: int | None) -> tuple[list[Any], Any]:
    """Members and correction, read once in a process, which does many tasks."""
    found = inference.read_ensemble(source, folds_per_model=folds_per_model)
    return found.members, found.correction


@lru_cache(maxsize=1)
def _check_files(sha256: tuple[tuple[str, str], ...]) -> None:
    for name, expected in sha256:
        if not Path(name).is_file():
            raise InputError(f"{name}: no such file; copy the folder to every node, under the same path")
        if sha256_of_file(Path(name)) != expected:
            raise InputError(f"{name}: another file than where the run was started; copy the same to every node")
