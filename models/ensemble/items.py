"""How hard an item is, from labels alone: shares of right answers, each level shrunk towards the one above it.

All clips → task and grade → task and text → these in a grade. Each share is the mean of a beta distribution around the share
above it; the strength of the shrinkage, in clips, maximises the labels' likelihood (empirical Bayes; Efron & Morris 1977).
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy  # its parts are imported at their first use
from numpy.typing import NDArray

from models.ensemble.metrics import Values, logit
from models.speech.written import normal_text

LEVELS = 3
_STRENGTHS = (0.1, 1e5)  # clips

Codes = NDArray[np.intp]
Counts = dict[str, list[float]]


@dataclass(frozen=True)
class ItemTable:
    """Right answers and clips of each item, as plain values.

    Attributes
    ----------
    overall
        The share of right answers, inside (0, 1).
    strengths
        Of each level, in clips.
    levels
        By key: right answers and clips.
    """

    overall: float
    strengths: list[float]
    levels: list[Counts]


@lru_cache(maxsize=100_000)  # clips share texts
def item_keys(task: str, grade: str, text: str) -> tuple[str, str, str]:
    """The names of an answer's items, the widest first. Texts are told by checksums: a table may be given away without them."""
    item = _checksum(task, text)
    return f"{task} {grade}", item, f"{item} {grade}"


@lru_cache(maxsize=10_000)
def _checksum(task: str, text: str) -> str:
    """The same however the text is spaced and capitalised."""
    written = " ".join(normal_text(text).casefold().split())
    return hashlib.sha256(f"{task}\n{written}".encode()).hexdigest()[:20]


def fit_items(keys: Sequence[tuple[str, str, str]], labels: Values) -> ItemTable:
    """The table of some clips.

    Parameters
    ----------
    keys
        Of `item_keys`, a clip each.
    labels : [shape=(clips,)]
    """
    names, codes = encode(keys)
    overall, fitted = _fit(codes, labels, [len(own) for own in names])
    levels = [
        {
            name: [float(rights), float(clips)]
            for name, rights, clips in zip(own, level.rights, level.clips, strict=True)
        }
        for own, level in zip(names, fitted, strict=True)
    ]
    return ItemTable(overall, [level.strength for level in fitted], levels)


def difficulties(table: ItemTable, keys: Sequence[tuple[str, str, str]]) -> Values:
    """By how much an item's log-odds differ from those of its task and grade; 0 where it is not known [shape=(clips,)]."""
    fitted = []
    for level, counts in enumerate(table.levels):
        found = np.array([counts.get(key[level], [0.0, 0.0]) for key in keys], np.float64).reshape(-1, 2)
        fitted.append(_Level(found[:, 0], found[:, 1], table.strengths[level]))
    return _deviations(table.overall, fitted, np.tile(np.arange(len(keys)), (LEVELS, 1)))


def known_items(table: ItemTable, keys: Sequence[tuple[str, str, str]]) -> NDArray[np.bool_]:
    """Whether the table knows the text of each clip, in its task [shape=(clips,)]."""
    return np.array([key[1] in table.levels[1] for key in keys], bool)


def encode(keys: Sequence[tuple[str, str, str]]) -> tuple[list[list[str]], Codes]:
    """The distinct keys of each level, and each clip's place among them [shape=(LEVELS, clips)]."""
    names = [sorted({key[level] for key in keys}) for level in range(LEVELS)]
    places = [{name: place for place, name in enumerate(own)} for own in names]
    codes = [[place[key[level]] for key in keys] for level, place in enumerate(places)]
    return names, np.array(codes, np.intp)


def difficulties_of_others(codes: Codes, labels: Values, train: NDArray[np.bool_], asked: NDArray[np.bool_]) -> Values:
    """As `difficulties`, of the clips that are asked about, from the labels of the training clips alone.

    Parameters
    ----------
    codes
        Of `encode`, over all clips.
    train, asked : [shape=(clips,)]
        Which clips.
    """
    overall, fitted = _fit(codes[:, train], labels[train], codes.max(axis=1) + 1)
    return _deviations(overall, fitted, codes[:, asked])


@dataclass(frozen=True)
class _Level:
    """rights, clips : [shape=(items,)]"""

    rights: Values
    clips: Values
    strength: float

    def shrink(self, places: Codes, above: Values) -> Values:
        """The share of right answers in each clip's item, drawn towards the one above [shape=(clips,)]."""
        rights, clips = self.rights[places], self.clips[places]
        shares: Values = (rights + self.strength * above) / (clips + self.strength)
        return shares


def _fit(codes: Codes, labels: Values, sizes: Sequence[int] | Codes) -> tuple[float, list[_Level]]:
    overall = float((labels.sum() + 1) / (len(labels) + 2))  # never 0 or 1
    shares, fitted = np.full(len(labels), overall), []
    for level, places in enumerate(codes):
        rights, clips, above = (_sums(places, values, int(sizes[level])) for values in (labels, None, shares))
        own = _Level(rights, clips, _strength(rights, clips, above / np.maximum(clips, 1)))
        fitted.append(own)
        shares = own.shrink(places, shares)
    return overall, fitted


def _sums(places: Codes, values: Values | None, size: int) -> Values:
    return np.bincount(places, values, size).astype(np.float64)


def _strength(rights: Values, clips: Values, above: Values) -> float:
    """The strength of most likelihood, given the mean share above each item."""
    known = clips > 0
    rights, wrongs, above = rights[known], (clips - rights)[known], above[known]

    def surprise(log_strength: float) -> float:
        right, wrong = np.exp(log_strength) * above, np.exp(log_strength) * (1 - above)
        betaln = scipy.special.betaln
        return -float((betaln(rights + right, wrongs + wrong) - betaln(right, wrong)).sum())

    bounds = tuple(np.log(_STRENGTHS))
    return float(
        np.exp(scipy.optimize.minimize_scalar(surprise, bounds=bounds, method="bounded", options={"xatol": 0.01}).x)
    )


def _deviations(overall: float, fitted: Sequence[_Level], codes: Codes) -> Values:
    shares = list(_chain(overall, fitted, codes))
    return logit(shares[-1]) - logit(shares[0])


def _chain(overall: float, fitted: Sequence[_Level], codes: Codes) -> Iterator[Values]:
    """The shares of each level, the widest first."""
    shares = np.full(codes.shape[1], overall)
    for level, places in zip(fitted, codes, strict=True):
        shares = level.shrink(places, shares)
        yield shares
