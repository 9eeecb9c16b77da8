"""Which of a text's accepted pronunciations a response has: of each word the one that fits it best.

How well one fits is the log likelihood of the whole text's phones, over all alignments (`edits.py`). All are asked of the same
frames, so it needs no normalization: a ratio to the best phones, or a mean over frames, would order them alike.
"""

from collections.abc import Sequence

from torch import Tensor

from models.localize.edits import join, log_likelihoods
from models.localize.units import Pronunciation, Reading, in_units, read_accepted


def pronounce_as_heard(text: str, utterances: Sequence[str], log_probabilities: Tensor) -> Pronunciation | None:
    """The text in units, with the phones that a response fits best.

    Parameters
    ----------
    utterances
        As from `accepted_utterances`.
    log_probabilities : float32 [shape=(frames, classes)]
        Of the response's phones, on the CPU.

    Returns
    -------
    Pronunciation | None
        None as from `pronounce`.
    """
    readings = read_accepted(utterances)
    return in_units(text, best_reading(log_probabilities, readings)) if readings else None


def best_reading(log_probabilities: Tensor, readings: Sequence[Reading]) -> Reading:
    """The first one, with the words of others where these fit better; of several that change a word, of the best one."""
    if len(readings) == 1:
        return readings[0]
    usual, fits = readings[0], log_likelihoods(log_probabilities, [join(words) for words in readings])
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
