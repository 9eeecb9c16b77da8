"""How likely a response is by texts that differ from one text in a single place each.

Likelihoods sum over all alignments (connectionist temporal classification, Graves et al. 2006). What such texts have in common
before and behind the place is summed once, from the response's beginning and from its end; what stands in the place is summed for
each text alone, and joined to both at every frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.ensemble.metrics import Values
from models.network.phones import PAUSE

_NEVER = -1e30  # log probability; finite, so that differences are
_BARRED = -1e6  # of a class in a frame at worst: no text gets over it
_LEAST = -1e4  # of a text
_NO_PHONE = np.iinfo(np.int64).min  # stands before the first one, and equals none

Rows = NDArray[np.int64] | NDArray[np.bool_] | slice


class Splice(NamedTuple):
    """The text's phones before `start`, then others, then the text's from `end` on."""

    start: int
    phones: Sequence[int]
    end: int


@dataclass
class _Reached:
    """Log probabilities of the first frames by some phones, of which the last one is still spoken or a pause has begun.

    Attributes
    ----------
    phones : int64 [shape=(rows,)]
        The last ones.
    speaking, pausing : [shape=(rows, frames + 1)]
        By the number of frames.
    """

    phones: NDArray[np.int64]
    speaking: Values
    pausing: Values

    def __getitem__(self, rows: Rows) -> "_Reached":
        return _Reached(self.phones[rows], self.speaking[rows], self.pausing[rows])

    def before(self, phones: NDArray[np.int64]) -> Values:
        """The same, where these may follow: equal ones after a pause alone, or they would be one."""
        return _add(self.pausing, np.where((self.phones == phones)[:, None], _NEVER, self.speaking))


def spliced_likelihoods(log_probabilities: Values, phones: Sequence[int], splices: Sequence[Splice]) -> Values:
    """Log likelihood of each spliced text in nats [shape=(splices,)], at worst -1e4.

    Parameters
    ----------
    log_probabilities : float64 [shape=(frames, classes)]
    phones
        Of the text, as indices of classes; negative ones count from the last class.
    """
    sums = np.pad(log_probabilities.clip(min=_BARRED).T.cumsum(axis=1), ((0, 0), (1, 0)))
    reached = _read(sums, phones)[np.array([splice.start for splice in splices])]
    _go_on(reached, sums, [splice.phones for splice in splices])
    backwards = _read(sums[:, -1:] - sums[:, ::-1], phones[::-1])
    rest = backwards[np.array([len(phones) - splice.end for splice in splices])].before(reached.phones)
    return _sum(reached.speaking + rest[:, ::-1]).clip(min=_LEAST)


def _read(sums: Values, phones: Sequence[int]) -> _Reached:
    """A row for each number of the phones, from none to all; sums [shape=(classes, frames + 1)] : of log probabilities."""
    shape = len(phones) + 1, sums.shape[1]
    found = _Reached(np.array([_NO_PHONE, *phones]), np.full(shape, _NEVER), np.full(shape, _NEVER))
    found.speaking[0, 0] = 0
    found.pausing[0] = _stay(found.speaking[0], sums[PAUSE])
    for place, phone in enumerate(phones):
        before, after = slice(place, place + 1), slice(place + 1, place + 2)
        found.speaking[after] = _stay(found[before].before(found.phones[after]), sums[phone])
        found.pausing[after] = _stay(found.speaking[after], sums[PAUSE])
    return found


def _go_on(reached: _Reached, sums: Values, phones: Sequence[Sequence[int]]) -> None:
    """Each row with phones of its own; pauses behind the last of them are left out."""
    counts = np.array([len(own) for own in phones])
    for place in range(int(counts.max())):
        more = counts > place
        if place:
            reached.pausing[more] = _stay(reached.speaking[more], sums[PAUSE])
        following = np.array([own[place] for own in phones if len(own) > place])
        reached.speaking[more] = _stay(reached[more].before(following), sums[following])
        reached.phones[more] = following


def _stay(entering: Values, sums: Values) -> Values:
    """In a class that is entered after any number of frames, for one frame or several."""
    stayed = np.full(entering.shape, _NEVER)
    stayed[..., 1:] = np.logaddexp.accumulate((entering - sums)[..., :-1], axis=-1) + sums[..., 1:]
    return stayed


def _add(some: Values, others: Values) -> Values:
    """`np.logaddexp` of finite values, in a quarter of its time."""
    return np.maximum(some, others) + np.log(1 + np.exp(-np.abs(some - others)))


def _sum(values: Values) -> Values:
    most = values.max(axis=1)
    return np.asarray(most + np.log(np.exp(values - most[:, None]).sum(axis=1)), np.float64)
