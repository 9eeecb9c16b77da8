"""What was heard in the place of each word: the likeliest transcripts of the answer beside the expected text.

The same network writes down what it heard, without looking at the expected text. Its best texts share the probability among them;
each word has that of all texts in which it stands at its place. What has less than half is not said to have been heard.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.ensemble.metrics import Values
from models.errors import InputError
from models.localize.result import Alternative, Unit
from models.localize.written_words import find_counterparts, same_word, words_of
from models.network.beam_search import Hypothesis
from models.speech.pronunciation import NONWORDS, pronounce_text
from models.speech.respelling import write_respelling

SURE = 0.5  # probability from which something is said to have been heard
_SHARPNESS = 0.5  # of the texts' log-probabilities: the network is surer than it is right
_LEAST = 0.01  # of an alternative that is told


@dataclass(frozen=True)
class Transcripts:
    """The texts that may have been said, each once, and how likely each is among them; the likeliest first.

    Attributes
    ----------
    texts
        As words.
    probabilities : [shape=(texts,)]
    """

    texts: tuple[tuple[str, ...], ...]
    probabilities: Values


def weigh(hypotheses: Sequence[Hypothesis], task: str) -> Transcripts:
    """Texts that differ in signs alone are one; of a nonword each is respelled in the key of the expected ones."""
    totals: dict[tuple[str, ...], float] = defaultdict(lambda: -np.inf)
    for one in hypotheses:
        words = tuple(_in_key(one.text) if task == NONWORDS else words_of(one.text))
        totals[words] = float(np.logaddexp(totals[words], one.log_probability))
    texts = sorted(totals, key=lambda words: -totals[words])
    logits = _SHARPNESS * np.array([totals[words] for words in texts])
    shares = np.exp(logits - logits.max(initial=-np.inf))
    return Transcripts(tuple(texts), shares / shares.sum())


def transcript(found: Transcripts) -> tuple[Alternative, ...]:
    """The words of the likeliest text, each as likely as all texts with it at its place."""
    if not found.texts:
        return ()
    best = found.texts[0]
    beside = [find_counterparts(best, words).of_words for words in found.texts]
    shares = [
        sum(
            share
            for words, share in zip(beside, found.probabilities.tolist(), strict=True)
            if same_word(words[place], word)
        )
        for place, word in enumerate(best)
    ]
    return tuple(Alternative(word, share) for word, share in zip(best, shares, strict=True))


def written_as_expected(words: Sequence[str], found: Transcripts) -> tuple[Values, Values]:
    """Whether each word stands at its place, and nothing in each gap, in log-odds of the texts that may have been said.

    Returns
    -------
    float64 [shape=(words,)], float64 [shape=(words + 1,)]
    """
    beside = [find_counterparts(words, text) for text in found.texts]
    of_words = np.array([each.as_expected for each in beside], np.float64).T @ found.probabilities
    of_gaps = np.array([[not text for text in each.of_gaps] for each in beside], np.float64).T @ found.probabilities
    return _log_odds(of_words), _log_odds(of_gaps)


def with_heard(units: Sequence[Unit], found: Transcripts) -> tuple[Unit, ...]:
    """Units of words, those in doubt with what was heard in their place and what else may have been.

    It is never the expected word, so a mark and what is told of it do not contradict each other.
    """
    expected = [unit.text for unit in units if unit.kind != "inserted"]
    places = np.cumsum([0, *(unit.kind != "inserted" for unit in units)]).tolist()  # the expected word that comes next
    more_said = {place for unit, place in zip(units, places, strict=False) if unit.kind == "inserted"}
    beside = [find_counterparts(expected, words) for words in found.texts]
    told: list[Unit] = []
    for unit, place in zip(units, places, strict=False):
        if unit.kind == "inserted":
            unit = _told(unit, [each.of_gaps[place] for each in beside], found.probabilities)
        elif unit.kind == "different":
            instead = [each.instead_of(place, more_said) for each in beside]
            unit = _told(unit, instead, found.probabilities)
        told.append(unit)
    return tuple(told)


def _told(unit: Unit, heard: Sequence[str], probabilities: Values) -> Unit:
    """A unit with what each transcript holds in its place; an empty text is that nothing was said there."""
    shares: dict[str, float] = defaultdict(float)
    for text, share in zip(heard, probabilities.tolist(), strict=True):
        shares[text] += share
    likely = sorted(shares, key=lambda text: -shares[text])
    others = [text for text in likely if text and not same_word(text, unit.text)]
    return replace(
        unit,
        heard=next((text for text in others if shares[text] >= SURE), None),
        alternatives=tuple(Alternative(text, shares[text]) for text in likely if shares[text] >= _LEAST),
    )


def _log_odds(shares: Values) -> Values:
    shares = shares.clip(_LEAST, 1 - _LEAST)
    return np.asarray(np.log(shares / (1 - shares)), np.float64)


def _in_key(text: str) -> list[str]:
    """A nonword in one piece; as it was written down where its phones are not known or the key can't write them."""
    words = words_of(text)
    if not words:
        return []
    try:
        phones = pronounce_text(NONWORDS, " ".join(words)).choices[0]
    except InputError:  # espeak-ng is not installed
        return ["".join(words)]
    return [write_respelling(phones, taken=lambda _: False) or "".join(words)]
