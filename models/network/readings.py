"""Which of a text's accepted pronunciations a response has: of each word the one that fits it best.

How well one fits is the log likelihood of the whole text's phones, over all alignments (connectionist temporal classification,
Graves et al. 2006). All are asked of the same frames, so it needs no normalization: a ratio to the best phones, or a mean over
frames, would order them alike.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from models.network.phone_fit import negative_log_likelihood
from models.speech.reading import Reading


def best_reading(log_probabilities: Tensor, readings: Sequence[Reading]) -> Reading:
    """The first one, with the words of others where these fit better; of several that change a word, of the best one.

    Parameters
    ----------
    log_probabilities : float32 [shape=(frames, classes)]
        Of the response's phones, on the CPU.
    """
    if len(readings) == 1:
        return readings[0]
    usual, fits = readings[0], _log_likelihoods(log_probabilities, readings)
    found, settled = list(usual), set[int]()
    for place in fits.argsort(descending=True, stable=True).tolist():
        if fits[place] <= fits[0]:
            break
        changed = {word for word, phones in enumerate(readings[place]) if phones != usual[word]}
        if not changed & settled:
            settled |= changed
            for word in changed:
                found[word] = readings[place][word]
    return found


def _log_likelihoods(log_probabilities: Tensor, readings: Sequence[Reading]) -> Tensor:
    """Of each reading, in nats [shape=(readings,)]; -inf of more phones than frames."""
    phones = [torch.tensor([phone for word in reading for phone in word], dtype=torch.long) for reading in readings]
    counts = torch.tensor([len(own) for own in phones])
    alike = log_probabilities.expand(len(readings), -1, -1)
    lengths = torch.full_like(counts, len(log_probabilities))
    return -negative_log_likelihood(alike, lengths, pad_sequence(phones, batch_first=True), counts)


def readings_of(tensor: Tensor) -> list[Reading]:
    """Those of one row of a batch, int64 [shape=(readings, words, phones)] as of `collate_text`; none of no phones."""
    found = [[[phone for phone in word if phone >= 0] for word in reading] for reading in tensor.tolist()]
    return [reading for reading in found if any(reading)]
