"""Text-to-speech voices: espeak-ng (embedded default), any Hugging Face model, MeloTTS.

A voice speaks the same text with the same bytes on every run, and its `identity` says which voice it is: plain values that
travel with the references and the checkpoints. Its `source` says where the voice was found; two voices that differ in
nothing else are the same.
"""

from pathlib import Path
from typing import Protocol

import numpy as np

from models.base.files import sha256_of_file
from models.errors import InputError
from models.speech.audio import Waveform, resample
from models.speech.espeak import NORMAL_RATE_WPM, SAMPLE_RATE_HZ, SLOWEST_RATE_WPM, Espeak
from models.speech.identity import Identity
from models.speech.letters import for_reader
from models.speech.options import VoiceOptions
from models.speech.piper import PREFIX, PiperVoice
from models.speech.seeding import reproducible, text_seed
from models.speech.utterance import for_espeak

MELO_FOLDER = Path("assets/tts_model")


class Voice(Protocol):
    identity: Identity

    def speak(self, utterance: str) -> Waveform:
        """Speech for an utterance (`speech/utterance.py`): float32 [shape=(n,)] at 16 kHz."""


def make_voice(options: VoiceOptions) -> Voice:
    """Build a voice; what it needs is imported here and nowhere else."""
    if options.voice == "espeak":
        return EspeakVoice(options.speed)
    if options.voice == "melo":
        return MeloVoice(options.speed)
    if options.voice.startswith(PREFIX):
        return PiperVoice(Path(options.voice.removeprefix(PREFIX)), options.speed)
    from models.speech.hf_voice import HuggingFaceVoice

    return HuggingFaceVoice(options)


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

    def speak(self, utterance: str) -> Waveform:
        told = for_espeak(utterance)
        spoken = self._espeak.speak(told, rate_wpm=self._rate_wpm, told_phones=told != utterance)
        return resample(spoken.samples / np.float32(32768), SAMPLE_RATE_HZ)


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

    def speak(self, utterance: str) -> Waveform:
        text = for_reader(utterance)
        speaker = next(iter(dict(self._tts.hps.data.spk2id).values()))
        with reproducible(text_seed(text)):
            samples = self._tts.tts_to_file(text, speaker, None, speed=self._speed, quiet=True)
        return resample(np.asarray(samples, dtype=np.float32), self._tts.hps.data.sampling_rate)
