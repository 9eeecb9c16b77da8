"""A verifier's second opinion: how well the response carries the phones of the expected text, weighed with what it said itself.

What the decoder makes of a text and what the frames say of its phones err in different places. The weights, of the logit and
of each column, are those of a logistic regression for each task (tools/weigh_phones.py).
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from models.network.phone_fit import N_PHONE_FIT, fit_along
from models.network.phones import PAUSE
from models.network.readings import best_reading, readings_of
from models.network.restarts import spoken_path
from models.speech.reading import Reading

N_EVIDENCE = N_PHONE_FIT + 2
_MOST_NATS = 20.0  # per phone; a text that falls further behind is as bad as one can be


def evidence_columns(log_probabilities: Tensor, lengths: Tensor, readings: Tensor) -> Tensor:
    """What is weighed: float32 [shape=(batch, N_EVIDENCE)]; 0 for texts without phones.

    Those of `phone_fit`, along the likeliest way on which words may be begun again (`spoken_path`); the logarithm of 1 + the nats
    per phone of the text by which that way falls behind the best classes, and that of the number of phones. Of several readings
    that count as the text the one that fits best is taken.

    Parameters
    ----------
    log_probabilities : float32 [shape=(batch, frames, classes)]
    lengths : int64 [shape=(batch,)]
    readings : int64 [shape=(batch, readings, words, phones)]
        As of `collate_text`.
    """
    device = log_probabilities.device
    log_probabilities, lengths, readings = (tensor.cpu() for tensor in (log_probabilities, lengths, readings))
    path = torch.full(log_probabilities.shape[:2], PAUSE)
    counts = torch.zeros_like(lengths)
    for row, length in enumerate(lengths.tolist()):
        if accepted := readings_of(readings[row]):
            path[row, :length], counts[row] = _path_of_best(log_probabilities[row, :length], accepted)
    fit = fit_along(log_probabilities, path, lengths, _spoken(path).clamp(min=1))
    behind = (fit[:, -1].expm1() / counts.clamp(min=1)).clamp(max=_MOST_NATS)
    behind = behind.masked_fill(path[:, 0] < 0, _MOST_NATS)  # more phones than frames
    columns = torch.column_stack([fit, behind.log1p(), counts.clamp(min=1).log()]) * (counts > 0)[:, None]
    return columns.to(device)


def _path_of_best(log_probabilities: Tensor, accepted: Sequence[Reading]) -> tuple[Tensor, int]:
    """The way through a response by the reading that fits best, -1 where there is none, and how many phones that one has."""
    words = best_reading(log_probabilities, accepted)
    phones = np.array([phone for word in words for phone in word])
    found = spoken_path(log_probabilities.numpy(), phones, np.repeat(np.arange(len(words)), [*map(len, words)]))
    return torch.tensor(-1) if found is None else torch.from_numpy(found), len(phones)


def _spoken(path: Tensor) -> Tensor:
    """How many phones there are on each way, those that are said again counted again [shape=(batch,)]."""
    begins = torch.ones_like(path, dtype=torch.bool)
    begins[:, 1:] = path[:, 1:] != path[:, :-1]
    return (begins & (path > PAUSE)).sum(dim=1)


class PhoneEvidence(nn.Module):
    """A logit, corrected.

    Parameters
    ----------
    n_tasks
        Each has weights of its own.
    """

    def __init__(self, n_tasks: int) -> None:
        super().__init__()
        self.weigh = nn.Linear(1 + N_EVIDENCE, n_tasks)

    def forward(self, logits: Tensor, columns: Tensor, tasks: Tensor, readings: Tensor) -> Tensor:
        """Logits [shape=(batch,)]; those of texts without phones as they are.

        Parameters
        ----------
        columns
            Of `evidence_columns`.
        tasks : int64 [shape=(batch,)]
            Their places.
        readings
            As of `evidence_columns`.
        """
        weighed = self.weigh(torch.column_stack([logits, columns])).gather(1, tasks[:, None])[:, 0]
        return torch.where((readings >= 0).flatten(1).any(dim=1), weighed, logits)
