"""What a user says of a voice."""

import argparse
from dataclasses import dataclass
from pathlib import Path

from models.errors import InputError
from models.speech.identity import Identity

DEFAULT_VOCODER = "microsoft/speecht5_hifigan"


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
        metavar="espeak|piper:FILE.onnx|melo|MODEL",
        help=(
            "the voice that spoke the references, if they have to be spoken here and it lies elsewhere now: "
            if default_voice is None
            else ""
        )
        + "espeak (espeak-ng, needs no download), piper:FILE.onnx (a Piper voice, its settings beside it), melo (MeloTTS "
        "EN_NEWEST from assets/tts_model/), or a Hugging Face text-to-speech model by hub id or folder"
        + (" (default: %(default)s)" if default_voice else ""),
    )
    group.add_argument(
        "--speaker_embedding", type=Path, metavar="FILE.npy", help="the speaker of a SpeechT5 voice: a vector"
    )
    group.add_argument(
        "--vocoder", default=DEFAULT_VOCODER, help="the vocoder of a SpeechT5 voice (default: %(default)s)"
    )


def trained_voice(arguments: argparse.Namespace, identity: Identity) -> VoiceOptions:
    """The voice that models were trained with, where `add_voice_arguments` says that it lies here."""
    source = arguments.voice or identity["source"]
    return VoiceOptions(source, identity["speed"], arguments.speaker_embedding, arguments.vocoder)
