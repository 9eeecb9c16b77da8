"""What a voice is asked to say: words as they are spelled, and behind one that is said otherwise its phones, `kahyb{K AY B}`.

Such a string stands for what it sounds like: references are kept by it.
"""

import difflib
import re
from collections.abc import Sequence

from models.speech.arpabet import PHONES, Phones, espeak_notation

_PHONE = "|".join(sorted(PHONES))
_TOLD = re.compile(rf"([^\s{{}}]+)\{{((?:{_PHONE})(?: (?:{_PHONE}))*)\}}(?!\S)|(\S+)")


def join_words(words: Sequence[tuple[str, Phones | None]]) -> str:
    """An utterance of words, each with the phones that it is to be said with, where the voice would say others."""
    return " ".join(word if phones is None else f"{word}{{{' '.join(phones)}}}" for word, phones in words)


def split_words(utterance: str) -> list[tuple[str, Phones | None]]:
    """The inverse of `join_words`. What is no word with phones in braces is taken as it stands."""
    return [
        (match[1], tuple(match[2].split())) if match[2] else (match[3], None) for match in _TOLD.finditer(utterance)
    ]


def for_espeak(utterance: str) -> str:
    """As espeak-ng is given it: its own notation in the place of words with phones."""
    if "{" not in utterance:
        return utterance
    words = split_words(utterance)
    return " ".join(word if phones is None else espeak_notation(phones) for word, phones in words)


def share_by_alignment(words: Sequence[Phones], phones: Phones) -> list[Phones]:
    """The phones of a whole text, each given to the word whose usual phones it stands for.

    Parameters
    ----------
    words
        The usual phones of each word.
    """
    usual = [phone for word in words for phone in word]
    blocks = difflib.SequenceMatcher(a=usual, b=phones, autojunk=False).get_opcodes()
    ends, total = [], 0
    for word in words:
        total += len(word)
        ends.append(_counterpart(blocks, total))
    ends[-1] = len(phones)
    return [phones[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def _counterpart(blocks: Sequence[tuple[str, int, int, int, int]], place: int) -> int:
    """Where a place between phones lies in the other sequence: in a part that differs, in proportion."""
    for _, start, stop, other_start, other_stop in blocks:
        if start <= place <= stop and stop > start:
            return other_start + round((place - start) / (stop - start) * (other_stop - other_start))
    return 0
