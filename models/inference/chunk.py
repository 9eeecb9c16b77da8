"""What one checkpoint says of a chunk of clips, whose features are in memory."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from models.base.compute import compute_each
from models.clips.batches import Clip, pad_together
from models.clips.dataset import ComparisonDataset
from models.ensemble.checkpoint import Checkpoint
from models.ensemble.metrics import Values, sigmoid
from models.errors import InputError
from models.network.aligned import AlignedNetwork, EncodedClips, join_clips
from models.network.comparison import ComparisonNetwork

CPU_BATCH_FRAMES = 3200  # spectrogram frames; a few clips at a time stay in the caches, more are slower
CPU_LONGEST = 1.2  # times the shortest clip of a batch: so few gain less from each other than padding costs


def score_chunk(
    checkpoint: Checkpoint,
    network: ComparisonNetwork,
    batch_size: int,
    dataset: ComparisonDataset,
    clips: Sequence[Clip],
    device: torch.device,
) -> Values:
    """One checkpoint's probabilities for a chunk: float64 [shape=(clips,)]."""
    values = np.empty(len(clips))
    on_cpu = device.type == "cpu"
    limits = (CPU_BATCH_FRAMES, CPU_LONGEST) if on_cpu else (batch_size * dataset.max_frames, math.inf)
    references = _encode_references(network, clips, device, limits) if isinstance(network, AlignedNetwork) else {}

    def score(rows: Sequence[int]) -> None:
        batch = [clips[row] for row in rows]
        if isinstance(network, AlignedNetwork):
            logits = _compare(network, references, batch, device)
        else:
            logits = network(**_arguments(dataset, batch, device))["logits"]
        values[rows] = logits.double().cpu().numpy()

    compute_each(score, _alike([dataset.frames_read(clip) for clip in clips], *limits), device)
    if not np.isfinite(values).all():
        raise InputError(
            f"{checkpoint.file_name}: gives scores that are not finite; try --precision fp32, or train it again"
        )
    return sigmoid(values)


def _alike(lengths: Sequence[int], frames_per_batch: int, longest: float) -> list[list[int]]:
    """Rows of similar length together, as many as fit into so many spectrogram frames once they are padded.

    Parameters
    ----------
    longest
        Of a batch, in lengths of its shortest.
    """
    batches: list[list[int]] = [[]]
    for row in sorted(range(len(lengths)), key=lambda row: lengths[row]):
        batch, length = batches[-1], lengths[row]
        if batch and ((len(batch) + 1) * length > frames_per_batch or length > longest * lengths[batch[0]]):
            batches.append([])
        batches[-1].append(row)
    return batches


def _encode_references(
    network: AlignedNetwork, clips: Sequence[Clip], device: torch.device, limits: tuple[int, float]
) -> dict[int, EncodedClips]:
    """Each distinct reference by its key, encoded once; limits are those of `_alike`."""
    spectra = {clip["reference_key"]: clip["reference"] for clip in clips}
    keys = list(spectra)

    def encode(rows: Sequence[int]) -> dict[int, EncodedClips]:
        features, lengths = (tensor.to(device) for tensor in pad_together([spectra[keys[row]] for row in rows]))
        batch = network.encode(features, lengths)
        return {keys[row]: batch.take(torch.tensor([place], device=device)) for place, row in enumerate(rows)}

    batches = _alike([spectra[key].shape[1] for key in keys], *limits)
    return {key: clip for encoded in compute_each(encode, batches, device) for key, clip in encoded.items()}


def _compare(
    network: AlignedNetwork, references: Mapping[int, EncodedClips], clips: Sequence[Clip], device: torch.device
) -> Tensor:
    """Logits of a batch, with its references taken from `references`."""
    features, lengths = (tensor.to(device) for tensor in pad_together([clip["response"] for clip in clips]))
    scalars = torch.stack([clip["scalars"] for clip in clips]).to(device)
    expected = join_clips([references[clip["reference_key"]] for clip in clips])
    return network.compare(expected, network.encode(features, lengths), scalars)["logits"]


def _arguments(dataset: ComparisonDataset, clips: Sequence[Clip], device: torch.device) -> dict[str, Tensor]:
    """What a network takes for a batch, on the device."""
    return {name: tensor.to(device) for name, tensor in dataset.collate(clips).items() if name != "labels"}
