"""The command line of training: shared by the recipe scripts and by train.py."""

import argparse
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from models.base.cli import add_data_arguments, add_device_arguments, positive
from models.recipe import Recipe

# Not part of how a fold was trained: left out of the options that a checkpoint remembers.
_NOT_REMEMBERED = (
    *("fold", "folds", "models", "n_folds", "output_dir", "overwrite"),
    *("ray", "gpus_per_fold", "cpus_per_fold", "memory_per_fold", "local_states"),
)


def add_training_arguments(parser: argparse.ArgumentParser) -> None:
    """All options of training but the choice of model and fold."""
    parser.add_argument("--n_folds", type=positive, default=6, help="number of folds (default: %(default)s)")
    add_data_arguments(parser)
    parser.add_argument(
        "--output_dir", type=Path, default=Path("."), help="where checkpoints are written (default: the current folder)"
    )
    parser.add_argument(
        "--group_by",
        metavar="COLUMN",
        help="keep clips with the same value in this column, such as the speaker, in the same fold (GroupKFold)",
    )
    parser.add_argument(
        "--groups",
        type=Path,
        metavar="FILE",
        help="CSV with the columns filename and COLUMN (default: the training metadata)",
    )
    parser.add_argument("--overwrite", action="store_true", help="train again what is finished already")
    add_device_arguments(parser)
    parser.add_argument(
        "--gradient_accumulation_steps",
        type=positive,
        default=1,
        help="split each batch into this many parts to save memory; the result stays the same (default: %(default)s)",
    )
    parser.add_argument(
        "--max_tries",
        type=positive,
        default=3,
        help="a run that stops learning (vanished gradients, a loss that is not finite, no better than the prior) is begun "
        "again with another seed, so many times in all (default: %(default)s)",
    )
    add_recipe_arguments(parser)


def given_options(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> dict[str, Any]:
    """The options that differ from their defaults, as plain values."""
    given = {
        name: value
        for name, value in vars(arguments).items()
        if name not in _NOT_REMEMBERED and value != parser.get_default(name)
    }
    return {name: str(value) if isinstance(value, Path) else value for name, value in given.items()}


def add_recipe_arguments(parser: argparse.ArgumentParser) -> None:
    """One `--field` for each field of `Recipe` but its name; not given means the recipe's own value."""
    group = parser.add_argument_group("recipe", "settings that replace the recipe's own")
    for setting in fields(Recipe):
        if setting.name == "name":
            continue
        choices = get_args(setting.type) if get_origin(setting.type) is Literal else None
        kind = setting.type if setting.type in (int, float, str) else str if choices else float
        group.add_argument(f"--{setting.name}", type=kind, choices=choices, help=setting.metadata["help"])


def override_recipe(recipe: Recipe, arguments: argparse.Namespace) -> Recipe:
    """The recipe with every setting that was given on the command line put in its place.

    `--epochs` beyond the schedule stretches the schedule too, unless `--schedule_epochs` says otherwise.
    """
    names = [setting.name for setting in fields(Recipe) if setting.name != "name"]
    given = {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    if "epochs" in given and "schedule_epochs" not in given:
        given["schedule_epochs"] = max(given["epochs"], recipe.schedule_epochs)
    return replace(recipe, **given)
