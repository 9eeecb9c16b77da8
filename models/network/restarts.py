"""The likeliest way through a response that speaks a text, whose words may be begun again: children do.

After any part of a word or of those behind it a speaker may go back to its beginning, so that neither a word said twice, nor one
begun and then said, nor the whole answer said again is more than the text. Otherwise as CTC's best path (Graves et al. 2006).
"""

import numpy as np
from numpy.typing import NDArray

from models.network.phones import PAUSE

RESTART_NATS = 4.0  # what going back costs: about a phone that fits badly
_STAY, _RESTART = 0, 3  # of the moves; 1 and 2 are CTC's

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
    may_skip = np.zeros(len(states), bool)
    may_skip[3::2] = phones[1:] != phones[:-1]
    emissions = log_probabilities[:, states].astype(np.float64)
    best = np.full(len(states), -np.inf)
    best[:2] = emissions[0, :2]
    moves, origins = [], []
    for frame in emissions[1:]:
        step = np.full((3, len(states)), -np.inf)
        step[_STAY], step[1, 1:], step[2, 2:] = best, best[:-1], best[:-2]
        step[2, ~may_skip] = -np.inf
        move = step.argmax(axis=0)
        reached = step.max(axis=0)
        behind, origin = _best_behind(best)
        again = behind[starts] - RESTART_NATS
        better = starts[again > reached[starts]]
        move[better], reached[better] = _RESTART, behind[better] - RESTART_NATS
        moves.append(move)
        origins.append(origin)
        best = reached + frame
    state = len(states) - 1 - int(best[-2] > best[-1])
    if not np.isfinite(best[state]):
        return None
    path = np.empty(len(emissions), np.int64)
    for place in range(len(emissions) - 1, -1, -1):
        path[place] = state
        if place:
            move = moves[place - 1][state]
            state = int(origins[place - 1][state]) if move == _RESTART else state - int(move)
    return states[path]


def _best_behind(best: NDArray[np.float64]) -> tuple[NDArray[np.float64], Places]:
    """For each state the best of those behind it, and which that is."""
    backwards = np.concatenate([[-np.inf], best[:0:-1]])  # of the last state first, behind which there is none
    highest = np.maximum.accumulate(backwards)
    is_new = np.concatenate([[True], highest[1:] > highest[:-1]])
    places = np.maximum.accumulate(np.where(is_new, np.arange(len(backwards)), 0))
    return highest[::-1], (len(best) - places)[::-1]
