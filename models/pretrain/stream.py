"""Batches of groups of similar length, made in a process of their own while another trains."""

import multiprocessing
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.queues import Queue
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from queue import Full
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.clips.features import ENCODER_STRIDE
from models.pretrain.real_speech import RealGroups, read_recordings
from models.pretrain.synthesis import N_MELS, Group, Synthesizer

_POOL_GROUPS = 96  # sorted by length before they are cut into batches
_QUEUE_BATCHES = 10
_PATIENCE_SECONDS = 5.0  # between looks whether anyone still trains
_REAL_FROM, _REAL_FULL = 0.06, 0.2  # shares of the run between which real speech grows from nothing to its full share

_Arrays = tuple[np.ndarray[Any, Any], ...]  # a batch's fields, as they travel between processes


@dataclass(frozen=True)
class PairBatch:
    """Groups, padded. Clip c of group g is row 4 g + c; the groups' extra clips come after all of these.

    Attributes
    ----------
    features : float32 [shape=(clips, 80, frames)]
        Frames : int64 [shape=(clips,)].
    labels : int64 [shape=(clips, ceil(frames / 2))]
        -1 where unknown or padding.
    phones : int64 [shape=(clips, most)]
        Phone_counts : int64 [shape=(clips,)].
    scalars : float32 [shape=(groups, 2)]
        Task and grade.
    """

    features: Tensor
    frames: Tensor
    labels: Tensor
    phones: Tensor
    phone_counts: Tensor
    scalars: Tensor


@dataclass(frozen=True)
class BatchPlan:
    """What a producing process needs to know.

    Attributes
    ----------
    real_folders
        Folders of transcribed recordings, with the speakers that must not be heard.
    real_share
        Share of groups with a real response once real speech is fully mixed in.
    frames_per_batch
        Spectrogram frames, padding included.
    """

    seed: int
    frames_per_batch: int
    real_folders: tuple[Path, ...] = ()
    held_out: frozenset[str] = frozenset()
    real_share: float = 0.0


def collate(groups: list[Group]) -> PairBatch:
    clips = [clip for group in groups for clip in group.clips] + [clip for group in groups for clip in group.extra]
    frames = torch.tensor([clip.features.shape[1] for clip in clips])
    most = int(frames.max())
    features = torch.zeros(len(clips), N_MELS, most)
    labels = torch.full((len(clips), -(-most // ENCODER_STRIDE)), -1)
    for row, clip in enumerate(clips):
        features[row, :, : clip.features.shape[1]] = clip.features
        labels[row, : len(clip.labels)] = clip.labels
    phones = torch.nn.utils.rnn.pad_sequence([clip.phones for clip in clips], batch_first=True)
    counts = torch.tensor([len(clip.phones) for clip in clips])
    return PairBatch(
        features, frames, labels, phones, counts, torch.tensor([[group.task, group.grade] for group in groups])
    )


def cut_pool(pool: list[Group], frames_per_batch: int) -> list[list[Group]]:
    """Neighbours in length together, at least two to a batch: each response needs another group's reference."""
    batches: list[list[Group]] = [[]]
    for group in sorted(pool, key=lambda group: group.n_frames):
        n_clips = sum(4 + len(other.extra) for other in [*batches[-1], group])
        if len(batches[-1]) >= 2 and n_clips * group.n_frames > frames_per_batch:
            batches.append([])
        batches[-1].append(group)
    return batches if len(batches[-1]) >= 2 else batches[:-1]


def real_share_at(progress: float, full_share: float) -> float:
    return full_share * min(max((progress - _REAL_FROM) / (_REAL_FULL - _REAL_FROM), 0.0), 1.0)


class BatchStream:
    """Endless batches from a background process. `progress` (0 to 1) steers how much real speech they hold."""

    def __init__(self, plan: BatchPlan) -> None:
        context = multiprocessing.get_context("spawn")
        self._progress = context.Value("d", 0.0)
        self._queue = context.Queue(_QUEUE_BATCHES)
        self._process = context.Process(target=_produce, args=(plan, self._progress, self._queue), daemon=True)
        self._process.start()

    def set_progress(self, progress: float) -> None:
        self._progress.value = progress

    def __iter__(self) -> Iterator[PairBatch]:
        while True:
            yield PairBatch(*(torch.from_numpy(array) for array in self._queue.get()))

    def close(self) -> None:
        self._process.terminate()
        self._process.join()


def _produce(plan: BatchPlan, progress: "Synchronized[float]", queue: "Queue[_Arrays]") -> None:
    torch.set_num_threads(1)
    rng = np.random.default_rng(plan.seed)
    synthesizer = Synthesizer()
    recordings = [clip for folder in plan.real_folders for clip in read_recordings(folder, without=plan.held_out)]
    real_groups = RealGroups(recordings, synthesizer) if recordings else None
    while True:
        share = real_share_at(progress.value, plan.real_share)
        real = rng.random(_POOL_GROUPS) < share
        sources = [real_groups if real_groups is not None and is_real else synthesizer for is_real in real]
        batches = cut_pool([source.draw_group(rng) for source in sources], plan.frames_per_batch)
        for index in rng.permutation(len(batches)):
            arrays = tuple(tensor.numpy() for tensor in vars(collate(batches[index])).values())
            if not _put_while_wanted(queue, arrays):
                return


def _put_while_wanted(queue: "Queue[_Arrays]", arrays: _Arrays) -> bool:
    """False once the training process has gone, killed perhaps, so that this one ends too."""
    parent = multiprocessing.parent_process()
    while parent is None or parent.is_alive():
        try:
            queue.put(arrays, timeout=_PATIENCE_SECONDS)
            return True
        except Full:
            continue
    queue.cancel_join_thread()
    return False
