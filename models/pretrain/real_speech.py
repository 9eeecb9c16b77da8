"""Transcribed recordings of people, for pre-training beside synthetic speech and for validation."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from models.clips.features import ENCODER_STRIDE
from models.clips.groups import TASKS
from models.errors import InputError
from models.pretrain.room import change_speed, record
from models.pretrain.synthesis import MAX_SECONDS, Group, SpokenClip, Synthesizer, features_of, mask_mels
from models.pretrain.texts import VOCABULARY
from models.speech.audio import SAMPLE_RATE_HZ, Waveform, read_audio

TRANSCRIPT_FILES = ("transcripts.csv", "train_source.csv")  # the first that a folder holds is read; never a test table
_COLUMNS = ("filename", "speaker", "age", "spoken_text")
_CHILD_YEARS = 14  # below: a child's voice already
_CHILD_WEIGHT = 2.0  # how much likelier than another recording one of a child is drawn
_CHILD_SPEED, _ADULT_SPEED = (0.92, 1.1), (0.95, 1.27)
_EXTRA_RECORDINGS = 2  # that come along with a group
_NEAR_PLACES = 200  # in the order of length from which they are drawn
_MIN_SNR_DB = 12.0  # added noise; the recordings have their own
_SENTENCE = TASKS.index("sentence_repetition") / 4


@dataclass(frozen=True)
class Recording:
    """A transcribed recording.

    Attributes
    ----------
    waveform : int16 [shape=(n,)]
        At 16 kHz.
    """

    filename: str
    waveform: NDArray[np.int16]
    text: str
    speaker: str
    age_years: int

    @property
    def is_child(self) -> bool:
        return self.age_years < _CHILD_YEARS

    def as_float(self) -> Waveform:
        return np.divide(self.waveform, 32768, dtype=np.float32)


def read_transcripts(folder: Path) -> list[dict[str, str]]:
    """Rows of the folder's transcripts with a non-empty text."""
    path = next((folder / name for name in TRANSCRIPT_FILES if (folder / name).is_file()), None)
    if path is None:
        raise InputError(f"{folder}: holds none of {', '.join(TRANSCRIPT_FILES)}; give a folder of transcribed speech")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    missing = [name for name in _COLUMNS if rows and name not in rows[0]]
    if missing:
        raise InputError(f"{path}: lacks the column '{missing[0]}'; it must have {', '.join(_COLUMNS)}")
    return [row for row in rows if row["spoken_text"].strip()]


def held_out_speakers(folder: Path, n_speakers: int, seed: int = 0) -> frozenset[str]:
    """A fixed random choice of the folder's speakers, for validation."""
    speakers = sorted({row["speaker"] for row in read_transcripts(folder)})
    chosen = np.random.default_rng(seed).choice(len(speakers), min(n_speakers, len(speakers)), replace=False)
    return frozenset(speakers[index] for index in chosen)


def read_recordings(
    folder: Path, speakers: frozenset[str] | None = None, without: frozenset[str] = frozenset()
) -> list[Recording]:
    """The folder's clips by `speakers` (all where None), less those by the speakers `without`."""
    rows = [row for row in read_transcripts(folder) if row["speaker"] not in without]
    return [_read(folder, row) for row in rows if speakers is None or row["speaker"] in speakers]


def _read(folder: Path, row: dict[str, str]) -> Recording:
    waveform = read_audio(folder / row["filename"], MAX_SECONDS)
    samples = np.round(waveform.clip(-1, 1) * 32767).astype(np.int16)
    return Recording(row["filename"], samples, row["spoken_text"], row["speaker"], int(row["age"]))


class RealGroups:
    """Groups whose first response is a recording; the near miss of its text is spoken by a synthetic voice.

    Further recordings of about its length come along, for there is little real speech and much of it must be heard.
    """

    def __init__(self, recordings: list[Recording], synthesizer: Synthesizer) -> None:
        self._recordings = sorted(recordings, key=lambda recording: len(recording.waveform))
        weights = np.array([_CHILD_WEIGHT if recording.is_child else 1.0 for recording in self._recordings])
        self._shares = weights / weights.sum()
        self._synthesizer = synthesizer
        words = {word for recording in recordings for word in recording.text.split()}
        self._vocabulary = sorted(words | set(VOCABULARY))

    def draw_group(self, rng: np.random.Generator) -> Group:
        place = int(rng.choice(len(self._recordings), p=self._shares))
        recording, voice = self._recordings[place], self._synthesizer
        miss = voice.audible_miss(recording.text, rng, self._vocabulary)
        references = voice.reference(recording.text), voice.reference(miss)
        clips = (*references, self._response(recording, rng), voice.response(miss, rng))
        extra = tuple(self._response(other, rng) for other in self._near(place, rng))
        return Group(clips, _SENTENCE, float(rng.integers(4)) / 4, extra)

    def _near(self, place: int, rng: np.random.Generator) -> list[Recording]:
        """Recordings from around a place in the order of length."""
        places = place + rng.integers(-_NEAR_PLACES, _NEAR_PLACES + 1, size=_EXTRA_RECORDINGS)
        return [self._recordings[index] for index in places.clip(0, len(self._recordings) - 1)]

    def _response(self, recording: Recording, rng: np.random.Generator) -> SpokenClip:
        """The recording, sped up or slowed down and mostly re-recorded; its frames have no labels, only its phones."""
        speed = rng.uniform(*(_CHILD_SPEED if recording.is_child else _ADULT_SPEED))
        waveform = change_speed(recording.as_float(), SAMPLE_RATE_HZ, speed)
        if rng.random() < 0.7:
            waveform = record(waveform, rng, _MIN_SNR_DB)
        features = mask_mels(features_of(waveform), rng)
        labels = torch.full((-(-features.shape[1] // ENCODER_STRIDE),), -1)
        return SpokenClip(features, labels, torch.tensor(self._synthesizer.phones_of(recording.text)))
