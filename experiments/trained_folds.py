"""The networks of a model's folds, each for the clips that it was not trained on."""

from collections.abc import Sequence
from pathlib import Path

from models.ensemble.checkpoint import load_checkpoint
from models.localize.model import LoadedModel, load_model


def load_folds(checkpoints: Sequence[Path]) -> dict[str, LoadedModel]:
    """For each training clip the model of the fold that held it out."""
    found: dict[str, LoadedModel] = {}
    for path in checkpoints:
        checkpoint = load_checkpoint(path)
        model = load_model(checkpoint)
        found |= dict.fromkeys(checkpoint.oof.filenames, model)
    return found
