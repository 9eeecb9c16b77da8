"""What an ensemble hears of each answer; who hears nothing has no say in its score."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.clips.hearing import hears, told_cut, told_unheard
from models.ensemble.metrics import Values
from models.errors import InputError
from models.recipe import Recipe
from models.speech.samples import SAMPLE_RATE_HZ, Waveform


@dataclass(frozen=True)
class Unheard:
    """In words, by row.

    Attributes
    ----------
    answers
        Those of which no model hears anything: a score would say nothing of them.
    parts
        Those that are scored, but not heard by every model to their end.
    """

    answers: dict[int, str]
    parts: dict[int, str]


class PartlyHeard(UserWarning):
    """An answer was scored by what the models hear of it."""


def find_unheard(
    recipes: Sequence[Recipe],
    response_seconds: Sequence[float],
    said: Sequence[str],
    references: Mapping[str, Waveform],
) -> Unheard:
    """Compare what is there with what fits into the models' inputs.

    Parameters
    ----------
    recipes
        Of the ensemble's members, or of its models.
    said
        The utterance of each row's reference, a key of `references`; empty where no member hears references.
    """
    found = Unheard({}, {})
    distinct = list(dict.fromkeys(recipes))
    for row, response in enumerate(response_seconds):
        reference = len(references[said[row]]) / SAMPLE_RATE_HZ if said else 0.0
        if not any(hears(recipe, response, reference) for recipe in distinct):
            found.answers[row] = told_unheard(distinct, reference)
        elif told := told_cut(distinct, response, reference):
            found.parts[row] = told
    return found


def tell_unheard(unheard: Unheard) -> None:
    """Raises InputError where nothing of an answer is heard; where not all of one is, warns who called the
    caller's caller."""
    if unheard.answers:
        raise InputError(next(iter(unheard.answers.values())))
    if unheard.parts:
        row, told = next(iter(unheard.parts.items()))
        warnings.warn(f"{len(unheard.parts)} answers, the first at {row}: {told}", PartlyHeard, stacklevel=4)


def shares_of_hearing(shares: Sequence[float], hear: NDArray[np.bool_]) -> Values:
    """Each member's share in the score of each clip: float64 [shape=(members, clips)].

    Parameters
    ----------
    shares
        In an answer that all of them hear.
    hear : [shape=(members, clips)]
        Whether a member hears anything of a clip; where none does, all count.
    """
    hear = hear | ~hear.any(axis=0)
    of_each = np.where(hear, np.array(shares)[:, None], 0.0)
    return np.where(hear.all(axis=0), of_each, of_each * (sum(shares) / of_each.sum(axis=0)))
