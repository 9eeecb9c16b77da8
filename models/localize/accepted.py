"""A text in units, as a response says it."""

from collections.abc import Sequence

from torch import Tensor

from models.localize.units import Pronunciation, in_units, read_accepted
from models.network.readings import best_reading


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
