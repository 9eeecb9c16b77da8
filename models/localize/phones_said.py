"""How well the phones of each word were said, by a verifier that tells phones.

Each phone is left out once, and once replaced by anything: where the response fits such a text better than the expected one, it
was not said as expected. Likelihoods sum over all alignments, so none is trusted (Cao et al. 2024, "A framework for phoneme-level
pronunciation assessment using CTC").
"""

from itertools import pairwise

import numpy as np
from torch import Tensor

from models.ensemble.metrics import Values
from models.errors import InputError
from models.localize.edits import edit_gains
from models.localize.unit_scores import signed_log
from models.localize.units import read_accepted
from models.network.readings import best_reading
from models.speech.arpabet import Phones
from models.speech.pronunciation import accepted_utterances
from models.speech.reading import Reading


def phones_said(
    log_probabilities: Tensor | None, task: str, text: str, given: tuple[Phones, ...] = ()
) -> dict[str, Values] | None:
    """Features of each word, by name, each [shape=(words,)]; None where no phones are heard, or nothing tells the text's.

    Parameters
    ----------
    log_probabilities : float32 [shape=(frames, classes)]
        Of the response's phones, as from `Listener.phones`.
    given
        Pronunciations of the text, where there are any.
    """
    if log_probabilities is None:
        return None
    try:
        readings = read_accepted(accepted_utterances(task, text, given))
    except InputError:
        return None
    return gains_of_words(log_probabilities, best_reading(log_probabilities, readings)) if readings else None


def gains_of_words(log_probabilities: Tensor, reading: Reading) -> dict[str, Values] | None:
    """The gain of each word's worst phone replaced, of its phones on average, and of its worst phone left out, by `signed_log`.

    A word without phones of its own has the means of the others; None where no word has any.
    """
    phones = [phone for word in reading for phone in word]
    if not phones:
        return None
    gains = edit_gains(log_probabilities, [(phone,) for phone in phones])
    different, missing = gains.different.double().numpy(), gains.missing.double().numpy()
    ends = np.cumsum([0, *map(len, reading)])
    columns = {
        "phone_worst": [different[start:end].max(initial=-np.inf) for start, end in pairwise(ends)],
        "phone_mean": [different[start:end].mean() if end > start else -np.inf for start, end in pairwise(ends)],
        "phone_missing": [missing[start:end].max(initial=-np.inf) for start, end in pairwise(ends)],
    }
    return {name: signed_log(_filled(np.array(values))) for name, values in columns.items()}


def _filled(values: Values) -> Values:
    known = np.isfinite(values)
    return np.where(known, values, values[known].mean())
