"""Answers with repetitions, false starts and corrections, joined from a child's own clips where there is quiet."""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from models.clips.joined_answers import one_after_the_other
from models.localize.cuts import Span
from models.network.aligned import AlignedNetwork
from models.speech.audio import SAMPLE_RATE_HZ, Waveform, read_audio
from tools.word_cuts import Cut, Sentence, cut_out, find_cuts, hear_sentence, is_clear

_HOP_SAMPLES = SAMPLE_RATE_HZ // 100
_FADE_SAMPLES = SAMPLE_RATE_HZ // 50  # where a word breaks off
KINDS = {
    "as recorded": "right",
    "a word said twice": "right",
    "a word begun, then said": "right",
    "another word, then the right one": "right",
    "the answer said twice": "right",
    "another answer, then the right one": "right",
    "the right answer, then another": "wrong",
    "another answer alone": "wrong",
}
WHOLE_KINDS = tuple(kind for kind in KINDS if "answer" in kind or kind == "as recorded")  # no word is cut out for them
_PAUSE_SECONDS = 0.3  # between single words, whose recordings end right behind them


@dataclass(frozen=True)
class Restarted:
    """What was made of a clip.

    Attributes
    ----------
    kind
        Of KINDS, which says how its last try is.
    gaps
        Places between the words of the text, from 0, where something was added; any of them is right.
    """

    filename: str
    kind: str
    waveform: Waveform
    gaps: frozenset[int]


def word_said_twice(sentence: Sentence, cut: Cut) -> Waveform:
    """From the pause behind it back to the one before."""
    again, behind = _middle(cut.before), _middle(cut.after)
    return np.concatenate([sentence.waveform[:behind], sentence.waveform[again:]])


def word_begun(sentence: Sentence, cut: Cut) -> Waveform:
    """It breaks off half-way, and begins again after the pause that was before it."""
    stop = round((cut.start_seconds + cut.end_seconds) / 2 * SAMPLE_RATE_HZ)
    begun = sentence.waveform[:stop].copy()
    begun[-_FADE_SAMPLES:] *= np.linspace(1, 0, len(begun[-_FADE_SAMPLES:]), dtype=np.float32)
    return np.concatenate([begun, sentence.waveform[cut.before[0] * _HOP_SAMPLES :]])


def other_word_first(sentence: Sentence, cut: Cut, other: Waveform) -> Waveform:
    """In the pause before the word."""
    place = _middle(cut.before)
    return np.concatenate([sentence.waveform[:place], other, sentence.waveform[place:]])


def _middle(quiet: Span) -> int:
    """Sample in the middle of spectrogram frames."""
    return (quiet[0] + quiet[1]) // 2 * _HOP_SAMPLES


def restart(filename: str, sentence: Sentence, cut: Cut, word: Waveform, answer: Waveform) -> list[Restarted]:
    """All KINDS of a right answer.

    Parameters
    ----------
    word
        Of the same child, another one than that of `cut`.
    answer
        Of the same child, to another text.
    """
    own, n_words = sentence.waveform, len(sentence.words)
    at, behind = cut.first, cut.first + cut.count
    made = [
        (own, ()),
        (word_said_twice(sentence, cut), (at, behind)),
        (word_begun(sentence, cut), (at,)),
        (other_word_first(sentence, cut, word), (at,)),
        (np.concatenate([own, own]), (0, n_words)),
        (np.concatenate([answer, own]), (0,)),
        (np.concatenate([own, answer]), (n_words,)),
        (answer, ()),
    ]
    return [Restarted(filename, kind, wave, frozenset(gaps)) for kind, (wave, gaps) in zip(KINDS, made, strict=True)]


def make_restarted(
    network: AlignedNetwork, table: pd.DataFrame, data_dir: Path, max_seconds: float, seed: int, most: int | None
) -> Iterator[list[Restarted]]:
    """Of each right answer in which a word stands alone, by a child who said other words in other clips of the task; in the
    table's order.

    Parameters
    ----------
    network
        Of `load_reader`, which says where the words are.
    max_seconds
        What would be longer is left out, with its clip.
    most
        Stop after so many clips.
    """
    heard: dict[str, Sentence | None] = {}
    done, right = 0, table[table["score"] > 0.5]
    for clip in tqdm(right.itertuples(), "joining", len(right), unit=" clips", disable=None):
        rng = np.random.default_rng([seed, zlib.crc32(clip.filename.encode())])
        rest = _other_answers(table, clip)
        for row in [clip, *rest.itertuples()]:
            if row.filename not in heard:
                heard[row.filename] = hear_sentence(network, read_audio(data_dir / row.filename), row.spoken_text)
        own, others = heard[clip.filename], [heard[name] for name in rest["filename"]]
        made = _restart(network, clip.filename, own, [other for other in others if other is not None], rng)
        if made and max(len(one.waveform) for one in made) <= max_seconds * SAMPLE_RATE_HZ:
            yield made
            done += 1
        if done == most:
            return


def _restart(
    network: AlignedNetwork, filename: str, own: Sentence | None, others: Sequence[Sentence], rng: np.random.Generator
) -> list[Restarted]:
    """Empty where there is no word that stands alone, or no other word."""
    cuts = (
        [] if own is None else [cut for cut in find_cuts(own, 1) if is_clear(network, cut_out(own, cut, rng), own, cut)]
    )
    if own is None or not cuts or not others:
        return []
    cut = cuts[int(rng.integers(len(cuts)))]
    for index in rng.permutation(len(others)):
        other = others[index]
        for word in find_cuts(other, 1):
            taken = cut_out(other, word, rng)
            if other.words[word.first] not in own.words and is_clear(network, taken, other, word):
                return restart(filename, own, cut, taken, other.waveform)
    return []


def make_rejoined(table: pd.DataFrame, data_dir: Path, seed: int, most: int) -> list[list[Restarted]]:
    """WHOLE_KINDS of so many right answers that are single words, drawn among all; `gaps` are left open."""
    right = table[(table["score"] > 0.5) & ~table["spoken_text"].str.contains(" ")]
    made: list[list[Restarted]] = []
    for clip in right.sample(frac=1, random_state=seed).itertuples():
        rest = _other_answers(table, clip)
        if len(made) < most and len(rest):
            other = rest["filename"].iloc[zlib.crc32(clip.filename.encode()) % len(rest)]
            made.append(_rejoin(clip.filename, read_audio(data_dir / clip.filename), read_audio(data_dir / other)))
    return made


def _other_answers(table: pd.DataFrame, clip: Any) -> pd.DataFrame:
    """What the same child said in the same task that is not the same."""
    alike = (table["speaker"] == clip.speaker) & (table["task"] == clip.task)
    return table[alike & (table["spoken_text"] != clip.spoken_text)]


def _rejoin(filename: str, own: Waveform, other: Waveform) -> list[Restarted]:
    orders = [(own,), (own, own), (other, own), (own, other), (other,)]
    waves = [one_after_the_other(order, _PAUSE_SECONDS) for order in orders]
    return [Restarted(filename, kind, wave, frozenset()) for kind, wave in zip(WHOLE_KINDS, waves, strict=True)]
