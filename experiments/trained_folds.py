"""The networks of a model's folds, each for the clips that it was not trained on, and the voice that they know."""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import torch

from models.ensemble.checkpoint import load_checkpoint
from models.inference.published import read_published
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


def load_one(path: Path, device: torch.device | str = "cpu") -> LoadedModel:
    """The network of a checkpoint, or the first one of a published folder."""
    return load_model(read_published(path).members[0] if path.is_dir() else load_checkpoint(path), device)


def speak_as(path: Path) -> Callable[[str], Waveform]:
    """The voice that a checkpoint, or a published folder, was trained with; each text is spoken once."""
    voice = read_published(path).voice if path.is_dir() else load_checkpoint(path).voice
    return cache(make_voice(VoiceOptions(voice["source"], voice["speed"])).speak)
