"""How well a response carries the phones of a reference, by connectionist temporal classification (Graves et al. 2006).

The reference's phones are read off its own frames, so no text and no pronouncing dictionary is needed.
"""

import torch
from torch import Tensor
from torch.nn.functional import ctc_loss

SILENCE = 0  # index of the class of pauses, and the CTC blank
N_EVIDENCE = 2  # columns of `phone_evidence`
_MOST_NATS = 60.0  # a shortfall beyond it is as bad as one can be


def greedy_phones(logits: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Best class per frame, runs joined and silence dropped.

    logits : [shape=(batch, frames, classes)]
    lengths : int64 [shape=(batch,)], frames of each clip
    returns : phones int64 [shape=(batch, most)], padded with silence, and their numbers [shape=(batch,)]
    """
    best = logits.argmax(dim=-1)
    inside = torch.arange(best.shape[1]) < lengths[:, None]
    starts = torch.ones_like(inside)
    starts[:, 1:] = best[:, 1:] != best[:, :-1]
    kept = inside & starts & (best != SILENCE)
    rows = [row[keep] for row, keep in zip(best, kept, strict=True)]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=SILENCE), kept.sum(dim=1)


def negative_log_likelihood(logits: Tensor, lengths: Tensor, phones: Tensor, phone_counts: Tensor) -> Tensor:
    """-log p(phones | frames) in nats, per clip [shape=(batch,)]; infinite where there are more phones than frames."""
    log_probabilities = logits.float().log_softmax(dim=-1).transpose(0, 1)
    return ctc_loss(log_probabilities, phones, lengths, phone_counts, blank=SILENCE, reduction="none")


def phone_evidence(
    reference_logits: Tensor, reference_lengths: Tensor, response_logits: Tensor, response_lengths: Tensor
) -> Tensor:
    """Likelihood ratio of the reference's phones against the response's own best ones.

    logits : phone classifier's [shape=(batch, frames, classes)]; lengths int64 [shape=(batch,)]
    returns : [shape=(batch, 2)]: the shortfall in nats per phone, and the logarithm of 1 + the whole shortfall
    """
    expected, n_expected = greedy_phones(reference_logits, reference_lengths)
    heard, n_heard = greedy_phones(response_logits, response_lengths)
    best = negative_log_likelihood(response_logits, response_lengths, heard, n_heard)
    found = negative_log_likelihood(response_logits, response_lengths, expected, n_expected)
    shortfall = (found - best).nan_to_num(nan=_MOST_NATS, posinf=_MOST_NATS).clamp(0, _MOST_NATS)
    return torch.stack([shortfall / n_expected.clamp(min=1), shortfall.log1p()], dim=1)
