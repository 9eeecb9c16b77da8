"""Texts to speak: words, nonwords and child-level sentences, and near misses of them.

The words below are a child's vocabulary written for this module; sentences come from a small grammar over it and from
plain word lists. Nonwords are strung together from English-like syllables.
"""

import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from models.clips.groups import TASKS

_WORDS: dict[str, list[str]] = {
    kind: words.split()
    for kind, words in json.loads(Path(__file__).with_name("vocabulary.json").read_text(encoding="utf-8")).items()
}
VOCABULARY: tuple[str, ...] = tuple(dict.fromkeys(itertools.chain.from_iterable(_WORDS.values())))

_ONSETS = [
    *"b bl br ch d dr f fl fr g gl gr h j k kl kr l m n p pl pr r s sh sk sl sm sn sp st str sw t th tr tw v w y z "
    "b d f g k m n p t v".split(),
    "",
]
_NUCLEI = "a e i o u ee oo ay oy ow oh uh er ar or ea ai igh ew ahy ey oi".split()
_CODAS = "b d f g k l m n p t v z s sh ch th ng nk nt nd st mp ft lp rk ck dge b d g k m n p t".split() + [""] * 12
_VOWELS = "aeiouy"
_TYPICAL_WORDS = 7  # of a sentence; drawn from a Poisson distribution around it


def _pick(words: Sequence[str], rng: np.random.Generator) -> str:
    return words[int(rng.integers(len(words)))]


def syllable(rng: np.random.Generator) -> str:
    return _pick(_ONSETS, rng) + _pick(_NUCLEI, rng) + _pick(_CODAS, rng)


def nonword(rng: np.random.Generator) -> str:
    """One to five syllables written as one word."""
    return "".join(syllable(rng) for _ in range(int(rng.choice([1, 2, 3, 4, 5], p=[0.3, 0.3, 0.2, 0.12, 0.08]))))


def _noun_phrase(rng: np.random.Generator) -> list[str]:
    adjectives = [_pick(_WORDS["adjectives"], rng)] if rng.random() < 0.45 else []
    return [_pick(_WORDS["determiners"], rng), *adjectives, _pick(_WORDS["nouns"], rng)]


def _subject(rng: np.random.Generator) -> list[str]:
    return [_pick(_WORDS["subjects"], rng)] if rng.random() < 0.5 else _noun_phrase(rng)


def _clause(rng: np.random.Generator) -> list[str]:
    """Subject, verb, and mostly an object or a place."""
    draw = rng.random()
    if draw < 0.4:
        verb = [_pick(_WORDS["past"], rng), *_noun_phrase(rng)]
    elif draw < 0.65:
        verb = [_pick(_WORDS["auxiliaries"], rng), _pick(_WORDS["base"], rng), *_noun_phrase(rng)]
    elif draw < 0.85:
        verb = [_pick(("is", "was", "are", "were"), rng), _pick(_WORDS["going"], rng)]
    else:
        verb = [
            _pick(("is", "was", "are", "were"), rng),
            _pick(("very", "so", "too", "not"), rng),
            _pick(_WORDS["adjectives"], rng),
        ]
    place = [_pick(_WORDS["prepositions"], rng), *_noun_phrase(rng)] if rng.random() < 0.35 else []
    adverb = [_pick(_WORDS["adverbs"], rng)] if rng.random() < 0.25 else []
    return _subject(rng) + verb + place + adverb


def _question(rng: np.random.Generator) -> list[str]:
    opening = [_pick(_WORDS["questions"], rng)] if rng.random() < 0.5 else []
    return [*opening, _pick(_WORDS["auxiliaries"], rng), *_subject(rng), _pick(_WORDS["base"], rng), *_noun_phrase(rng)]


def _word_list(rng: np.random.Generator) -> list[str]:
    """Words in no order, some of them made up: what no grammar foresees."""
    n_words = 1 + int(rng.poisson(_TYPICAL_WORDS - 2))
    return [nonword(rng) if rng.random() < 0.15 else _pick(VOCABULARY, rng) for _ in range(min(n_words, 14))]


def sentence(rng: np.random.Generator) -> str:
    """A child-level sentence of the grammar, or a list of words."""
    draw = rng.random()
    if draw < 0.4:
        words = _clause(rng)
    elif draw < 0.55:
        words = [*_clause(rng), _pick(_WORDS["joiners"], rng), *_clause(rng)]
    elif draw < 0.7:
        words = _question(rng)
    else:
        words = _word_list(rng)
    return " ".join(words)


def draw_text(rng: np.random.Generator) -> tuple[str, str]:
    """A task and a text such as it asks for."""
    task = TASKS[int(rng.choice(4, p=[0.13, 0.25, 0.12, 0.5]))]
    if task == "sentence_repetition":
        return task, sentence(rng)
    if task == "nonword_repetition":
        return task, nonword(rng)
    # deletion answers are often no word of their own, such as "ool": what remains of a word
    word = _pick(VOCABULARY, rng)
    shortened = task == "deletion" and len(word) > 3 and rng.random() < 0.5
    return task, word[1:] if shortened else word


def near_miss(text: str, rng: np.random.Generator, vocabulary: Sequence[str] = VOCABULARY) -> str:
    """A text that differs from `text` in one word, one pair of neighbours, or a sound or two."""
    words = text.split()
    edits: list[Callable[[list[str], np.random.Generator, Sequence[str]], list[str]]] = [respell_word]
    if len(words) > 1:
        edits += [swap_words, delete_word, insert_word, substitute_word, respell_word]
    elif rng.random() < 0.3:
        edits = [insert_word, substitute_word]
    return " ".join(edits[int(rng.integers(len(edits)))](words, rng, vocabulary))


def swap_words(words: list[str], rng: np.random.Generator, vocabulary: Sequence[str] = VOCABULARY) -> list[str]:
    """Two neighbours change places."""
    at = int(rng.integers(len(words) - 1))
    return [*words[:at], words[at + 1], words[at], *words[at + 2 :]]


def delete_word(words: list[str], rng: np.random.Generator, vocabulary: Sequence[str] = VOCABULARY) -> list[str]:
    at = int(rng.integers(len(words)))
    return words[:at] + words[at + 1 :]


def insert_word(words: list[str], rng: np.random.Generator, vocabulary: Sequence[str] = VOCABULARY) -> list[str]:
    """A word from the vocabulary, or one of the sentence's own said again."""
    at = int(rng.integers(len(words) + 1))
    return [*words[:at], _pick(words if rng.random() < 0.15 else vocabulary, rng), *words[at:]]


def substitute_word(words: list[str], rng: np.random.Generator, vocabulary: Sequence[str] = VOCABULARY) -> list[str]:
    at = int(rng.integers(len(words)))
    return [*words[:at], _pick(vocabulary, rng), *words[at + 1 :]]


def respell_word(words: list[str], rng: np.random.Generator, vocabulary: Sequence[str] = VOCABULARY) -> list[str]:
    """One word loses, gains or changes a sound."""
    at = int(rng.integers(len(words)))
    return [*words[:at], respell(words[at], rng), *words[at + 1 :]]


def respell(word: str, rng: np.random.Generator) -> str:
    """Replace, drop or add one run of vowel letters or of consonant letters."""
    runs = _letter_runs(word)
    at = int(rng.integers(len(runs)))
    draw = rng.random()
    if draw < 0.7 or len(runs) == 1:
        runs[at] = _pick(_NUCLEI if runs[at][0] in _VOWELS else _ONSETS[:-1] if at == 0 else _CODAS[:28], rng)
    elif draw < 0.85:
        del runs[0 if at < len(runs) / 2 else -1]
    else:
        runs.append(_pick(("s", "d", "t", "ing", "er", "y"), rng))
    return "".join(runs)


def _letter_runs(word: str) -> list[str]:
    """`street` -> `str`, `ee`, `t`."""
    runs = [word[0]]
    for before, letter in itertools.pairwise(word):
        if (before in _VOWELS) == (letter in _VOWELS):
            runs[-1] += letter
        else:
            runs.append(letter)
    return runs
