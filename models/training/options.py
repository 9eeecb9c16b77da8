"""The options of training: on the command line, and as plain values for everything behind it."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from models.base.cli import add_data_arguments, add_device_arguments, positive
from models.recipe import Recipe

# How a fold was trained, but not part of it: left out of the options that a checkpoint remembers.
_NOT_REMEMBERED = (
    *("all_data", "fold", "folds", "models", "n_folds", "output_dir", "overwrite"),
    *("ray", "gpus_per_fold", "cpus_per_fold", "memory_per_fold", "local_states"),
)
_RECIPE_SETTINGS = tuple(setting for setting in fields(Recipe) if setting.name != "name")


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """Where a fold is trained, and how.

    Attributes
    ----------
    group_by, groups
        A column that keeps clips together in a fold, and the CSV that holds it (None: the training metadata).
    word_labels
        A CSV of `read_word_labels`.
    corrections
        A CSV of `read_corrections`, whose labels take the place of the training table's.
    leave_out
        A CSV of `read_left_out`, whose clips no fold is trained on.
    recipe
        Settings that replace the recipe's own, by name.
    given
        The options that differ from their defaults, as plain values: to train another fold in the same way.
    """

    data_dir: Path
    tts_dir: Path
    output_dir: Path
    n_folds: int = 6
    group_by: str | None = None
    groups: Path | None = None
    word_labels: Path | None = None
    corrections: Path | None = None
    leave_out: Path | None = None
    overwrite: bool = False
    device: str = "auto"
    precision: str = "auto"
    num_workers: int = 0
    gradient_accumulation_steps: int = 1
    cuda_graphs: bool = False
    max_tries: int = 3
    recipe: Mapping[str, Any] = field(default_factory=dict)
    given: Mapping[str, Any] = field(default_factory=dict)


def add_training_arguments(parser: argparse.ArgumentParser) -> None:
    """All options of training but the choice of model and fold."""
    parser.add_argument(
        "--n_folds", type=positive, default=6, help="number of folds, at least 2 (default: %(default)s)"
    )
    add_data_arguments(parser)
    parser.add_argument(
        "--output_dir", type=Path, default=Path("."), help="where checkpoints are written (default: the current folder)"
    )
    _add_table_arguments(parser)
    parser.add_argument("--overwrite", action="store_true", help="train again what is finished already")
    add_device_arguments(parser)
    parser.add_argument(
        "--gradient_accumulation_steps",
        type=positive,
        default=1,
        help="split each batch into this many parts to save memory; the result stays the same (default: %(default)s)",
    )
    parser.add_argument(
        "--cuda_graphs",
        action="store_true",
        help="of joint models on one GPU: start all work of a step at once, which a fast GPU waits for; the "
        "result stays the same but for rounding (new: compare a fold with one trained without it)",
    )
    parser.add_argument(
        "--max_tries",
        type=positive,
        default=3,
        help="a run that stops learning (vanished gradients, a loss that is not finite, no better than the prior) is begun "
        "again with another seed, so many times in all (default: %(default)s)",
    )
    _add_recipe_arguments(parser)


def _add_table_arguments(parser: argparse.ArgumentParser) -> None:
    """What is known of the clips beside their labels, and what is to be made of these."""
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
    parser.add_argument(
        "--word_labels",
        type=Path,
        metavar="FILE",
        help="of verifiers with a --token_loss: CSV with the columns filename, index (of a word of the expected text, from 0, "
        "or the number of its words for the end) and right (0 or 1; the end: 0 where more was said)",
    )
    parser.add_argument(
        "--corrections",
        type=Path,
        metavar="FILE",
        help="labels by people who listened, as the page saves them: CSV with the columns filename and score (0, 1, or empty "
        "where they did not decide), which replace the clips' own; where it has task, expected_text, grade or sha256 (of "
        "the recording), these must be the training clip's",
    )
    parser.add_argument(
        "--leave_out",
        type=Path,
        metavar="FILE",
        help="CSV with the column filename: clips that are not trained on, such as those whose label is doubted "
        "(tools/list_contradicted.py); the fold that holds them out scores them all the same",
    )


def training_options(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> TrainingOptions:
    """What was said on a command line to which `add_training_arguments` has added its options."""
    values = vars(arguments)
    given = {
        name: str(value) if isinstance(value, Path) else value
        for name, value in values.items()
        if name not in _NOT_REMEMBERED and value != parser.get_default(name)
    }
    own = {setting.name for setting in fields(TrainingOptions)} & values.keys()
    settings = {item.name: values[item.name] for item in _RECIPE_SETTINGS if values[item.name] is not None}
    return TrainingOptions(**{name: values[name] for name in own}, recipe=settings, given=given)


def override_recipe(recipe: Recipe, settings: Mapping[str, Any]) -> Recipe:
    """The recipe with these settings in place of its own.

    More epochs than the schedule has stretch the schedule too, unless `schedule_epochs` says otherwise.
    """
    given = dict(settings)
    if "epochs" in given and "schedule_epochs" not in given:
        given["schedule_epochs"] = max(given["epochs"], recipe.schedule_epochs)
    return replace(recipe, **given)


def _add_recipe_arguments(parser: argparse.ArgumentParser) -> None:
    """One `--field` for each field of `Recipe` but its name; not given means the recipe's own value."""
    group = parser.add_argument_group("recipe", "settings that replace the recipe's own")
    for setting in _RECIPE_SETTINGS:
        choices = get_args(setting.type) if get_origin(setting.type) is Literal else None
        kind = setting.type if setting.type in (int, float, str) else str if choices else float
        group.add_argument(f"--{setting.name}", type=kind, choices=choices, help=setting.metadata["help"])
