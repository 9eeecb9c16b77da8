"""What the nodes of a Ray cluster do for inference: some processes turn rows into features, others score them."""

import pickle
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow
import torch

from models.base.compute import resolve_device, resolve_precision
from models.base.files import sha256_of_file
from models.clips.dataset import Clip, ComparisonDataset, SeveralForms
from models.clips.tables import METADATA_COLUMNS, clip_paths
from models.cluster.connection import MAX_RETRIES
from models.ensemble.config import EnsembleConfig
from models.errors import InputError
from models.inference.scoring import Member, as_arrays, as_tensors, chunk_scores, load_members
from models.speech.audio import Waveform, length_or_error

FEATURES = pyarrow.schema(
    [
        ("row", pyarrow.int64()),
        *((name, pyarrow.string()) for name in METADATA_COLUMNS),
        ("clip", pyarrow.large_binary()),
    ]
)


@dataclass(frozen=True)
class Reading:
    """What a process that reads is told.

    data_dir, shown_dir : absolute, and as messages name it
    tables : files in `data_dir` with their checksums, by which it is known to hold the same data
    table : METADATA_COLUMNS of all rows, in the object store: a process sees it there, without a copy
    forms : of `distinct_forms`
    references : the waveform of each expected text, in the object store
    notes : the actor
    strict : fail at the first clip that can't be read
    """

    data_dir: Path
    shown_dir: Path
    tables: dict[str, str]
    table: Any
    forms: list[dict[str, Any]]
    references: Any
    notes: Any
    strict: bool


@dataclass(frozen=True)
class Scoring:
    """What an actor that scores is told.

    forms : of `distinct_forms`
    config, config_dir, folds_per_model : as for `load_members`; config_dir is absolute
    notes : the actor
    """

    forms: list[dict[str, Any]]
    config: EnsembleConfig
    config_dir: Path
    folds_per_model: int | None
    device: str
    precision: str
    threads: int
    notes: Any


def read_clips(rows: pyarrow.Table, reading: Reading) -> pyarrow.Table:
    """The features of the rows whose clips can be read, in order, as FEATURES; the others' reasons go to the actor.

    rows : `id`, numbers of rows that follow one another
    raises : InputError where this node does not hold the data, or at an unreadable clip in strict runs
    """
    with _telling(reading.notes):
        with _on_this_node():
            _check_data(reading.data_dir, tuple(reading.tables.items()))
            own = _fetch(reading.table).slice(rows["id"][0].as_py(), len(rows))
            own = own.add_column(0, "row", rows["id"])
            table = pd.DataFrame(own.to_pydict())
            paths = clip_paths(reading.data_dir, table["filename"])
        clips, reasons = _read(reading, table, paths)
        if reasons and reading.strict:
            raise InputError(f"--strict: a clip can't be read: {next(iter(reasons.values()))}")
    if reasons:
        _tell(reading.notes.add_reasons, reasons)
    readable = own.take(pyarrow.array(list(clips), pyarrow.int64()))
    packed = pyarrow.array(clips.values(), pyarrow.large_binary())
    return readable.append_column(FEATURES.field("clip"), packed).cast(FEATURES)


def _read(reading: Reading, table: pd.DataFrame, paths: Sequence[Path]) -> tuple[dict[int, bytes], dict[int, str]]:
    """The features of the clips that can be read, by their place in the table; why others can't, by their row."""
    references = _fetch(reading.references)
    own = {text: references[text].copy() for text in set(table["expected_text"])}  # torch wants them writable
    data, clips, reasons = _as_read(reading.forms, table, own, paths), {}, {}
    for place, path in enumerate(paths):
        try:
            _refuse_broken(path)
            clips[place] = pickle.dumps(as_arrays([data[place]])[0], protocol=5)
        except InputError as error:
            shown = reading.shown_dir / table["filename"][place]
            reasons[int(table["row"][place])] = str(error).replace(str(path), str(shown))
    return clips, reasons


class ChunkScorer:
    """An actor that holds the ensemble: checkpoints as float16 files that the system keeps in memory, networks one at a time."""

    def __init__(self, scoring: Scoring) -> None:
        self._scoring = scoring
        torch.set_num_threads(scoring.threads)

    def __call__(self, chunk: pyarrow.Table) -> pyarrow.Table:
        """The ensemble's sum for each row of a chunk.

        chunk : FEATURES
        returns : row, score
        raises : InputError where a checkpoint is missing here, or is another one
        """
        if not len(chunk):  # not one clip of them all could be read
            return pyarrow.table({"row": chunk["row"], "score": np.zeros(0)})
        with _telling(self._scoring.notes):
            with _on_this_node():
                self._refuse_deadly(int(chunk["row"][0].as_py()))
                members = self._members
                device = resolve_device(self._scoring.device)
                precision = resolve_precision(self._scoring.precision, device)
            table = pd.DataFrame(chunk.drop_columns(["clip"]).to_pydict())
            data = _as_read(self._scoring.forms, table, {}, [Path()] * len(table))  # for what it knows; all is read
            clips = _unpack(chunk, table["expected_text"].tolist())
            blended = np.zeros(len(clips))
            for part in chunk_scores(members, self._scoring.forms, data, clips, device, precision):
                blended += part
        return pyarrow.table({"row": chunk["row"], "score": blended})

    def _refuse_deadly(self, first_row: int) -> None:
        """Ray would go on starting actors for a chunk that kills each of them, for want of memory perhaps."""
        if _tell(self._scoring.notes.begin_chunk, first_row) > 1 + MAX_RETRIES:
            raise InputError(
                f"{1 + MAX_RETRIES} processes have died while they scored the clips from row {first_row + 1} on; if memory ran "
                "out, ask for fewer --actors or more GPUs for each"
            )

    @cached_property
    def _members(self) -> list[Member]:
        return load_members(self._scoring.config, self._scoring.config_dir, self._scoring.folds_per_model)


def _as_read(
    forms: Sequence[dict[str, Any]], table: pd.DataFrame, references: Mapping[str, Waveform], paths: Sequence[Path]
) -> SeveralForms:
    """`paths` are `data_dir`'s already, so nothing looks there again."""
    return SeveralForms([ComparisonDataset(table, Path(), references, **form, sources=paths) for form in forms])


@lru_cache(maxsize=2)
def _fetch(reference: Any) -> Any:
    """From the object store, once in a process; arrays stay there."""
    import ray

    return ray.get(reference)


def _refuse_broken(path: Path) -> None:
    """As without Ray, all of a clip is decoded, however much of it the networks hear."""
    if isinstance(found := length_or_error(path), InputError):
        raise found


def _unpack(chunk: pyarrow.Table, texts: list[str]) -> list[tuple[Clip, ...]]:
    """The clips of a chunk. What was read in different places comes together: references are told apart by their texts."""
    numbers = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    shared: dict[tuple[int, int], Any] = {}
    clips = []
    for packed, text in zip(chunk["clip"], texts, strict=True):
        forms = [as_tensors(form) for form in pickle.loads(packed.as_buffer())]
        for place, clip in enumerate(forms):
            if "reference" in clip:
                clip["reference_key"] = numbers[text]
                clip["reference"] = shared.setdefault((place, numbers[text]), clip["reference"])
        clips.append(tuple(forms))
    return clips


@contextmanager
def _telling(notes: Any) -> Iterator[None]:
    """An InputError of the block is told to the actor, and raised."""
    try:
        yield
    except InputError as error:
        _tell(notes.add_error, str(error))
        raise


def _tell(method: Any, value: object) -> Any:
    """Call a method of the actor, and wait until it has heard."""
    import ray

    return ray.get(method.remote(value))


@contextmanager
def _on_this_node() -> Iterator[None]:
    """raises : InputError of the block, with the node's name"""
    try:
        yield
    except InputError as error:
        raise InputError(f"on node {platform.node()}: {error}") from error


@lru_cache(maxsize=4)
def _check_data(data_dir: Path, tables: tuple[tuple[str, str], ...]) -> None:
    """raises : InputError unless the folder holds these very files; looked at once in a process"""
    for name, sha256 in tables:
        path = data_dir / name
        if not path.is_file():
            raise InputError(f"{path}: no such file; copy the data folder to every node, under the same path")
        if sha256_of_file(path) != sha256:
            raise InputError(f"{path}: another file than where the run was started; copy the same data to every node")
