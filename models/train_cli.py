"""The command line of training: shared by the recipe scripts and by train.py."""

import argparse
from pathlib import Path
from typing import Any

from models.cli import add_data_arguments, add_device_arguments, make_parser, positive, run
from models.job import is_finished, make_job
from models.processes import is_first_process, leave
from models.recipe import Recipe, add_recipe_arguments

# Not part of how a fold was trained: left out of the options that a checkpoint remembers.
_NOT_REMEMBERED = (
    *("fold", "folds", "models", "n_folds", "output_dir", "overwrite"),
    *("ray", "gpus_per_fold", "cpus_per_fold", "memory_per_fold", "local_states"),
)


def main(recipe: Recipe) -> None:
    """Run a recipe script: train one fold of `recipe` as the command line says, then exit."""
    run(lambda: _train(recipe))


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


def _train(recipe: Recipe) -> None:
    parser = make_parser(
        f"Train one fold of {recipe.name} and write {recipe.name}_<fold>.pth.",
        f"python train_{recipe.name}.py --fold 0 --n_folds 6",
    )
    parser.add_argument("--fold", type=int, default=0, help="which fold to hold out, from 0 (default: %(default)s)")
    add_training_arguments(parser)
    arguments = parser.parse_args()
    job = make_job(recipe, arguments.fold, arguments, given_options(arguments, parser))
    if not arguments.overwrite and is_finished(job):
        if is_first_process():
            print(f"{job.checkpoint_path} is finished already; --overwrite trains it again")
        return
    from models.training import train_fold

    train_fold(job, restart=arguments.overwrite)
    leave()
