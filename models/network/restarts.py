"""The likeliest way through a response that speaks a text, whose words may be begun again: children do.

After any part of a word or of those behind it a speaker may go back to its beginning, so that neither a word said twice, nor one
begun and then said, nor the whole answer said again is more than the text. Otherwise as CTC's best path (Graves et al. 2006).
"""

import numpy as np
from numpy.typing import NDArray

from models.network.phones import PAUSE

RESTART_NATS = 4.0  # what going back costs: about a phone that fits badly
_BEFORE = 2  # places before the first state, where nobody is

Floats = NDArray[np.float32]
Places = NDArray[np.int64]


def spoken_path(log_probabilities: Floats, phones: Places, words: Places) -> Places | None:
    """The class of each frame [shape=(frames,)]; None where there are fewer frames than phones.

    Parameters
    ----------
    log_probabilities : [shape=(frames, classes)]
    phones, words : [shape=(phones,)]
        Their classes, and which word each belongs to.
    """
    states = np.full(2 * len(phones) + 1, PAUSE)
    states[1::2] = phones
    starts = 2 * np.flatnonzero(np.diff(words, prepend=-1)) + 1
    skips = np.full(len(states), -np.inf)
    skips[3::2][phones[1:] != phones[:-1]] = 0.0
    bests = _best_ways(log_probabilities[:, states].astype(np.float64), starts, skips)
    last = bests[-1]
    state = len(states) - 1 - int(last[-2] > last[-1])
    if not np.isfinite(last[_BEFORE + state]):
        return None
    path = np.empty(len(bests), np.int64)
    path[-1] = state
    for place in range(len(bests) - 1, 0, -1):
        state = path[place - 1] = _origin(bests[place - 1], state, state in starts, skips[state])
    return states[path]


def _best_ways(emissions: NDArray[np.float64], starts: Places, skips: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the best way to each state is worth [shape=(frames, _BEFORE + states)]."""
    bests = np.full((emissions.shape[0], _BEFORE + emissions.shape[1]), -np.inf)
    bests[0, _BEFORE : _BEFORE + 2] = emissions[0, :2]
    behind = emissions.shape[1] - 2 - starts  # their places, counted from the end
    for before, best, frame in zip(bests[:-1], bests[1:, _BEFORE:], emissions[1:], strict=True):
        np.maximum(before[2:], before[1:-1], out=best)
        np.maximum(best, before[:-2] + skips, out=best)
        again = np.maximum.accumulate(before[::-1])[behind] - RESTART_NATS
        best[starts] = np.maximum(best[starts], again)
        best += frame
    return bests


def _origin(before: NDArray[np.float64], state: int, is_start: bool, skip: float) -> int:
    """Where the best way to a state was a frame earlier: who may stay stays, and goes back only if that is better."""
    two, one, stays = before[state : state + 3].tolist()
    reached = max(stays, one, two + skip)
    if is_start:
        behind = before[: _BEFORE + state : -1]
        place = int(behind.argmax())
        if behind[place] - RESTART_NATS > reached:
            return len(before) - _BEFORE - 1 - place
    return state - (stays, one, two + skip).index(reached)
