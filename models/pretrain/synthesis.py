"""Unlimited synthetic training data: pairs of nearly equal texts, spoken by the reference voice and by random ones.

Of a text and a near miss of it, all four pairings of reference and response are used, so that right and wrong are
balanced by construction and neither the text, nor its length, nor the voice tells the label.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.clips.features import ENCODER_STRIDE, log_mel, magnitude_spectrogram
from models.clips.groups import TASKS
from models.pretrain.phone_labels import frame_labels, phone_sequence
from models.pretrain.room import change_speed, record, surround
from models.pretrain.texts import VOCABULARY, draw_text, near_miss
from models.speech.audio import Waveform
from models.speech.espeak import NORMAL_RATE_WPM, Espeak, Utterance
from models.speech.espeak import SAMPLE_RATE_HZ as ESPEAK_RATE_HZ

N_MELS = 80
MAX_SECONDS = 12.0
REFERENCE_VOICE = "en-us"
REFERENCE_RATE_WPM = round(0.7 * NORMAL_RATE_WPM)

ACCENTS: tuple[str, ...] = (
    "en-us", "en", "en-gb-x-rp", "en-gb-scotland", "en-gb-x-gbcwmd", "en-gb-x-gbclan", "en-029", "en-us-nyc",
)  # fmt: skip
# espeak-ng's variants less those that whisper, croak or sound like machines
VARIANTS: tuple[str, ...] = tuple(
    """Alex Alicia Andrea Andy Annie Denis Diogo Gene Gene2 Henrique Hugo Jacky Lee Marco Mario Michael Mike Nguyen
    Reed RicishayMax RicishayMax2 RicishayMax3 adam anika announcer antonio aunty belinda benjamin boris caleb
    david ed edward edward2 f1 f2 f3 f4 f5 grandma grandpa gustave ian iven iven2 iven3 john kaukovalta klatt
    klatt2 klatt3 klatt4 linda m1 m2 m3 m4 m5 m6 m7 m8 marcelo max michel miguel mike2 norbert pablo paul pedro
    quincy rob robert sandro shelby steph steph2 steph3 travis victor zac""".split()
)
_HELD_OUT_EVERY = 9  # one variant in nine is kept for validation
TRAIN_VARIANTS = tuple(name for index, name in enumerate(VARIANTS) if index % _HELD_OUT_EVERY != 0)
HELD_OUT_VARIANTS = tuple(name for index, name in enumerate(VARIANTS) if index % _HELD_OUT_EVERY == 0)

# Variants whose breath sounds otherwise in each process, whatever was spoken before: not for what must be the same twice
UNSTEADY_VARIANTS = frozenset("Alicia f2 f3 f5 sandro victor".split())

_MIN_RATE_WPM, _MAX_RATE_WPM = 90, 220
_MIN_SPEED, _MAX_SPEED = 0.95, 1.27  # resampling: above 1 towards children's shorter vocal tracts
_PAUSED_SHARE = 0.2  # of responses that halt between words
_MAX_MASKED_MELS = 14


@dataclass(frozen=True)
class SpokenClip:
    """A spoken text.

    Attributes
    ----------
    features : float32 [shape=(80, frames)]
        Log-mel at 100 frames per second.
    labels : int64 [shape=(ceil(frames / 2),)]
        Phone class per encoder frame, -1 where unknown.
    phones : int64 [shape=(n,)]
        Phone classes in order: the CTC target.
    """

    features: Tensor
    labels: Tensor
    phones: Tensor


@dataclass(frozen=True)
class Group:
    """A text and its near miss: clips 0 and 1 are their references, clips 2 and 3 the responses.

    Attributes
    ----------
    extra
        Further speech, to be read but not compared.
    """

    clips: tuple[SpokenClip, SpokenClip, SpokenClip, SpokenClip]
    task: float  # index / 4, as the recipes scale it
    grade: float
    extra: tuple[SpokenClip, ...] = ()

    @property
    def n_frames(self) -> int:
        """Spectrogram frames of the longest clip."""
        return max(clip.features.shape[1] for clip in self.clips + self.extra)


class Synthesizer:
    """Speaks references and responses. One per process: the voice behind it is not thread-safe."""

    def __init__(self, variants: Sequence[str] = TRAIN_VARIANTS) -> None:
        self._espeak = Espeak(fresh=False)
        self._variants = variants

    def close(self) -> None:
        self._espeak.close()

    def phones_of(self, text: str) -> tuple[int, ...]:
        """Phone classes of a text in the reference voice."""
        return phone_sequence(self._reference(text).phones)

    def reference(self, text: str) -> SpokenClip:
        """The text in the one voice of all references, clean."""
        utterance = self._reference(text)
        waveform = change_speed(_as_float(utterance), ESPEAK_RATE_HZ, 1.0)
        labels = _Labels(utterance, 1.0, 0.0)
        return _clip(waveform, labels, None)

    def response(self, text: str, rng: np.random.Generator) -> SpokenClip:
        """The text in a random voice and recording."""
        speed = rng.uniform(_MIN_SPEED, _MAX_SPEED)
        rate_wpm = round(rng.uniform(_MIN_RATE_WPM, _MAX_RATE_WPM) / speed)
        accent, variant = (names[int(rng.integers(len(names)))] for names in (ACCENTS, self._variants))
        pitch, pitch_range = (int(value) for value in rng.integers(15, 85, size=2))
        utterance = self._espeak.speak(_halting(text, rng), f"{accent}+{variant}", rate_wpm, pitch, pitch_range)
        waveform = change_speed(_as_float(utterance), ESPEAK_RATE_HZ, speed)
        waveform, start_seconds = surround(waveform, rng)
        return _clip(record(waveform, rng), _Labels(utterance, speed, start_seconds), rng)

    def draw_group(self, rng: np.random.Generator) -> Group:
        """A random text and a near miss of it, all four clips synthetic."""
        task, text = draw_text(rng)
        miss = self.audible_miss(text, rng)
        clips = (self.reference(text), self.reference(miss), self.response(text, rng), self.response(miss, rng))
        return Group(clips, TASKS.index(task) / 4, float(rng.integers(4)) / 4)

    def audible_miss(self, text: str, rng: np.random.Generator, vocabulary: Sequence[str] = VOCABULARY) -> str:
        """A near miss whose phones differ from the text's: one that only spells differently is drawn again."""
        phones = self.phones_of(text)
        while True:
            miss = near_miss(text, rng, vocabulary)
            heard = self.phones_of(miss)
            if heard and heard != phones:
                return miss

    def _reference(self, text: str) -> Utterance:
        return self._espeak.speak(text, REFERENCE_VOICE, REFERENCE_RATE_WPM)


@dataclass(frozen=True)
class _Labels:
    """What is needed to label frames once their number is known."""

    utterance: Utterance
    speed: float
    start_seconds: float

    def at(self, n_frames: int) -> NDArray[np.int64]:
        return frame_labels(self.utterance.phones, ESPEAK_RATE_HZ * self.speed, n_frames, self.start_seconds)


def features_of(waveform: Waveform) -> Tensor:
    """Log-mel of at most `MAX_SECONDS`: float32 [shape=(80, frames)]."""
    magnitudes = magnitude_spectrogram(torch.from_numpy(waveform), round(MAX_SECONDS * 100))
    return log_mel(magnitudes, N_MELS)


def mask_mels(features: Tensor, rng: np.random.Generator) -> Tensor:
    """Set one band of mels to the mean (Park et al. 2019, "SpecAugment"; frequencies only: time holds the evidence)."""
    width = int(rng.integers(0, _MAX_MASKED_MELS + 1))
    start = int(rng.integers(0, N_MELS - width + 1))
    masked = features.clone()
    masked[start : start + width] = features.mean()
    return masked


def _clip(waveform: Waveform, labels: _Labels, rng: np.random.Generator | None) -> SpokenClip:
    features = features_of(waveform)
    if rng is not None:
        features = mask_mels(features, rng)
    n_frames = -(-features.shape[1] // ENCODER_STRIDE)
    phones = torch.tensor(phone_sequence(labels.utterance.phones), dtype=torch.long)
    return SpokenClip(features, torch.from_numpy(labels.at(n_frames)), phones)


def _as_float(utterance: Utterance) -> Waveform:
    return np.divide(utterance.samples, 32768, dtype=np.float32)


def _halting(text: str, rng: np.random.Generator) -> str:
    """Now and then with pauses between words: espeak-ng pauses at a comma."""
    if rng.random() >= _PAUSED_SHARE:
        return text
    share = rng.uniform(0.1, 0.7)
    return "".join(word + (", " if rng.random() < share else " ") for word in text.split()).strip(", ")
