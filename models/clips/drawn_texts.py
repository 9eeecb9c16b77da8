"""Wrong texts for a right answer: near misses, drawn anew in each epoch, of which it is known which word was not said.

An answer is heard once and many texts can be read with it, so each right answer teaches more than that it is right.
"""

import difflib
import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

_NEAR = 8  # words that are spelled most alike
_LEAST_ALIKE = 0.5  # by difflib's ratio
_TRIES = 4  # at a word that is not to be avoided


Choice = TypeVar("Choice")


class DrawnText(NamedTuple):
    """A text that was not said, and what is known of it: 1 right, 0 wrong, nan not known.

    Attributes
    ----------
    said
        Whether each word was said; for the end, whether that was all.
    nothing_before
        Of each word and of the end, whether nothing was said before it that the text lacks.
    """

    text: str
    said: tuple[float, ...]
    nothing_before: tuple[float, ...]


class _Words:
    """Words to draw from, each as often as it stands in the list."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = words
        self._distinct = sorted(set(words))
        self._alike: dict[str, list[str]] = {}

    def another(self, avoided: Iterable[str], like: str, rng: np.random.Generator) -> str | None:
        """A word, every other time one that is spelled much like `like`; None where there is hardly another."""
        alike = self._spelled_alike(like) if rng.random() < 0.5 else []
        drawn = [*_sample(alike, rng), *_sample(self._words, rng)]
        return next((word for word in drawn if word not in avoided), None)

    def _spelled_alike(self, word: str) -> list[str]:
        if word not in self._alike:
            others = [other for other in self._distinct if other != word]
            self._alike[word] = difflib.get_close_matches(word, others, _NEAR, _LEAST_ALIKE)
        return self._alike[word]


class TextDrawer:
    """Draws from the texts of the training clips and their words, each as often as it occurs there.

    A text of several words gets another word in the place of one, one more, one less, two neighbours swapped, or is another text
    altogether; one of a single word is another single word. Half of the other words are spelled much like the one they join or
    stand for. Words that sound alike are not kept apart.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        split = [text.split() for text in texts]
        self._sentences = [words for words in split if len(words) > 1]
        self._words = _Words([word for words in self._sentences for word in words])
        self._singles = _Words([words[0] for words in split if len(words) == 1])

    def draw(self, text: str, count: int, rng: np.random.Generator) -> list[DrawnText]:
        """So many wrong texts for an answer in which `text` was said; fewer where the training texts offer none."""
        drawn = (self._draw_one(text.split(), rng) for _ in range(count))
        return [found for found in drawn if found is not None]

    def _draw_one(self, words: list[str], rng: np.random.Generator) -> DrawnText | None:
        if len(words) == 1:
            return self._replace_all(words[0], rng)
        edits: list[Edit] = [self._substitute, self._insert, _delete, _swap, self._exchange]
        found = (edits[index](words, rng) for index in rng.permutation(len(edits)))
        return next((one for one in found if one is not None), None)

    def _replace_all(self, word: str, rng: np.random.Generator) -> DrawnText | None:
        other = self._singles.another({word}, word, rng)
        return None if other is None else _edited([other], {0}, end=math.nan)

    def _substitute(self, words: list[str], rng: np.random.Generator) -> DrawnText | None:
        place = int(rng.integers(len(words)))
        other = self._words.another({words[place]}, words[place], rng)
        return None if other is None else _edited([*words[:place], other, *words[place + 1 :]], {place})

    def _insert(self, words: list[str], rng: np.random.Generator) -> DrawnText | None:
        place = int(rng.integers(len(words) + 1))
        beside = words[max(0, place - 1) : place + 1]
        other = self._words.another(beside, beside[-1], rng)
        return None if other is None else _edited([*words[:place], other, *words[place:]], {place})

    def _exchange(self, words: list[str], rng: np.random.Generator) -> DrawnText | None:
        other = next((other for other in _sample(self._sentences, rng) if other != words), None)
        if other is None:
            return None
        said = (*(math.nan if word in words else 0.0 for word in other), math.nan)
        return DrawnText(" ".join(other), said, (math.nan,) * len(said))


Edit = Callable[[list[str], np.random.Generator], DrawnText | None]


def _delete(words: list[str], rng: np.random.Generator) -> DrawnText:
    """More was said than the text has; its end tells that too."""
    place = int(rng.integers(len(words)))
    return _edited([*words[:place], *words[place + 1 :]], set(), end=0.0, extra=place)


def _swap(words: list[str], rng: np.random.Generator) -> DrawnText | None:
    """Each of the two was said, where the other stands: what was said before what is a matter of taste."""
    places = [place for place in range(len(words) - 1) if words[place] != words[place + 1]]
    if not places:
        return None
    place = places[int(rng.integers(len(places)))]
    drawn = _edited(
        [*words[:place], words[place + 1], words[place], *words[place + 2 :]], {place, place + 1}, end=math.nan
    )
    unsure = range(place, place + 3)
    return drawn._replace(
        nothing_before=tuple(math.nan if gap in unsure else 1.0 for gap in range(len(words) + 1)),
    )


def _edited(words: list[str], wrong: set[int], end: float = 1.0, extra: int | None = None) -> DrawnText:
    """The words with those that were not said, and where more was said."""
    said = (*(float(place not in wrong) for place in range(len(words))), end)
    return DrawnText(" ".join(words), said, tuple(float(gap != extra) for gap in range(len(words) + 1)))


def _sample(choices: Sequence[Choice], rng: np.random.Generator) -> list[Choice]:
    """A few, with repetitions: the first may be what is to be avoided."""
    return [choices[int(index)] for index in rng.integers(len(choices), size=_TRIES)] if choices else []
