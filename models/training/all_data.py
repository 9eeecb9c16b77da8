"""One more run on all clips, after its folds: for as many epochs as were best for them, with their held-out predictions.

It lies in a folder of its own beside the folds, as a model of a single fold, and nothing of it is held out. What it says of
itself are the predictions of its folds, so it is weighted like them.
"""

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

import numpy as np

from models import ensemble
from models.errors import InputError
from models.recipe import Recipe
from models.training.options import TrainingOptions

ALL_DATA = "all_data"  # the folder, inside that of the folds


def all_data_options(options: TrainingOptions) -> TrainingOptions:
    """Those of the run on all clips, from those of its folds."""
    return replace(options, n_folds=1, output_dir=options.output_dir / ALL_DATA)


def read_folds(
    recipe: Recipe, output_dir: Path, data_fingerprint: str, corrections: str = "", left_out: str = ""
) -> "list[ensemble.Checkpoint]":
    """The folds of a run on all clips.

    Raises
    ------
    InputError
        Where one is missing, or they were trained otherwise than this run is to be.
    """
    folds = [ensemble.load_checkpoint(path) for path in sorted(output_dir.parent.glob(f"{recipe.name}_*.pth"))]
    if not folds:
        raise InputError(
            f"{output_dir.parent}: has no fold of {recipe.name}; train all of them first, without --all_data"
        )
    ensemble.gather_blend(folds)
    for item in folds:
        as_long = replace(item.recipe, epochs=recipe.epochs, schedule_epochs=recipe.schedule_epochs)
        other = [part.name for part in fields(Recipe) if getattr(as_long, part.name) != getattr(recipe, part.name)]
        if item.data_fingerprint != data_fingerprint:
            other.append("training data")
        if item.corrections != corrections:
            other.append("set of corrections")
        if item.left_out != left_out:
            other.append("list of clips left out")
        if other:
            raise InputError(
                f"{output_dir.parent / item.file_name}: trained with another {', '.join(other)} than asked for; give the "
                "options that the folds were trained with"
            )
    return folds


def with_best_epochs(recipe: Recipe, folds: "Sequence[ensemble.Checkpoint]") -> Recipe:
    """For as many epochs as were best over the folds, the learning rate as it was in these."""
    losses: dict[int, list[float]] = {}
    for item in folds:
        for row in item.history:
            losses.setdefault(round(row["epoch"]), []).append(row["validation_log_loss"])
    whole = {epoch: float(np.mean(found)) for epoch, found in losses.items() if len(found) == len(folds)}
    if not whole:
        raise InputError(f"{recipe.name}: its folds hold no history of their epochs; train them again")
    best = min(whole, key=lambda epoch: whole[epoch])
    return replace(recipe, epochs=best, schedule_epochs=folds[0].recipe.schedule_epochs)


def held_out_by(folds: "Sequence[ensemble.Checkpoint]") -> "ensemble.OutOfFold":
    """What the folds gave for the clips that they held out, all together."""
    oof = [item.oof for item in folds]
    return ensemble.OutOfFold(
        filenames=[name for each in oof for name in each.filenames],
        tasks=[task for each in oof for task in each.tasks],
        grades=[grade for each in oof for grade in each.grades],
        labels=np.concatenate([each.labels for each in oof]),
        predictions=np.concatenate([each.predictions for each in oof]),
    )
