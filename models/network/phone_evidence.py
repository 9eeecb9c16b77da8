"""A verifier's second opinion: how well the response carries the phones of the expected text, weighed with what it said itself.

What the decoder makes of a text and what the frames say of its phones err in different places. The weights, of the logit and
of each column, are those of a logistic regression for each task (tools/weigh_phones.py).
"""

import torch
from torch import Tensor, nn

from models.network.phone_fit import N_PHONE_FIT, fit_of_phones, negative_log_likelihood

N_EVIDENCE = N_PHONE_FIT + 2
_MOST_NATS = 20.0  # per phone; a text that falls further behind is as bad as one can be


def evidence_columns(log_probabilities: Tensor, lengths: Tensor, phones: Tensor, phone_counts: Tensor) -> Tensor:
    """What is weighed: float32 [shape=(batch, N_EVIDENCE)]; 0 for texts without phones.

    Those of `fit_of_phones`, the logarithm of 1 + the nats per phone by which the text's likelihood falls behind that of the best
    classes, and that of the number of phones.

    Parameters
    ----------
    log_probabilities : float32 [shape=(batch, frames, classes)]
    lengths, phone_counts : int64 [shape=(batch,)]
    phones : int64 [shape=(batch, most)]
    """
    counts = phone_counts.clamp(min=1)
    fit = fit_of_phones(log_probabilities, lengths, phones, phone_counts)
    inside = torch.arange(log_probabilities.shape[1], device=lengths.device) < lengths[:, None]
    best = (log_probabilities.amax(dim=2) * inside).sum(dim=1)
    behind = best + negative_log_likelihood(log_probabilities, lengths, phones, phone_counts)
    columns = torch.column_stack([fit, (behind / counts).clamp(0, _MOST_NATS).log1p(), counts.log()])
    return columns * (phone_counts > 0)[:, None]


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

    def forward(self, logits: Tensor, columns: Tensor, tasks: Tensor, phone_counts: Tensor) -> Tensor:
        """Logits [shape=(batch,)]; those of texts without phones as they are.

        Parameters
        ----------
        columns
            Of `evidence_columns`.
        tasks : int64 [shape=(batch,)]
            Their places.
        """
        weighed = self.weigh(torch.column_stack([logits, columns])).gather(1, tasks[:, None])[:, 0]
        return torch.where(phone_counts > 0, weighed, logits)
