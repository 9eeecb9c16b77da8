"""The networks of a model's folds, each for the clips that it was not trained on, and the voice that they know."""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import torch

from models.ensemble.checkpoint import load_checkpoint
from models.localize.model import LoadedModel, load_model
from models.speech.audio import Waveform
from models.speech.options import VoiceOptions
from models.speech.voices import make_voice


def load_folds(checkpoints: Sequence[Path], device: torch.device | str = "cpu") -> dict[str, LoadedModel]:
    """For each training clip the model of the fold that held it out."""
    found: dict[str, LoadedModel] = {}
    for path in checkpoints:
        checkpoint = load_checkpoint(path)
        model = load_model(checkpoint, device)
        found |= dict.fromkeys(checkpoint.oof.filenames, model)
    return found


def speak_as(checkpoint: Path) -> Callable[[str], Waveform]:
    """The voice that a model was trained with; each text is spoken once."""
    voice = load_checkpoint(checkpoint).voice
    return cache(make_voice(VoiceOptions(voice["source"], voice["speed"])).speak)
