"""Wrong texts for a right answer: near misses, drawn anew in each epoch, of which it is known which word was not said.

An answer is heard once and many texts can be read with it, so each right answer teaches more than that it is right.
"""

import difflib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from models.speech.arpabet import Phones

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


Word = tuple[str, float]  # and what is known of it
Edit = Callable[[list[Word], float, np.random.Generator], DrawnText | None]


class _Words:
    """Words to draw from, each as often as it stands in the list."""

    def __init__(self, words: Sequence[str], sounds: Mapping[str, Sequence[Phones]]) -> None:
        self._words = words
        self._sounds = sounds
        self._distinct = sorted(set(words))
        self._alike: dict[str, list[str]] = {}

    def another(self, avoided: Iterable[str], like: str, rng: np.random.Generator) -> str | None:
        """A word, every other time one that is spelled much like `like`, but does not sound the same; None where there is hardly
        another."""
        alike = self._spelled_alike(like) if rng.random() < 0.5 else []
        drawn = [*_sample(alike, rng), *_sample(self._words, rng)]
        return next((word for word in drawn if word not in avoided and not self._sound_same(word, like)), None)

    def _sound_same(self, one: str, other: str) -> bool:
        """False where it is not known."""
        return not set(self._sounds.get(one, ())).isdisjoint(self._sounds.get(other, ()))

    def _spelled_alike(self, word: str) -> list[str]:
        if word not in self._alike:
            others = [other for other in self._distinct if other != word]
            self._alike[word] = difflib.get_close_matches(word, others, _NEAR, _LEAST_ALIKE)
        return self._alike[word]


class TextDrawer:
    """Draws from the texts of the training clips and their words, each as often as it occurs there.

    A text of several words gets another word in the place of one, one more, one less, two neighbours swapped, or is another text
    altogether; one of a single word is another single word. Half of the other words are spelled much like the one they join or
    stand for; none sounds the same.

    Parameters
    ----------
    sounds
        The ways to say each word; what is missing is not known.
    """

    def __init__(self, texts: Iterable[str], sounds: Mapping[str, Sequence[Phones]]) -> None:
        split = [text.split() for text in texts]
        self._sentences = [words for words in split if len(words) > 1]
        self._words = _Words([word for words in self._sentences for word in words], sounds)
        self._singles = _Words([words[0] for words in split if len(words) == 1], sounds)

    def draw(self, text: str, said: Sequence[float], count: int, rng: np.random.Generator) -> list[DrawnText]:
        """Wrong texts for a right answer; fewer than `count` where the training texts offer none.

        Parameters
        ----------
        text
            That was said.
        said
            What is known of its words and its end, as in `DrawnText`: what is kept of it keeps that.
        """
        *of_words, end = said
        words = list(zip(text.split(), of_words, strict=True))
        drawn = (self._draw_one(words, end, rng) for _ in range(count))
        return [found for found in drawn if found is not None]

    def _draw_one(self, words: list[Word], end: float, rng: np.random.Generator) -> DrawnText | None:
        if len(words) == 1:
            return self._replace_all(words[0][0], rng)
        edits: list[Edit] = [self._substitute, self._insert, _delete, _swap, self._exchange]
        found = (edits[index](words, end, rng) for index in rng.permutation(len(edits)))
        return next((one for one in found if one is not None), None)

    def _replace_all(self, word: str, rng: np.random.Generator) -> DrawnText | None:
        other = self._singles.another({word}, word, rng)
        return None if other is None else _edited([(other, 0.0)], end=math.nan)

    def _substitute(self, words: list[Word], end: float, rng: np.random.Generator) -> DrawnText | None:
        place = int(rng.integers(len(words)))
        own = words[place][0]
        other = self._words.another({own}, own, rng)
        return None if other is None else _edited([*words[:place], (other, 0.0), *words[place + 1 :]], end)

    def _insert(self, words: list[Word], end: float, rng: np.random.Generator) -> DrawnText | None:
        place = int(rng.integers(len(words) + 1))
        beside = [word for word, _ in words[max(0, place - 1) : place + 1]]
        other = self._words.another(beside, beside[-1], rng)
        return None if other is None else _edited([*words[:place], (other, 0.0), *words[place:]], end)

    def _exchange(self, words: list[Word], end: float, rng: np.random.Generator) -> DrawnText | None:
        own = [word for word, _ in words]
        other = next((other for other in _sample(self._sentences, rng) if other != own), None)
        if other is None:
            return None
        drawn = _edited([(word, math.nan if word in own else 0.0) for word in other], end=math.nan)
        return drawn._replace(nothing_before=(math.nan,) * len(drawn.said))


def _delete(words: list[Word], end: float, rng: np.random.Generator) -> DrawnText:
    """More was said than the text has; its end tells that too."""
    place = int(rng.integers(len(words)))
    return _edited([*words[:place], *words[place + 1 :]], end=0.0, extra=place)


def _swap(words: list[Word], end: float, rng: np.random.Generator) -> DrawnText | None:
    """Each of the two was said, where the other stands: what was said before what is a matter of taste."""
    places = [place for place in range(len(words) - 1) if words[place][0] != words[place + 1][0]]
    if not places:
        return None
    place = places[int(rng.integers(len(places)))]
    (first, _), (second, _) = words[place : place + 2]
    drawn = _edited([*words[:place], (second, 0.0), (first, 0.0), *words[place + 2 :]], end=math.nan)
    unsure = range(place, place + 3)
    return drawn._replace(
        nothing_before=tuple(math.nan if gap in unsure else 1.0 for gap in range(len(words) + 1)),
    )


def _edited(words: Sequence[Word], end: float, extra: int | None = None) -> DrawnText:
    """The words, and the gap in which more was said."""
    gaps = tuple(float(gap != extra) for gap in range(len(words) + 1))
    return DrawnText(" ".join(word for word, _ in words), (*(known for _, known in words), end), gaps)


def _sample(choices: Sequence[Choice], rng: np.random.Generator) -> list[Choice]:
    """A few, with repetitions: the first may be what is to be avoided."""
    return [choices[int(index)] for index in rng.integers(len(choices), size=_TRIES)] if choices else []
