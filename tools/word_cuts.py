"""Where single words can be cut out of a child's sentence: where there is quiet on both sides.

The forced alignment of the sentence's phones says about where each word is, the recording's own level where it begins and ends.
Read aloud by a child who is learning to, many words stand alone.
"""

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.clips.features import ENCODER_STRIDE, FRAMES_PER_SECOND
from models.localize.cuts import Span
from models.localize.edits import STAR, log_likelihoods, place_units
from models.network.aligned import AlignedNetwork
from models.network.phones import PHONE_CLASSES
from models.speech.audio import SAMPLE_RATE_HZ, Waveform
from tools.phone_reader import MAX_SECONDS, Classes, magnitudes_of, phone_classes, read_phones

LEAST_QUIET_SECONDS = 0.06
MARGIN_SECONDS = (0.10, 0.25)  # left around a word; the first also where there is less quiet
LEAST_SPEECH_SECONDS = 0.15
LEAST_PEAK = 0.03  # of full scale
MOST_NATS_PER_PHONE = 3.5  # by which the words' likelihood, over all alignments, falls short of the likeliest reading
MOST_NATS_BESIDE = 3.0  # by which it would grow, were there more speech before or behind the words

_HOP_SAMPLES = SAMPLE_RATE_HZ // FRAMES_PER_SECOND
_BANDS_HZ = ((100, 2000), (2000, 8000))  # voices, and the fricatives and bursts that are fainter
_FLOOR_PERCENTILE, _LOUD_PERCENTILE = 10, 95
_QUIET = 0.42  # of the way from the floor to loud speech, in decibels, at most
_QUIET_BESIDE_FAINT = 0.2  # where one of the neighbouring phones is not much louder itself
_LEAST_RANGE_DB = 20.0  # from the floor to loud speech: else nothing can be said of quiet
_LOWEST_FLOOR_DB = -65.0  # below loud speech: a recorder that mutes pauses has none
_OVERLAP = 6  # frames by which speech and an alignment may differ
_CLOSURE = 8  # frames more before a stop is released
_NEAR = 25  # frames of a word's end within which its quiet begins
_LONGEST_PAUSE = 20  # frames, inside a word: a stop's closure is shorter
_LONGEST_GAP = 30  # frames between the aligned phones of two words in one breath, a few of which are theirs
_GUARD = 1  # frames of quiet left to the neighbour
_FADE_SAMPLES = 160
_STOPS = frozenset(PHONE_CLASSES.index(name) for name in ("p", "b", "t", "d", "k", "g", "tS", "dZ"))
_FAINT = frozenset(PHONE_CLASSES.index(name) for name in ("f", "v", "T", "D", "h"))


@dataclass(frozen=True)
class Sentence:
    """A recording in which it is known where each word is.

    Attributes
    ----------
    spans
        Spectrogram frames of each word, by forced alignment.
    loudness : float32 [shape=(frames,)]
        0 at the recording's floor, 1 where speech is loud.
    """

    waveform: Waveform
    words: tuple[str, ...]
    phones: tuple[Classes, ...]
    spans: tuple[Span, ...]
    loudness: NDArray[np.float32]


@dataclass(frozen=True)
class Cut:
    """Words that stand between two pauses.

    Attributes
    ----------
    first, count
        Which of the sentence's words.
    start_seconds, end_seconds
        Of the speech, in the sentence.
    before, after
        Spectrogram frames of the quiet around it, in the sentence.
    """

    first: int
    count: int
    start_seconds: float
    end_seconds: float
    before: Span
    after: Span

    @property
    def places(self) -> range:
        return range(self.first, self.first + self.count)


def hear_sentence(network: AlignedNetwork, waveform: Waveform, text: str) -> Sentence | None:
    """None where a word has no phones, or the recording is too long, too short for them or too noisy for pauses."""
    if len(waveform) > MAX_SECONDS * SAMPLE_RATE_HZ:
        return None
    phones, magnitudes = phone_classes("sentence_repetition", text), magnitudes_of(waveform)
    loudness = loudness_of(magnitudes.numpy())
    if loudness is None or not all(phones):
        return None
    spans = place_units(read_phones(network, magnitudes), phones)
    if spans is None:
        return None
    in_spectrogram = tuple((start * ENCODER_STRIDE, end * ENCODER_STRIDE) for start, end in spans)
    return Sentence(waveform, tuple(text.split()), phones, in_spectrogram, loudness)


def loudness_of(magnitudes: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """How far each frame's louder band is on the way from its floor to loud speech; None where speech hardly stands out.

    Parameters
    ----------
    magnitudes : float32 [shape=(201, frames)]
    """
    per_hz = (magnitudes.shape[0] - 1) / (SAMPLE_RATE_HZ / 2)
    edges = [(round(low * per_hz), round(high * per_hz)) for low, high in _BANDS_HZ]
    levels = np.stack([10 * np.log10((magnitudes[low:high] ** 2).mean(axis=0) + 1e-10) for low, high in edges])
    floor, loud = np.percentile(levels, [_FLOOR_PERCENTILE, _LOUD_PERCENTILE], axis=1, keepdims=True)
    floor = np.maximum(floor, loud + _LOWEST_FLOOR_DB)
    if (loud - floor)[0] < _LEAST_RANGE_DB:
        return None
    return np.asarray(((levels - floor) / np.maximum(loud - floor, 1)).max(axis=0), np.float32)


def find_cuts(sentence: Sentence, most_words: int) -> Iterator[Cut]:
    """Every stretch of up to so many words with quiet on both sides and no long pause inside."""
    n = len(sentence.words)
    quiet = [_quiet_at(sentence, word) for word in range(n + 1)]
    for first in range(n):
        for last in range(first, min(n, first + most_words)):
            left, right = quiet[first][1], quiet[last + 1][0]
            if left and right and _is_fluent(sentence.loudness[left[1] : right[0]]):
                start, end = (left[1] - 1) / FRAMES_PER_SECOND, right[0] / FRAMES_PER_SECOND
                yield Cut(first, last - first + 1, start, end, left, right)
            if right or (last + 1 < n and sentence.spans[last + 1][0] - sentence.spans[last][1] > _LONGEST_GAP):
                break  # what follows is behind a pause, or behind a breath


def _is_fluent(loudness: NDArray[np.float32]) -> bool:
    """Whether something was said, without a long pause inside."""
    return len(loudness) > 0 and all(end - start <= _LONGEST_PAUSE for start, end in _quiet_runs(loudness, set()))


def _quiet_at(sentence: Sentence, word: int) -> tuple[Span | None, Span | None]:
    """Between a word and the one before it, the quiet as the one before ends and the quiet as the word begins."""
    spans, phones, n_frames = sentence.spans, sentence.phones, len(sentence.loudness)
    last = phones[word - 1][-1] if word else None
    first = phones[word][0] if word < len(spans) else None
    end = spans[word - 1][1] if word else 0
    start = spans[word][0] if word < len(spans) else n_frames
    latest = start + _OVERLAP + _CLOSURE * (first in _STOPS)
    quiet = _quiet_runs(sentence.loudness, {last, first})
    fit = [run for run in quiet if run[0] >= end - _OVERLAP and run[1] <= latest]
    behind_end = [run for run in fit if run[0] <= end + _NEAR]
    before_start = [run for run in fit if run[1] >= start - _NEAR]
    closed = last in _STOPS and first is not None
    return _chosen(behind_end, closed), _chosen(before_start, closed)


def _quiet_runs(loudness: NDArray[np.float32], beside: Set[int | None]) -> list[Span]:
    """First frame and the one after the last of each stretch that is long enough."""
    quiet = loudness <= (_QUIET_BESIDE_FAINT if beside & _FAINT else _QUIET)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], quiet, [False]]).astype(int)))
    runs = zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
    return [(start, end) for start, end in runs if end - start > LEAST_QUIET_SECONDS * FRAMES_PER_SECOND]


def _chosen(runs: Sequence[Span], behind_stop: bool) -> Span | None:
    """The longest; behind a stop the last, since the first may be its closure."""
    if not runs:
        return None
    return runs[-1] if behind_stop else max(runs, key=lambda run: run[1] - run[0])


def cut_out(sentence: Sentence, cut: Cut, rng: np.random.Generator) -> Waveform:
    """The words with a margin of their own quiet on both sides, of a length that is drawn, as far as there is any."""
    left, right = cut.before, cut.after
    n_frames = len(sentence.loudness)
    before = _samples(sentence.waveform, left[0] + _GUARD * (left[0] > 0), left[1] - 1)
    after = _samples(sentence.waveform, right[0], right[1] - 1 if right[1] < n_frames else n_frames + 1)
    spoken = _samples(sentence.waveform, left[1] - 1, right[0])
    pieces = [_margin(before[::-1], rng)[::-1], spoken, _margin(after, rng)]
    found = np.concatenate(pieces)
    ramp = np.linspace(0, 1, _FADE_SAMPLES, dtype=np.float32)
    found[:_FADE_SAMPLES] *= ramp
    found[-_FADE_SAMPLES:] *= ramp[::-1]
    return found


def _samples(waveform: Waveform, first_frame: int, last_frame: int) -> Waveform:
    return waveform[first_frame * _HOP_SAMPLES : last_frame * _HOP_SAMPLES]


def _margin(quiet: Waveform, rng: np.random.Generator) -> Waveform:
    """The first part of quiet that goes away from a word; where it is short it goes on backwards."""
    least, most = MARGIN_SECONDS
    wanted = round(rng.uniform(least, most) * SAMPLE_RATE_HZ)
    missing = round(least * SAMPLE_RATE_HZ) - len(quiet)
    return quiet[:wanted] if missing <= 0 else np.pad(quiet, (0, missing), mode="reflect")


def is_clear(network: AlignedNetwork, waveform: Waveform, sentence: Sentence, cut: Cut) -> bool:
    """Whether what was cut out is long and loud enough, and the classifier hears its words in it and little besides."""
    if cut.end_seconds - cut.start_seconds < LEAST_SPEECH_SECONDS or float(np.abs(waveform).max()) < LEAST_PEAK:
        return False
    phones = tuple(phone for place in cut.places for phone in sentence.phones[place])
    log_probabilities = read_phones(network, magnitudes_of(waveform))
    own, before, after = log_likelihoods(log_probabilities, [phones, (STAR, *phones), (*phones, STAR)]).tolist()
    short = (float(log_probabilities.amax(dim=1).sum()) - own) / len(phones)
    return short <= MOST_NATS_PER_PHONE and max(before, after) - own <= MOST_NATS_BESIDE
