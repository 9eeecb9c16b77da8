"""Clips as the network sees them: `[reference ; response]` as one log-mel spectrogram, two scalars, a label."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from models.audio import SAMPLE_RATE_HZ, Waveform, read_audio
from models.augment import AUGMENTATIONS, NOTHING
from models.features import HOP_LENGTH, log_mel, magnitude_spectrogram, pad_frames
from models.tables import clip_paths, scalars


class Clip(TypedDict):
    log_mel: Tensor  # float32 [shape=(n_mels, frames)]
    scalars: Tensor  # float32 [shape=(2,)]: task, grade
    labels: Tensor  # float32 [shape=()]: the score, 0 where it is not known


class ComparisonDataset(Dataset[Clip]):
    """The rows of a table, in order. Draws of the augmentation depend on (seed, epoch, row) alone.

    table : METADATA_COLUMNS and, for training, score
    references : the waveform of each expected text
    max_frames : spectrogram frames at which the joined input is cut
    augment : a key of AUGMENTATIONS
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
    ) -> None:
        self.max_frames = max_frames
        self._n_mels = n_mels
        self._paths = clip_paths(data_dir, table["filename"])
        self._texts: list[str] = table["expected_text"].tolist()
        self._references = references
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

    def __getitem__(self, row: int) -> Clip:
        reference = self._references[self._texts[row]]
        response = read_audio(self._paths[row], self.max_frames * HOP_LENGTH / SAMPLE_RATE_HZ)
        magnitudes = self._spectrogram(reference, response, row)
        return Clip(log_mel=log_mel(magnitudes, self._n_mels), scalars=self._scalars[row], labels=self._labels[row])

    def _spectrogram(self, reference: Waveform, response: Waveform, row: int) -> Tensor:
        """Magnitudes of the joined waveform, each side augmented by itself: float32 [shape=(201, frames)]."""
        joined = torch.from_numpy(np.concatenate([reference, response]))
        if self._augment_reference is NOTHING and self._augment_response is NOTHING:
            return magnitude_spectrogram(joined, self.max_frames)
        rng = np.random.default_rng([self._seed, int(self._epoch), row])
        magnitudes = magnitude_spectrogram(joined, 2 * self.max_frames)
        boundary = min(round(len(reference) / HOP_LENGTH), magnitudes.shape[1] - 1)
        first = self._augment_reference(magnitudes[:, :boundary], rng) if boundary else magnitudes[:, :0]
        second = self._augment_response(magnitudes[:, boundary:], rng)
        return torch.cat([first, second], dim=1)[:, : self.max_frames]


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
