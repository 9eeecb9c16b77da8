"""What a network that reads texts is given of each row: its tokens, what is known of them, and texts that were not said."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from models.clips.batches import Clip
from models.clips.drawn_texts import DrawnText, TextDrawer
from models.clips.joined_answers import Joined
from models.clips.tokens import TextTokenizer
from models.speech.arpabet import Phones
from models.speech.pronunciation import spoken_words


class Asked(NamedTuple):
    """What is asked for of what is heard.

    Attributes
    ----------
    text
        With what is known of its words and end.
    alone
        Where both texts of two answers are asked for: each without the other.
    """

    tokens: Tensor
    text: DrawnText
    alone: Sequence[DrawnText] = ()


class ExpectedTexts:
    """The expected texts of a table's rows.

    Parameters
    ----------
    table
        expected_text; word_labels (of `read_word_labels`) where they are known; for drawn texts, score.
    drawn_texts
        How many wrong texts are drawn, from those of the same task, for each row that is right. All words of a right answer of
        whose words no label is given are then known to be right.

    Raises
    ------
    InputError
        Naming a text that the tokenizer does not take.
    """

    def __init__(self, table: pd.DataFrame, tokenizer: TextTokenizer, drawn_texts: int = 0) -> None:
        self._tokenizer = tokenizer
        self._tasks: list[str] = table["task"].tolist()
        self._texts: list[str] = table["expected_text"].tolist()
        self._tokens = {text: torch.tensor(tokenizer.encode(text)) for text in set(self._texts)}
        self._is_right = (table["score"] == 1).tolist() if drawn_texts else [False] * len(table)
        self._said: list[Sequence[float]] | None = table["word_labels"].tolist() if "word_labels" in table else None
        self._n_drawn = drawn_texts
        self._drawers = self._make_drawers() if drawn_texts else {}

    def read(self, row: int, rng: np.random.Generator, of_two: Asked | None = None) -> Clip:
        """Of a row's clip the text, and those that are drawn for it.

        Parameters
        ----------
        of_two
            Of `ask`, where two answers are heard in its place; the first texts that are drawn are then those of one alone.
        """
        tokens, own, alone = of_two or Asked(self._tokens[self._texts[row]], self._row(row))
        found = Clip(tokens=tokens)
        if self._said is not None or self._n_drawn:
            found["token_labels"] = self._of_tokens(*own)
        if self._is_right[row]:
            drawer = self._drawers[self._tasks[row]]
            drawn = [*alone, *drawer.draw(own.text, own.said, self._n_drawn - len(alone), rng)]
            encoded = [self._tokenizer.encode_if_taken(one.text) for one in drawn]
            found["drawn_tokens"] = [torch.tensor(tokens) for tokens in encoded if tokens]
            found["drawn_labels"] = [
                self._of_tokens(*one) for one, tokens in zip(drawn, encoded, strict=True) if tokens
            ]
        return found

    def ask(self, joined: Joined) -> Asked | None:
        """What is asked for of two answers that are heard; None where the tokenizer does not take it."""
        text, alone = self._text_of(joined)
        tokens = self._tokenizer.encode_if_taken(text.text)
        return None if tokens is None else Asked(torch.tensor(tokens), text, alone)

    def _row(self, row: int) -> DrawnText:
        said, gaps = self._known(row)
        return DrawnText(self._texts[row], tuple(said), tuple(gaps))

    def _text_of(self, joined: Joined) -> tuple[DrawnText, list[DrawnText]]:
        """The text, and those of one answer alone where it is both."""
        first, second = map(self._row, joined.rows)
        if joined.said_twice:
            return _said_twice(first), []
        alone = [_followed(first), _preceded(second)]
        if len(joined.asked) == 1:
            return alone[joined.asked[0]], []
        return _one_text(first, second), alone[: self._n_drawn]

    def _make_drawers(self) -> dict[str, TextDrawer]:
        """One for each task, of its texts and what their words sound like."""
        by_task: dict[str, list[str]] = {}
        for task, text in zip(self._tasks, self._texts, strict=True):
            by_task.setdefault(task, []).append(text)
        return {task: TextDrawer(texts, _sounds(task, texts)) for task, texts in by_task.items()}

    def _known(self, row: int) -> tuple[Sequence[float], Sequence[float]]:
        """Of a row's words and end: were they said, and nothing before them that the text lacks?"""
        of_answer = (1.0 if self._is_right[row] else math.nan,) * (len(self._texts[row].split()) + 1)
        given = of_answer if self._said is None else self._said[row]
        return (of_answer if all(math.isnan(label) for label in given) else given), of_answer

    def _of_tokens(self, text: str, said: Sequence[float], nothing_before: Sequence[float]) -> Tensor:
        """float32 [shape=(tokens, 2)] from what is known of words and end. Nothing is said within a word."""
        words = self._tokenizer.words(text)
        firsts = [word != before for before, word in zip([-1, *words], words, strict=False)]
        gaps = [*nothing_before, math.nan]  # the prompt's is the last one
        known = [
            gaps[word] if first or math.isnan(gaps[word]) else 1.0 for word, first in zip(words, firsts, strict=True)
        ]
        return torch.tensor([[[*said, math.nan][word] for word in words], known]).T


def _one_text(first: DrawnText, second: DrawnText) -> DrawnText:
    """Of two answers, one after the other."""
    text = f"{first.text} {second.text}"
    return DrawnText(text, (*first.said[:-1], *second.said), (*first.nothing_before[:-1], *second.nothing_before))


def _said_twice(answer: DrawnText) -> DrawnText:
    """Whether that is too much is not known."""
    return DrawnText(answer.text, (*answer.said[:-1], math.nan), (*answer.nothing_before[:-1], math.nan))


def _followed(answer: DrawnText) -> DrawnText:
    """More was said after it."""
    return DrawnText(answer.text, (*answer.said[:-1], 0.0), (*answer.nothing_before[:-1], 0.0))


def _preceded(answer: DrawnText) -> DrawnText:
    """More was said before it; its end tells that too."""
    return DrawnText(answer.text, (*answer.said[:-1], 0.0), (0.0, *answer.nothing_before[1:]))


def _sounds(task: str, texts: Sequence[str]) -> dict[str, tuple[Phones, ...]]:
    """The ways to say each word of the texts; none where only a voice knows."""
    texts = list(dict.fromkeys(texts))
    words = ((text.split(), spoken_words(task, text)) for text in texts)
    return {word: one.choices for spelled, spoken in words for word, one in zip(spelled, spoken, strict=True)}
