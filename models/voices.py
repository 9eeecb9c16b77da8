"""Text-to-speech voices: espeak-ng (embedded default), any Hugging Face model, MeloTTS.

A voice speaks the same text with the same bytes on every run, and its `identity` says which voice it is: plain values that
travel with the references and the checkpoints. Its `source` says where the voice was found; two voices that differ in
nothing else are the same.
"""

import argparse
import contextlib
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from models.audio import Waveform, resample
from models.errors import InputError
from models.espeak import NORMAL_RATE_WPM, SAMPLE_RATE_HZ, SLOWEST_RATE_WPM, Espeak
from models.files import sha256_of_file

Identity = dict[str, Any]

MELO_FOLDER = Path("assets/tts_model")
DEFAULT_VOCODER = "microsoft/speecht5_hifigan"


class Voice(Protocol):
    identity: Identity

    def speak(self, text: str) -> Waveform:
        """Speech for `text`: float32 [shape=(n,)] at 16 kHz."""


@dataclass(frozen=True)
class VoiceOptions:
    """What a user says of a voice; plain values, so that worker processes can build it again."""

    voice: str = "espeak"
    speed: float = 0.7
    speaker_embedding: Path | None = None
    vocoder: str = DEFAULT_VOCODER

    def __post_init__(self) -> None:
        if not 0.2 <= self.speed <= 3.0:
            raise InputError(f"--speed {self.speed}: must lie in [0.2, 3]; 1 is the voice's own pace, less is slower")


def add_voice_arguments(parser: argparse.ArgumentParser, default_voice: str | None) -> None:
    """The options that name a voice; `default_voice` None means the one that spoke the references."""
    group = parser.add_argument_group("voice")
    group.add_argument(
        "--voice",
        default=default_voice,
        metavar="espeak|melo|MODEL",
        help=(
            "the voice that spoke the references, if they have to be spoken here and it lies elsewhere now: "
            if default_voice is None
            else ""
        )
        + "espeak (espeak-ng, needs no download), melo (MeloTTS EN_NEWEST from assets/tts_model/), or a Hugging Face "
        "text-to-speech model by hub id or folder" + (" (default: %(default)s)" if default_voice else ""),
    )
    group.add_argument(
        "--speaker_embedding", type=Path, metavar="FILE.npy", help="the speaker of a SpeechT5 voice: a vector"
    )
    group.add_argument(
        "--vocoder", default=DEFAULT_VOCODER, help="the vocoder of a SpeechT5 voice (default: %(default)s)"
    )


def make_voice(options: VoiceOptions) -> Voice:
    """Build a voice; what it needs is imported here and nowhere else."""
    if options.voice == "espeak":
        return EspeakVoice(options.speed)
    if options.voice == "melo":
        return MeloVoice(options.speed)
    from models.hf_voice import HuggingFaceVoice

    return HuggingFaceVoice(options)


def check_identity(value: object) -> Identity:
    """raises : ValueError unless it names a voice in plain values, as a file of a stranger may not do it"""
    if not isinstance(value, dict) or not {"engine", "speed", "source"} <= value.keys():
        raise ValueError(f"{repr(value)[:200]} does not name a voice")
    plain = all(isinstance(item, str | int | float | None) for item in value.values())
    if not plain or not all(isinstance(key, str) for key in value) or not isinstance(value["speed"], int | float):
        raise ValueError(f"the voice {repr(value)[:200]} is not described by plain texts and numbers")
    return value


def same_voice(identity: Identity, other: Identity) -> bool:
    return _without_source(identity) == _without_source(other)


def voice_key(identity: Identity) -> str:
    """What tells one voice from another, as text."""
    return json.dumps(_without_source(identity), sort_keys=True)


def describe_voice(identity: Identity) -> str:
    return ", ".join(f"{key} {str(value)[:40]}" for key, value in sorted(identity.items()))


def _without_source(identity: Identity) -> Identity:
    return {key: value for key, value in identity.items() if key != "source"}


def text_seed(text: str) -> int:
    """A seed for voices that draw random numbers, from the text alone: 32 bits."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")


@contextlib.contextmanager
def reproducible(seed: int) -> Iterator[None]:
    """Seed the global generators of PyTorch and NumPy, from which voices draw, and compute in one thread: the order of
    additions, and with it the last bit, depends on the number of threads. Afterwards all is as it was."""
    import torch

    threads, numpy_state = torch.get_num_threads(), np.random.get_state()  # noqa: NPY002 - voices use these
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            np.random.seed(seed)  # noqa: NPY002
            yield
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
        torch.set_num_threads(threads)


class EspeakVoice:
    """espeak-ng's American English at `speed` times its normal 175 words per minute."""

    def __init__(self, speed: float) -> None:
        self._rate_wpm = round(speed * NORMAL_RATE_WPM)
        if self._rate_wpm < SLOWEST_RATE_WPM:
            raise InputError(
                f"--speed {speed}: espeak-ng speaks no slower than {SLOWEST_RATE_WPM} of its {NORMAL_RATE_WPM} words per "
                f"minute; give at least {SLOWEST_RATE_WPM / NORMAL_RATE_WPM:.2f}"
            )
        self._espeak = Espeak()
        self.identity: Identity = {
            "engine": "espeak-ng",
            "version": self._espeak.version,
            "language": "en-us",
            "speed": float(speed),
            "source": "espeak",
        }

    def speak(self, text: str) -> Waveform:
        utterance = self._espeak.speak(text, rate_wpm=self._rate_wpm)
        return resample(utterance.samples / np.float32(32768), SAMPLE_RATE_HZ)


class MeloVoice:
    """MeloTTS EN_NEWEST from local files. MeloTTS pins old packages: install it in an environment of its own if need be."""

    def __init__(self, speed: float, folder: Path = MELO_FOLDER) -> None:
        config, weights = folder / "config.json", folder / "checkpoint.pth"
        for file in (config, weights):
            if not file.is_file():
                raise InputError(
                    f"{file}: missing; the voice 'melo' needs config.json and checkpoint.pth of MeloTTS-English-v3 there"
                )
        try:
            from melo.api import TTS
        except ImportError as error:
            raise InputError(
                f"the voice 'melo' needs MeloTTS ({error}): pip install git+https://github.com/myshell-ai/MeloTTS, "
                "in an environment of its own if its old pins clash; the references it makes are plain files"
            ) from error
        self._speed = speed
        try:
            self._tts = TTS(
                language="EN_NEWEST", device="cpu", use_hf=False, config_path=str(config), ckpt_path=str(weights)
            )
        except Exception as error:  # files cut short, or of another model, can fail in almost any way
            raise InputError(
                f"{folder}: MeloTTS could not load config.json and checkpoint.pth ({error}); copy them again"
            ) from error
        self.identity: Identity = {
            "engine": "MeloTTS",
            "language": "EN_NEWEST",
            "speed": float(speed),
            "weights_sha256": sha256_of_file(weights),
            "source": "melo",
        }

    def speak(self, text: str) -> Waveform:
        speaker = next(iter(dict(self._tts.hps.data.spk2id).values()))
        with reproducible(text_seed(text)):
            samples = self._tts.tts_to_file(text, speaker, None, speed=self._speed, quiet=True)
        return resample(np.asarray(samples, dtype=np.float32), self._tts.hps.data.sampling_rate)
