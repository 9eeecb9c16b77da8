"""Scoring clips with an ensemble.

Clips are taken in chunks: their features are computed once, then every checkpoint in turn reads the chunk. So memory
grows neither with the number of clips nor with the number of checkpoints.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from models.aligned import AlignedNetwork, EncodedClips, join_clips
from models.audio import Waveform
from models.build import check_weights, rebuild_network
from models.checkpoint import Checkpoint, load_checkpoint
from models.config_file import EnsembleConfig, ModelEntry
from models.dataset import Clip, ComparisonDataset, pad_together
from models.device import autocast
from models.ensemble import spread_folds
from models.errors import InputError
from models.features import frames_for_seconds
from models.metrics import Values, clip_probabilities, sigmoid
from models.voices import same_voice

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
        }


def load_members(config: EnsembleConfig, config_dir: Path, folds_per_model: int | None) -> list[Member]:
    """The checkpoints to use, each checked against the configuration; models of no weight are left out.

    folds_per_model : how many of each model's folds, spread evenly; None means all
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
) -> Values:
    """The ensemble's probability for each row of `table`: float64 [shape=(rows,)], inside (0, 1)."""
    blended = np.zeros(len(table))
    by_features: dict[tuple[Any, ...], list[Member]] = {}
    for member in members:
        by_features.setdefault(tuple(member.features.values()), []).append(member)
    with tqdm(total=len(table) * len(members), desc="scoring", unit=" clip×model", disable=None) as bar:
        for alike in by_features.values():
            dataset = ComparisonDataset(table, data_dir, references, **alike[0].features)
            start = 0
            for clips in _chunks(dataset, num_workers):
                rows = slice(start, start + len(clips))
                for member in alike:
                    blended[rows] += member.share * _score_chunk(member, dataset, clips, device, precision)
                    bar.update(len(clips))
                start = rows.stop
    return clip_probabilities(blended)


def _chunks(dataset: ComparisonDataset, num_workers: int) -> Iterator[list[Clip]]:
    """The clips in order, with their features, up to CHUNK_CLIPS at a time."""
    loader = DataLoader(dataset, batch_size=LOADER_CLIPS, collate_fn=list, num_workers=num_workers)
    chunk: list[Clip] = []
    for clips in loader:
        chunk += clips
        if len(chunk) >= CHUNK_CLIPS:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _score_chunk(
    member: Member, dataset: ComparisonDataset, clips: Sequence[Clip], device: torch.device, precision: str
) -> Values:
    """One checkpoint's probabilities for a chunk: float64 [shape=(clips,)]."""
    network = rebuild_network(member.checkpoint).to(device)
    batches = [clips[start : start + member.batch_size] for start in range(0, len(clips), member.batch_size)]
    with torch.inference_mode(), autocast(precision, device):
        if isinstance(network, AlignedNetwork):
            encoded = _encode_references(network, batches, device)
            logits = [_compare(network, encoded, _arguments(dataset, batch, device), batch) for batch in batches]
        else:
            logits = [network(**_arguments(dataset, batch, device))["logits"] for batch in batches]
    values = torch.cat(logits).double().cpu().numpy()
    if not np.isfinite(values).all():
        raise InputError(
            f"{member.checkpoint.file_name}: gives scores that are not finite; try --precision fp32, or train it again"
        )
    return sigmoid(values)


def _encode_references(
    network: AlignedNetwork, batches: Sequence[Sequence[Clip]], device: torch.device
) -> dict[int, EncodedClips]:
    """Each distinct reference by its key, encoded once."""
    spectra = {clip["reference_key"]: clip["reference"] for batch in batches for clip in batch}
    keys = sorted(spectra, key=lambda key: spectra[key].shape[1])  # alike in length: little padding
    encoded: dict[int, EncodedClips] = {}
    for start in range(0, len(keys), len(batches[0])):
        some = keys[start : start + len(batches[0])]
        features, lengths = (tensor.to(device) for tensor in pad_together([spectra[key] for key in some]))
        clips = network.encode(features, lengths)
        encoded |= {key: clips.take(torch.tensor([row], device=device)) for row, key in enumerate(some)}
    return encoded


def _compare(
    network: AlignedNetwork, encoded: Mapping[int, EncodedClips], arguments: dict[str, Tensor], clips: Sequence[Clip]
) -> Tensor:
    """Logits of a batch, with its references taken from `encoded`."""
    references = join_clips([encoded[clip["reference_key"]] for clip in clips])
    responses = network.encode(arguments["response"], arguments["response_frames"])
    return network.compare(references, responses, arguments["scalars"])["logits"]


def _arguments(dataset: ComparisonDataset, clips: Sequence[Clip], device: torch.device) -> dict[str, Tensor]:
    """What the network takes for a batch, on the device."""
    return {name: tensor.to(device) for name, tensor in dataset.collate(clips).items() if name != "labels"}


def _pick_folds(entry: ModelEntry, index: int, folds_per_model: int | None) -> list[int]:
    n_available = len(entry.folds)
    return list(range(n_available)) if folds_per_model is None else spread_folds(index, n_available, folds_per_model)


def _check_member(checkpoint: Checkpoint, entry: ModelEntry, fold: int, config: EnsembleConfig) -> None:
    expected = (entry.name, fold, config.n_folds, config.data_fingerprint)
    found = (checkpoint.recipe.name, checkpoint.fold, checkpoint.n_folds, checkpoint.data_fingerprint)
    if expected != found or not same_voice(checkpoint.voice, config.voice):
        raise InputError(
            f"{checkpoint.file_name}: does not fit the configuration (model, fold, n_folds, data: expected {expected}, "
            f"found {found}; or another voice); run get_config.py again"
        )
