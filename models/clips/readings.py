"""The phones of expected texts, for networks whose scores rest on them: all that counts as a text said right."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from models.clips.tables import accepted
from models.speech.reading import Reading, accepted_readings


def read_texts(table: pd.DataFrame) -> list[Tensor]:
    """How each row's text may be said, as from `readings_tensor`.

    Raises
    ------
    InputError
        Where espeak-ng is not installed.
    """
    of_rows = accepted(table)
    known = {utterances: readings_tensor(accepted_readings(utterances)) for utterances in dict.fromkeys(of_rows)}
    return [known[utterances] for utterances in of_rows]


def readings_tensor(readings: Sequence[Reading]) -> Tensor:
    """The phone classes of each word: int64 [shape=(readings, words, phones)], -1 where a word has no more."""
    most = max((len(word) for reading in readings for word in reading), default=0)
    padded = [[[*word, *[-1] * (most - len(word))] for word in reading] for reading in readings]
    return torch.tensor(padded, dtype=torch.int64)  # else, of words without phones, of floats


def stack_readings(readings: Sequence[Tensor]) -> Tensor:
    """Of several texts: int64 [shape=(texts, readings, words, phones)], -1 where a text has fewer."""
    sizes = np.array([one.shape for one in readings])
    stacked = torch.full((len(readings), *sizes.max(axis=0).tolist()), -1)
    for row, one in zip(stacked, readings, strict=True):
        row[tuple(map(slice, one.shape))] = one
    return stacked
