"""Clips as a network sees them: reference and response as one log-mel spectrogram or as two, two scalars, a label."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, Sampler

from models.audio import SAMPLE_RATE_HZ, Waveform, read_audio
from models.augment import AUGMENTATIONS, NOTHING, Chain
from models.features import HOP_LENGTH, log_mel, magnitude_spectrogram, pad_frames
from models.recipe import Layout
from models.tables import clip_paths, scalars


class Clip(TypedDict, total=False):
    """`log_mel` and `reference_frames` of joined clips; `reference`, `reference_key` and `response` of those apart."""

    log_mel: Tensor  # float32 [shape=(n_mels, frames)]: [reference ; response]
    reference_frames: int  # of them the reference's
    reference: Tensor  # float32 [shape=(n_mels, frames)]
    reference_key: int  # equal for clips with the same reference
    response: Tensor  # float32 [shape=(n_mels, frames)]
    scalars: Tensor  # float32 [shape=(2,)]: task, grade
    labels: Tensor  # float32 [shape=()]: the score, 0 where it is not known


class ComparisonDataset(Dataset[Clip]):
    """The rows of a table, in order. Draws of the augmentation depend on (seed, epoch, row) alone.

    table : METADATA_COLUMNS and, for training, score
    references : the waveform of each expected text
    max_frames : spectrogram frames at which the joined input is cut
    augment : a key of AUGMENTATIONS
    layout : one spectrogram of both, padded to `max_frames` ("fixed") or only to the longest of a batch ("joined"), or one of
        each ("apart")
    """

    def __init__(
        self,
        table: pd.DataFrame,
        data_dir: Path,
        references: Mapping[str, Waveform],
        n_mels: int,
        max_frames: int,
        augment: str = "none",
        seed: int = 0,
        layout: Layout = "fixed",
    ) -> None:
        self.max_frames = max_frames
        self._layout = layout
        self._n_mels = n_mels
        self._paths = clip_paths(data_dir, table["filename"])
        self._texts: list[str] = table["expected_text"].tolist()
        self._references = references
        self._reference_features: dict[int, Tensor] = {}
        self._keys = {text: index for index, text in enumerate(dict.fromkeys(self._texts))}
        self._scalars = torch.from_numpy(scalars(table))
        self._labels = torch.from_numpy(table.get("score", pd.Series(0.0, table.index)).to_numpy(np.float32))
        self._augment_reference, self._augment_response = AUGMENTATIONS[augment]
        self._seed = seed
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # seen by the loader's worker processes

    def set_epoch(self, epoch: int) -> None:
        """The epoch that the augmentation is drawn for."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return len(self._paths)

    def collate(self, clips: Sequence[Clip]) -> dict[str, Tensor]:
        """A batch in this layout, as the network's arguments."""
        if self._layout == "fixed":
            return collate_fixed(clips, self.max_frames)
        return collate_joined(clips) if self._layout == "joined" else collate_apart(clips)

    def __getitem__(self, row: int) -> Clip:
        reference = self._references[self._texts[row]]
        response = read_audio(self._paths[row], self.max_frames * HOP_LENGTH / SAMPLE_RATE_HZ)
        rng = np.random.default_rng([self._seed, int(self._epoch), row])
        if self._layout == "apart":
            clip = self._apart(reference, response, row, rng)
        else:
            magnitudes, boundary = self._joined_spectrogram(reference, response, rng)
            clip = Clip(log_mel=log_mel(magnitudes, self._n_mels), reference_frames=boundary)
        return Clip(**clip, scalars=self._scalars[row], labels=self._labels[row])

    def _joined_spectrogram(
        self, reference: Waveform, response: Waveform, rng: np.random.Generator
    ) -> tuple[Tensor, int]:
        """Magnitudes of the joined waveform, each side augmented by itself: float32 [shape=(201, frames)].

        Also how many of the frames are the reference's.
        """
        joined = torch.from_numpy(np.concatenate([reference, response]))
        boundary = round(len(reference) / HOP_LENGTH)
        if self._augment_reference is NOTHING and self._augment_response is NOTHING:
            magnitudes = magnitude_spectrogram(joined, self.max_frames)
            return magnitudes, min(boundary, magnitudes.shape[1] - 1)
        magnitudes = magnitude_spectrogram(joined, 2 * self.max_frames)
        boundary = min(boundary, magnitudes.shape[1] - 1)
        first = self._augment_reference(magnitudes[:, :boundary], rng) if boundary else magnitudes[:, :0]
        second = self._augment_response(magnitudes[:, boundary:], rng)
        both = torch.cat([first, second], dim=1)[:, : self.max_frames]
        return both, min(first.shape[1], both.shape[1] - 1)

    def _apart(self, reference: Waveform, response: Waveform, row: int, rng: np.random.Generator) -> Clip:
        """Both sides by themselves. A reference that is augmented is this clip's alone; others are computed once."""
        key = self._keys[self._texts[row]] if self._augment_reference is NOTHING else -1 - row
        spectrum = self._reference_features.get(key)
        if spectrum is None:
            spectrum = self._log_mel(reference, self._augment_reference, rng)
        if key >= 0:
            self._reference_features[key] = spectrum
        return Clip(
            reference=spectrum, reference_key=key, response=self._log_mel(response, self._augment_response, rng)
        )

    def _log_mel(self, waveform: Waveform, augment: Chain, rng: np.random.Generator) -> Tensor:
        magnitudes = magnitude_spectrogram(torch.from_numpy(waveform), self.max_frames)
        return log_mel(augment(magnitudes, rng)[:, : self.max_frames], self._n_mels)


class EpochShuffle(Sampler[int]):
    """Rows in an order drawn from (seed, epoch), cut to whole batches, so that an epoch has the same length everywhere."""

    def __init__(self, n_rows: int, batch_size: int, seed: int) -> None:
        self._n_rows = n_rows
        self._length = n_rows // batch_size * batch_size
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __len__(self) -> int:
        return self._length

    def __iter__(self):  # type: ignore[no-untyped-def]
        order = np.random.default_rng([self._seed, self._epoch]).permutation(self._n_rows)
        return iter(order[: self._length].tolist())


def collate_fixed(clips: Sequence[Clip], n_frames: int) -> dict[str, Tensor]:
    """A batch, each clip padded with silence to `n_frames`: log_mel [shape=(batch, n_mels, n_frames)]."""
    return {
        "log_mel": torch.stack([pad_frames(clip["log_mel"], n_frames) for clip in clips]),
        "scalars": torch.stack([clip["scalars"] for clip in clips]),
        "labels": torch.stack([clip["labels"] for clip in clips]),
    }


def collate_joined(clips: Sequence[Clip]) -> dict[str, Tensor]:
    """A batch, padded with zeros to the longest clip: log_mel [shape=(batch, n_mels, frames)], frames, reference_frames."""
    log_mels, frames = pad_together([clip["log_mel"] for clip in clips])
    return {
        "log_mel": log_mels,
        "frames": frames,
        "reference_frames": torch.tensor([clip["reference_frames"] for clip in clips]),
        "scalars": torch.stack([clip["scalars"] for clip in clips]),
        "labels": torch.stack([clip["labels"] for clip in clips]),
    }


def collate_apart(clips: Sequence[Clip]) -> dict[str, Tensor]:
    """A batch of clips in two parts, padded with zeros to the longest. Each distinct reference is there once.

    reference [shape=(references, n_mels, frames)] and reference_frames; reference_rows [shape=(batch,)]: whose is which;
    response [shape=(batch, n_mels, frames)] and response_frames
    """
    references = {clip["reference_key"]: clip["reference"] for clip in clips}
    rows = {key: row for row, key in enumerate(references)}
    reference, reference_frames = pad_together(list(references.values()))
    response, response_frames = pad_together([clip["response"] for clip in clips])
    return {
        "scalars": torch.stack([clip["scalars"] for clip in clips]),
        "labels": torch.stack([clip["labels"] for clip in clips]),
        "reference": reference,
        "reference_frames": reference_frames,
        "reference_rows": torch.tensor([rows[clip["reference_key"]] for clip in clips]),
        "response": response,
        "response_frames": response_frames,
    }


def pad_together(features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Log-mels of several lengths as one tensor [shape=(n, n_mels, frames)], zeros after their ends, and their lengths."""
    lengths = torch.tensor([feature.shape[1] for feature in features])
    padded = [nn.functional.pad(feature, (0, int(lengths.max()) - feature.shape[1])) for feature in features]
    return torch.stack(padded), lengths
