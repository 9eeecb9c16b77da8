"""How well a response carries the phones of a reference, by connectionist temporal classification (Graves et al. 2006).

The reference's phones are read off its own frames, so no text and no pronouncing dictionary is needed. The comparison of the
expected phones' fit with the best one, frame by frame, follows the goodness of pronunciation (Witt and Young 2000).
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import ctc_loss
from torchaudio.functional import forced_align

from models.network.phones import PAUSE

WINDOWS_FRAMES = (6, 12, 24, 48)  # of 20 ms: about a phone, a syllable, a word, two words
N_PHONE_FIT = len(WINDOWS_FRAMES) + 5  # columns of `phone_fit`
_MOST_NATS = 12.0  # per frame; a shortfall beyond it is as bad as one can be


def greedy_phones(logits: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Best class per frame, runs joined and silence dropped.

    Parameters
    ----------
    logits : [shape=(batch, frames, classes)]
    lengths : int64 [shape=(batch,)]
        Frames of each clip.

    Returns
    -------
    tuple[Tensor, Tensor]
        Phones int64 [shape=(batch, most)], padded with silence, and their numbers [shape=(batch,)].
    """
    best = logits.argmax(dim=-1)
    inside = torch.arange(best.shape[1], device=best.device) < lengths[:, None]
    starts = torch.ones_like(inside)
    starts[:, 1:] = best[:, 1:] != best[:, :-1]
    kept = inside & starts & (best != PAUSE)
    rows = [row[keep] for row, keep in zip(best, kept, strict=True)]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAUSE), kept.sum(dim=1)


def negative_log_likelihood(logits: Tensor, lengths: Tensor, phones: Tensor, phone_counts: Tensor) -> Tensor:
    """-log p(phones | frames) in nats, per clip [shape=(batch,)]; infinite where there are more phones than frames."""
    log_probabilities = logits.float().log_softmax(dim=-1).transpose(0, 1)
    return ctc_loss(log_probabilities, phones, lengths, phone_counts, blank=PAUSE, reduction="none")


def align_phones(log_probabilities: Tensor, lengths: Tensor, phones: Tensor, phone_counts: Tensor) -> Tensor:
    """The class of each frame on the likeliest way through a clip that speaks the given phones (Viterbi; CTC).

    Parameters
    ----------
    log_probabilities : float32 [shape=(batch, frames, classes)]
        On the CPU.
    phones : int64 [shape=(batch, most)]
        With `phone_counts` [shape=(batch,)].

    Returns
    -------
    int64 [shape=(batch, frames)]
        Silence beyond a clip's end; -1 everywhere in a clip too short for its phones.
    """
    path = torch.full(log_probabilities.shape[:2], PAUSE)
    repeated = (phones[:, 1:] == phones[:, :-1]) & (torch.arange(phones.shape[1])[1:] < phone_counts[:, None])
    too_short = phone_counts + repeated.sum(dim=1) > lengths
    for row, (length, count) in enumerate(zip(lengths.tolist(), phone_counts.tolist(), strict=True)):
        if too_short[row]:
            path[row] = -1
        elif count:
            clip = log_probabilities[row : row + 1, :length].contiguous()
            path[row, :length] = forced_align(clip, phones[row : row + 1, :count].contiguous(), blank=PAUSE)[0][0]
    return path


def phone_fit(
    reference_logits: Tensor, reference_lengths: Tensor, response_logits: Tensor, response_lengths: Tensor
) -> Tensor:
    """How much worse the response's frames fit the reference's phones than their own best classes, and where.

    A wrong word is a short stretch of bad fit. Summed over a clip it drowns in a child's pronunciation of all other words,
    so the worst stretches count by themselves, and so does speech where the reference has none.

    Parameters
    ----------
    logits
        Phone classifier's [shape=(batch, frames, classes)]; lengths int64 [shape=(batch,)].

    Returns
    -------
    [shape=(batch, N_PHONE_FIT)]
        Logarithms of 1 + the shortfall in nats: of the worst window of each of `WINDOWS_FRAMES`, of the worst phone
        (per frame), of the worst three neighbouring phones, of all phones on average, of all pauses, of everything.
    """
    phones, phone_counts = (values.cpu() for values in greedy_phones(reference_logits, reference_lengths))
    lengths = response_lengths.cpu()
    log_probabilities = response_logits.float().log_softmax(dim=-1).cpu().nan_to_num(nan=-_MOST_NATS)
    path = align_phones(log_probabilities, lengths, phones, phone_counts)
    return fit_along(log_probabilities, path, lengths, phone_counts).to(response_logits.device)


def fit_along(log_probabilities: Tensor, path: Tensor, lengths: Tensor, phone_counts: Tensor) -> Tensor:
    """The same for a way that is known; all on the CPU.

    Parameters
    ----------
    log_probabilities : float32 [shape=(batch, frames, classes)]
    path : int64 [shape=(batch, frames)]
        As from `align_phones`.
    lengths, phone_counts : int64 [shape=(batch,)]
        Frames of each clip, and phones on its path.
    """
    shortfall = _shortfall(log_probabilities, path, lengths)
    of_phones = _mean_by_phone(shortfall, path, max(1, int(phone_counts.max())))
    columns = [
        *(_worst_stretch(shortfall, window) for window in WINDOWS_FRAMES),
        _worst_stretch(of_phones, 1),
        _worst_stretch(of_phones, 3),
        of_phones.sum(dim=1) / phone_counts.clamp(min=1),
        (shortfall * (path == PAUSE)).sum(dim=1),
        shortfall.sum(dim=1),
    ]
    return torch.stack(columns, dim=1).log1p()


def _shortfall(log_probabilities: Tensor, path: Tensor, lengths: Tensor) -> Tensor:
    """Nats by which the path's class falls short of the best one, per frame [shape=(batch, frames)]; 0 beyond the end."""
    on_path = log_probabilities.gather(2, path.clamp(min=0)[:, :, None]).squeeze(2)
    lost = (log_probabilities.amax(dim=2) - on_path).clamp(0, _MOST_NATS).masked_fill(path < 0, _MOST_NATS)
    return lost * (torch.arange(path.shape[1]) < lengths[:, None])


def _worst_stretch(values: Tensor, width: int) -> Tensor:
    """Largest sum of `width` neighbours [shape=(batch,)] of values >= 0 [shape=(batch, n)]."""
    sums = nn.functional.pad(values, (width, width - 1)).cumsum(dim=1)
    return (sums[:, width:] - sums[:, :-width]).amax(dim=1) if values.shape[1] else values.sum(dim=1)


def _mean_by_phone(shortfall: Tensor, path: Tensor, n_phones: int) -> Tensor:
    """Mean over the frames of each phone of the path, in order [shape=(batch, n_phones)]; 0 for phones that it lacks."""
    spoken = path > PAUSE
    starts = spoken.clone()
    starts[:, 1:] &= path[:, 1:] != path[:, :-1]
    phone = starts.cumsum(dim=1) * spoken  # 1 for the first one; pauses are counted as number 0
    sums, counts = (
        torch.zeros(len(path), n_phones + 1).scatter_add_(1, phone, values) for values in (shortfall, spoken.float())
    )
    return (sums / counts.clamp(min=1))[:, 1:]
