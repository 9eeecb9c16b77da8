"""How well each word of a text was said, as people who judge pronunciation would find it.

That another word was said is one question, and that this one was said badly another: its tokens are heard, but hardly anybody
would write them down. So what tells is above all each token's log-probability after those before it, as in a transcript, and how
the phones fit what was said.
"""

from collections.abc import Mapping

import numpy as np

from models.ensemble.metrics import Values
from models.localize.read_text import ReadText
from models.localize.unit_scores import TELLING, WRITING, class_probabilities, table_of_width

TABLE = "word said well, tokens"  # and the width; of networks that write, fitted with their transcripts


def pronunciation_features(
    read: ReadText, written: Values | None = None, phones: Mapping[str, Values] | None = None
) -> dict[str, Values]:
    """By name, each [shape=(words,)].

    Parameters
    ----------
    written : float64 [shape=(words,)]
        Of networks that write answers down whether each word stands there, as from `written_as_expected`.
    phones
        Of networks that tell phones, as from `phones_said`.
    """
    n = len(read.least)
    features = {
        "least": read.least,
        "likely": read.likely[:-1],
        "likely_mean": read.likely_means[:-1],
        "gap_before": read.gaps[:-1],
        "gap_after": read.gaps[1:],
        "whole": np.full(n, read.whole),
        "text_likely": np.full(n, read.likely_means.mean()),
    }
    return {**features, **({} if written is None else {"written": written}), **(phones or {})}


def said_well(
    read: ReadText, width: int, written: Values | None = None, phones: Mapping[str, Values] | None = None
) -> Values:
    """Of each word the probability that five experts would give it 7 of 10 or more in the median: float64 [shape=(words,)].

    By a network of a width; further arguments as of `pronunciation_features`. Their scale is that of speechocean762 (Zhang et al.
    2021): from 7 a word is right, perhaps with an accent; below, some of its phones are wrong.
    """
    writing = "" if written is None else WRITING
    table = table_of_width(TABLE, width, *([] if phones is None else [f"{writing}{TELLING}"]), writing)
    return class_probabilities(table, "units", pronunciation_features(read, written, phones))[:, 0]
