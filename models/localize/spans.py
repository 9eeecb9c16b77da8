"""Encoder frames of units, of the gaps between them, and of what is known only by its neighbours."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from models.clips.features import ENCODER_STRIDE
from models.localize.cuts import Span
from models.localize.edits import STAR

_WORD_FRAMES = 20  # encoder frames: 400 ms
_SILENCE_DB = 35.0  # below the loudest frame
_DB_PER_UNIT = 40.0  # of the log-mel


def evenly(units: Sequence[Sequence[int]], start: int, end: int) -> list[Span]:
    edges = np.cumsum([0, *(len(unit) for unit in units)])
    edges = np.round(start + edges / edges[-1] * (end - start)).astype(int)
    return list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))


def between(spans: Sequence[Span], n_frames: int) -> list[Span]:
    """What lies between the units, before the first and after the last."""
    ends, starts = [0, *(end for _, end in spans)], [*(start for start, _ in spans), n_frames]
    return [(end, max(end, start)) for end, start in zip(ends, starts, strict=True)]


def around_gaps(spans: Sequence[Span], n_frames: int) -> list[Span]:
    """A word's length around each gap, where nothing better is known of what might have been inserted."""
    middles = [(start + end) // 2 for start, end in between(spans, n_frames)]
    first = [max(0, min(middle - _WORD_FRAMES // 2, n_frames - _WORD_FRAMES)) for middle in middles]
    return [(start, min(n_frames, start + _WORD_FRAMES)) for start in first]


def widened(spans: Sequence[Span], said: Sequence[Sequence[int]], sounds: Sequence[bool]) -> list[Span]:
    """What stands for any speech takes all the sound up to its neighbours; the likeliest way gives it a few frames only.

    Parameters
    ----------
    sounds
        Of each frame, whether it is loud enough to be speech.
    """
    found = list(spans)
    for index, unit in enumerate(said):
        if tuple(unit) != (STAR,):
            continue
        low = found[index - 1][1] if index else 0
        high = next(
            (start for (start, _), other in zip(spans[index + 1 :], said[index + 1 :], strict=True) if other), None
        )
        start, end = spans[index]
        while start > low and sounds[start - 1]:
            start -= 1
        while end < (len(sounds) if high is None else high) and sounds[end]:
            end += 1
        found[index] = (start, end)
    return _put_missing(found, said)


def _put_missing(spans: list[Span], said: Sequence[Sequence[int]]) -> list[Span]:
    """What was not said stands where the unit before it ends, or the first that was said begins."""
    at = next((start for (start, _), unit in zip(spans, said, strict=True) if unit), 0)
    found = []
    for span, unit in zip(spans, said, strict=True):
        found.append(span if unit else (at, at))
        at = found[-1][1]
    return found


def within(spans: Sequence[Span], sounds: Sequence[bool]) -> list[Span]:
    """Spans without the silence before the first sound and behind the last.

    Parameters
    ----------
    sounds
        Of each frame, whether it is loud enough to be speech.
    """
    if not any(sounds):
        return list(spans)
    first, last = sounds.index(True), len(sounds) - list(reversed(sounds)).index(True)
    return [(min(max(start, first), last), min(max(end, first), last)) for start, end in spans]


def loud_frames(log_mel: Tensor) -> list[bool]:
    """Whether each encoder frame is loud enough for speech; log_mel [shape=(n_mels, frames)]"""
    loudest = log_mel.amax(dim=0)
    loudest = torch.nn.functional.pad(loudest, (0, loudest.numel() % ENCODER_STRIDE), value=-torch.inf)
    level = loudest.view(-1, ENCODER_STRIDE).amax(dim=1)
    return list((level > level.max() - _SILENCE_DB / _DB_PER_UNIT).tolist())
