"""From what an ensemble's members say of some clips to one score each."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from models.ensemble.correction import SIMPLEX, Correction, corrected, describe
from models.ensemble.metrics import Values


class ModelScores:
    """Gathers the members' probabilities, model by model.

    Parameters
    ----------
    weights
        Of each model, by name.
    """

    def __init__(self, weights: Mapping[str, float], n_clips: int) -> None:
        self._weights = weights
        self._place = {name: place for place, name in enumerate(weights)}
        self._parts, self._shares = np.zeros((n_clips, len(weights))), np.zeros((n_clips, len(weights)))

    def add(self, model: str, shares: Values, probabilities: Values) -> None:
        """What a member of `model` says, and its share in the blend of each clip [shape=(clips,) each]."""
        self._parts[:, self._place[model]] += shares * probabilities
        self._shares[:, self._place[model]] += shares

    def blended(self, correction: Correction, table: pd.DataFrame) -> Values:
        """The ensemble's probabilities [shape=(clips,)]. For a model that hears nothing of a clip the others speak."""
        blend = self._parts.sum(axis=1, keepdims=True)
        heard = self._shares > 0
        by_model = np.where(heard, self._parts / np.where(heard, self._shares, 1.0), blend)
        return corrected(correction, by_model, self._weights, *_facts(table))


def describe_blend(members: Sequence[Any], correction: Correction, fitted: bool) -> str:
    """How an ensemble's score is made, in words."""
    if len(members) == 1 and correction == SIMPLEX:
        return "one network, by the sound of the answer alone"
    networks = f"{len(members)} networks"
    if not fitted:
        return f"{networks} with equal weights, by the sound of the answer alone; nothing was fitted"
    return f"{networks}, {describe(correction)}"


def _facts(table: pd.DataFrame) -> tuple[Sequence[str], Sequence[str], Sequence[str]]:
    tasks, grades, texts = (table[name].tolist() for name in ("task", "grade", "expected_text"))
    return tasks, grades, texts
