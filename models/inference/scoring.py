"""Scoring clips with an ensemble.

One pass over the clips, in chunks: their features are computed once, then every checkpoint in turn reads the chunk while the
next one is being loaded. So memory grows neither with the number of clips nor with the number of checkpoints.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from models.base.compute import release_freed
from models.base.processes import possible_processes
from models.clips.batches import Clip
from models.clips.dataset import ComparisonDataset, SeveralForms
from models.clips.features import frames_for_seconds
from models.clips.tokens import tokenizer_from_dict
from models.ensemble.blend import spread_folds
from models.ensemble.checkpoint import Checkpoint, load_checkpoint
from models.ensemble.config import EnsembleConfig, ModelEntry
from models.ensemble.correction import SIMPLEX, Correction
from models.ensemble.metrics import Values
from models.ensemble.rebuild import check_weights
from models.errors import InputError
from models.inference.chunk import score_chunk
from models.inference.combining import ModelScores
from models.inference.hearing import shares_of_hearing
from models.inference.networks import ready_network
from models.network.comparison import ComparisonNetwork
from models.speech.audio import Waveform
from models.speech.checksums import differing_texts, name_texts
from models.speech.identity import describe_voice, same_voice

NetworkOf = Callable[[Checkpoint], ComparisonNetwork]

LOADER_CLIPS = 16  # clips that a loading process hands over at once
CHUNK_CLIPS = 2048  # features of that many clips are held at once: about 0.4 GB, at most 1.1 GB


@dataclass(frozen=True)
class Member:
    """A checkpoint's part in the ensemble: `share` of the whole."""

    checkpoint: Checkpoint
    batch_size: int
    share: float

    @property
    def features(self) -> dict[str, Any]:
        """What it reads, as arguments of `ComparisonDataset`."""
        recipe = self.checkpoint.recipe
        return {
            "n_mels": int(self.checkpoint.encoder["num_mel_bins"]),
            "max_frames": frames_for_seconds(recipe.max_seconds),
            "layout": recipe.layout,
            "padding": recipe.padding,
            "tokenizer": tokenizer_from_dict(self.checkpoint.encoder.get("tokenizer")),
            "phones": self.checkpoint.weighs_phones,
        }


def load_members(config: EnsembleConfig, config_dir: Path, folds_per_model: int | None) -> list[Member]:
    """The checkpoints to use, each checked against the configuration; models of no weight are left out.

    Parameters
    ----------
    folds_per_model
        How many of each model's folds, spread evenly; None means all.
    """
    members: list[Member] = []
    for index, entry in enumerate(model for model in config.models if model.weight > 0):
        picked = _pick_folds(entry, index, folds_per_model)
        for position in picked:
            checkpoint = load_checkpoint(config_dir / entry.paths[position], entry.sha256[position])
            _check_member(checkpoint, entry, entry.folds[position], config)
            check_weights(checkpoint)
            members.append(Member(checkpoint, entry.batch_size, entry.weight / len(picked)))
    return members


def score_clips(
    members: Sequence[Member],
    table: pd.DataFrame,
    data_dir: Path,
    references: Mapping[str, Waveform],
    device: torch.device,
    precision: str,
    num_workers: int,
    sources: Sequence[Path | Waveform] | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    correction: Correction = SIMPLEX,
    network_of: NetworkOf | None = None,
) -> Values:
    """The ensemble's probability for each row of `table`: float64 [shape=(rows,)], inside (0, 1).

    Parameters
    ----------
    sources
        As of `ComparisonDataset`.
    on_progress
        Told after each step how much of the work is done, and how much there is.
    correction
        Of the members' weighted mean.
    network_of
        Where a checkpoint's network comes from, ready to score; None: it is built for each chunk of clips and let go.
    """
    network_of = network_of or (lambda checkpoint: ready_network(checkpoint, device, precision))
    blended, weights = np.zeros(len(table)), model_weights(members)
    forms = _distinct_forms(members)
    data = SeveralForms([ComparisonDataset(table, data_dir, references, **form, sources=sources) for form in forms])
    with tqdm(total=len(table) * len(members), desc="scoring", unit=" clip×model", disable=None, delay=1) as bar:
        start, done = 0, 0
        for chunk in _read_ahead(_chunks(data, chunk_clips(members), num_workers)):
            if start:  # never for a few clips alone, which it would delay
                release_freed()
            rows = slice(start, start + len(chunk))
            found = ModelScores(weights, len(chunk))
            for scores in _chunk_scores(members, forms, data, chunk, device, network_of):
                found.add(*scores)
                bar.update(len(chunk))
                done += len(chunk)
                on_progress(done, len(table) * len(members))
            blended[rows] = found.blended(correction, table.iloc[rows])
            start = rows.stop
    return blended


def model_weights(members: Sequence[Member]) -> dict[str, float]:
    """The part of each model in the ensemble, by name."""
    weights: dict[str, float] = {}
    for member in members:
        name = member.checkpoint.recipe.name
        weights[name] = weights.get(name, 0.0) + member.share
    return weights


def _distinct_forms(members: Sequence[Member]) -> list[dict[str, Any]]:
    """What the members read of a clip, as arguments of `ComparisonDataset`, each once."""
    forms: list[dict[str, Any]] = []
    for member in members:
        if member.features not in forms:
            forms.append(member.features)
    return forms


def _chunk_scores(
    members: Sequence[Member],
    forms: Sequence[dict[str, Any]],
    data: SeveralForms,
    chunk: Sequence[tuple[Clip, ...]],
    device: torch.device,
    network_of: NetworkOf,
) -> Iterator[tuple[str, Values, Values]]:
    """What each member says of a chunk, in turn: its model, its shares in the blend, its probabilities [shape=(clips,) each].

    Parameters
    ----------
    forms
        Of `_distinct_forms`, which those of `data` and of each clip are made from.
    """
    places = [forms.index(member.features) for member in members]
    hear = np.array([[data.forms[place].hears(clip[place]) for clip in chunk] for place in places])
    shares = shares_of_hearing([member.share for member in members], hear)
    for member, place, share in zip(members, places, shares, strict=True):
        clips, network = [clip[place] for clip in chunk], network_of(member.checkpoint)
        scores = score_chunk(member.checkpoint, network, member.batch_size, data.forms[place], clips, device)
        yield member.checkpoint.recipe.name, share, scores


def chunk_clips(members: Sequence[Member]) -> int:
    """Clips that are scored together: CHUNK_CLIPS spectrograms, in whole batches of a loading process."""
    return -(-CHUNK_CLIPS // (len(_distinct_forms(members)) * LOADER_CLIPS)) * LOADER_CLIPS


def _chunks(data: SeveralForms, chunk_size: int, num_workers: int) -> Iterator[list[tuple[Clip, ...]]]:
    """The clips in order, with their features, up to CHUNK_CLIPS spectrograms at a time.

    The loading processes are started at once, by the thread that calls: what is forked from a thread of a pool ends with an
    error, and at a bad moment torch's watch over these processes takes it for a crash.
    """
    workers = possible_processes(num_workers)
    loader = DataLoader(data, batch_size=LOADER_CLIPS, collate_fn=_as_arrays, num_workers=workers)
    return _gather(iter(loader), chunk_size)


def _gather(batches: Iterator[list[list[dict[str, Any]]]], chunk_clips: int) -> Iterator[list[tuple[Clip, ...]]]:
    chunk: list[tuple[Clip, ...]] = []
    for clips in batches:
        chunk += [tuple(_as_tensors(clip) for clip in forms) for forms in clips]
        if len(chunk) >= chunk_clips:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _as_arrays(clips: Sequence[tuple[Clip, ...]]) -> list[list[dict[str, Any]]]:
    """For the way between processes: each tensor would hold a file open for as long as it lives."""
    return [[{name: _as_array(value) for name, value in clip.items()} for clip in forms] for forms in clips]


def _as_array(value: object) -> object:
    return value.numpy() if isinstance(value, Tensor) else value


def _as_tensors(clip: Mapping[str, Any]) -> Clip:
    values = {name: torch.from_numpy(value) if isinstance(value, np.ndarray) else value for name, value in clip.items()}
    return Clip(**values)  # type: ignore[typeddict-item]


def _read_ahead(chunks: Iterator[list[tuple[Clip, ...]]]) -> Iterator[list[tuple[Clip, ...]]]:
    """The same chunks; while one is worked on, the next is made in a thread."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(next, chunks, None)
        while (chunk := coming.result()) is not None:
            coming = reader.submit(next, chunks, None)
            yield chunk


def _pick_folds(entry: ModelEntry, index: int, folds_per_model: int | None) -> list[int]:
    n_available = len(entry.folds)
    return list(range(n_available)) if folds_per_model is None else spread_folds(index, n_available, folds_per_model)


def _check_member(checkpoint: Checkpoint, entry: ModelEntry, fold: int, config: EnsembleConfig) -> None:
    """Raises InputError naming each thing in which a checkpoint is not the one that the weights were fitted for."""
    pairs = {
        "model": (entry.name, checkpoint.recipe.name),
        "fold": (fold, checkpoint.fold),
        "n_folds": (config.n_folds, checkpoint.n_folds),
        "training data's fingerprint": (config.data_fingerprint, checkpoint.data_fingerprint),
    }
    differences = [f"{name}: {found}, not {expected}" for name, (expected, found) in pairs.items() if expected != found]
    if not same_voice(checkpoint.voice, config.voice):
        differences.append(f"voice: {describe_voice(checkpoint.voice)}, not {describe_voice(config.voice)}")
    if other := differing_texts(checkpoint.references, config.references):
        differences.append(f"references: another of {name_texts(other)}")
    if differences:
        raise InputError(
            f"{checkpoint.file_name}: does not fit the configuration ({'; '.join(differences)}); run get_config.py again"
        )
