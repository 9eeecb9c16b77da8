"""Phones in the frames of a verifier's encoder, for who asks how a word was said and not only whether it was.

It is taught on the finished encoder, which stays as it is, by connectionist temporal classification (Graves et al. 2006), on
recordings whose words are known (tools/teach_phones.py). No answer depends on it but where `PhoneEvidence` weighs it.
"""

import torch
from torch import Tensor, nn

from models.network.phones import PAUSE

_HIDDEN = 256
_FRAMES_AROUND = 5  # 0.1 s
_DROPOUT = 0.2


class PhoneClassifier(nn.Module):
    """One hidden layer on each frame and one that sees its neighbours."""

    def __init__(self, width: int, n_classes: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.inner = nn.Linear(width, _HIDDEN)
        self.around = nn.Conv1d(_HIDDEN, _HIDDEN, _FRAMES_AROUND, padding=_FRAMES_AROUND // 2)
        self.classes = nn.Linear(_HIDDEN, n_classes)
        self.dropout = nn.Dropout(_DROPOUT)

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """Log-probabilities, float32 [shape=(batch, frames, classes)], of frames [shape=(batch, frames, width)].

        What the mask, bool [shape=(batch, frames)], shuts out changes nothing within.
        """
        inner = nn.functional.gelu(self.inner(self.dropout(self.norm(frames.float()))))
        inner = self.dropout(inner) * mask[..., None]
        around = nn.functional.gelu(self.around(inner.transpose(1, 2)).transpose(1, 2))
        return self.classes(self.dropout(inner + around)).log_softmax(dim=-1)


def phone_loss(log_probabilities: Tensor, lengths: Tensor, phones: Tensor, phone_counts: Tensor) -> Tensor:
    """Nats per phone of a batch; a clip too short for its phones teaches nothing.

    Parameters
    ----------
    log_probabilities : float32 [shape=(batch, frames, classes)]
    lengths, phone_counts : int64 [shape=(batch,)]
    phones : int64 [shape=(batch, most)]
    """
    losses = nn.functional.ctc_loss(
        log_probabilities.transpose(0, 1), phones, lengths, phone_counts, PAUSE, reduction="none", zero_infinity=True
    )
    return losses.sum() / torch.where(losses > 0, phone_counts, 0).sum().clamp(min=1)
