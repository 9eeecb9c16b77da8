"""What a network that reads texts is given of each row: its tokens, what is known of them, and texts that were not said."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from models.clips.batches import Clip
from models.clips.drawn_texts import TextDrawer
from models.clips.tokens import TextTokenizer


class ExpectedTexts:
    """The expected texts of a table's rows.

    Parameters
    ----------
    table
        expected_text; word_labels (of `read_word_labels`) where they are known; for drawn texts, score.
    drawn_texts
        How many wrong texts are drawn, from those of the same task, for each row that is right. All words of a right answer are
        then known to be right.

    Raises
    ------
    InputError
        Naming a text that the tokenizer does not take.
    """

    def __init__(self, table: pd.DataFrame, tokenizer: TextTokenizer, drawn_texts: int = 0) -> None:
        self._tokenizer = tokenizer
        self._texts: list[str] = table["expected_text"].tolist()
        self._tokens = {text: torch.tensor(tokenizer.encode(text)) for text in set(self._texts)}
        self._is_right = (table["score"] == 1).tolist() if drawn_texts else [False] * len(table)
        self._word_labels: list[Sequence[float]] = _word_labels(table, self._is_right) if drawn_texts else []
        if "word_labels" in table:
            self._word_labels = table["word_labels"].tolist()
        self._n_drawn = drawn_texts
        self._tasks: list[str] = table["task"].tolist()
        self._drawers = {task: TextDrawer(rows["expected_text"]) for task, rows in table.groupby("task")}

    def read(self, row: int, rng: np.random.Generator) -> Clip:
        """Of a row's clip the text, and those that are drawn for it."""
        text = self._texts[row]
        found = Clip(tokens=self._tokens[text])
        if self._word_labels:
            found["token_labels"] = self._of_tokens(text, self._word_labels[row])
        if self._is_right[row]:
            drawn = self._drawers[self._tasks[row]].draw(text, self._n_drawn, rng)
            drawn = [one for one in drawn if self._tokenizer.takes(one.text)]
            found["drawn_tokens"] = [torch.tensor(self._tokenizer.encode(one.text)) for one in drawn]
            found["drawn_labels"] = [self._of_tokens(one.text, one.word_labels) for one in drawn]
        return found

    def _of_tokens(self, text: str, word_labels: Sequence[float]) -> Tensor:
        """float32 [shape=(tokens,)] from the labels of words and end."""
        of_words = [*word_labels, math.nan]  # the prompt's is the last one
        return torch.tensor([of_words[word] for word in self._tokenizer.words(text)])


def _word_labels(table: pd.DataFrame, is_right: Sequence[bool]) -> list[Sequence[float]]:
    """Right where the whole answer is, else not known."""
    counts = (len(text.split()) + 1 for text in table["expected_text"])
    return [[1.0 if right else math.nan] * count for count, right in zip(counts, is_right, strict=True)]
