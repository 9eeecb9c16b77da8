"""Train every model and fold; what is finished already is skipped."""

import argparse
import importlib
import subprocess
import sys
from pathlib import Path

from models import cluster, training
from models.base.cli import make_parser, run, to_arguments
from models.base.processes import refuse_other_launchers
from models.cluster.options import ClusterOptions, add_fold_arguments, fold_options
from models.errors import InputError
from models.recipe import PUBLISHED, Recipe
from models.training.all_data import ALL_DATA, all_data_options
from models.training.options import TrainingOptions, add_training_arguments, training_options

HERE = Path(__file__).resolve().parent


def make_training_parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "Train folds of models, one after the other, each in a process of its own: by default all ten published models × six "
        "folds. Finished folds are skipped, an unfinished one goes on where it was cut off, and a fold that fails does not "
        "stop the others. Every other option is passed on to the models' own scripts.",
        "python train.py --models model3mapd model2s --folds 0 1 2",
    )
    parser.add_argument(
        "--models",
        nargs="+",
        metavar="NAME",
        help="models to train, or 'all' for every train_<NAME>.py (default: the published ten)",
    )
    parser.add_argument(
        "--all_data",
        action="store_true",
        help=f"one run on all clips instead, once all folds are trained, for as many epochs as were best for them: "
        f"<output_dir>/{ALL_DATA}/<NAME>_0.pth, for those who score with one network instead of six",
    )
    parser.add_argument("--folds", nargs="+", type=int, metavar="K", help="folds to train, from 0 (default: all)")
    add_training_arguments(parser)
    add_fold_arguments(parser)
    return parser


def find_recipes(names: list[str] | None) -> list[Recipe]:
    """The recipes of the scripts beside this one, by name."""
    there = sorted(path.stem.removeprefix("train_") for path in HERE.glob("train_*.py"))
    wanted = list(PUBLISHED) if names is None else there if names == ["all"] else names
    unknown = [name for name in wanted if name not in there]
    if unknown:
        raise InputError(f"--models {unknown[0]}: there is no train_{unknown[0]}.py; there are: {', '.join(there)}")
    return [importlib.import_module(f"train_{name}").recipe for name in dict.fromkeys(wanted)]


def prepare(recipe: Recipe, fold: int, options: TrainingOptions) -> "training.TrainingJob | str":
    """The job, or 'skipped' where it is finished, or 'failed' where it can't be done, which is told."""
    try:
        job = training.make_job(recipe, fold, options)
        return "skipped" if not options.overwrite and training.is_finished(job) else job
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return "failed"


def train_one(job: "training.TrainingJob") -> str:
    """Train a fold in a process of its own; returns 'trained' or 'failed'."""
    options = job.options
    command = [sys.executable, str(HERE / f"train_{job.recipe.name}.py")]
    command += ["--fold", str(job.fold), "--n_folds", str(options.n_folds), "--output_dir", str(options.output_dir)]
    command += [*to_arguments(options.given), *(["--overwrite"] if options.overwrite else [])]
    return "trained" if subprocess.run(command, check=False).returncode == 0 else "failed"


def train_in_turn(folds: list[tuple[Recipe, int]], options: TrainingOptions) -> dict[str, str]:
    """What became of each fold."""
    outcomes: dict[str, str] = {}
    for recipe, fold in folds:
        print(f"{recipe.name} fold {fold} ({len(outcomes) + 1} of {len(folds)})", flush=True)
        job = prepare(recipe, fold, options)
        outcomes[f"{recipe.name} fold {fold}"] = job if isinstance(job, str) else train_one(job)
    return outcomes


def train_together(
    folds: list[tuple[Recipe, int]], options: TrainingOptions, cluster_options: ClusterOptions
) -> dict[str, str]:
    """The same with Ray."""
    found = {f"{recipe.name} fold {fold}": prepare(recipe, fold, options) for recipe, fold in folds}
    outcomes = {name: job for name, job in found.items() if isinstance(job, str)}
    jobs = [job for job in found.values() if not isinstance(job, str)]
    for job, outcome in cluster.train_on_ray(jobs, options, cluster_options):
        outcomes[f"{job.recipe.name} fold {job.fold}"] = outcome
        print(f"{len(outcomes)} of {len(folds)} folds are done", flush=True)
    return outcomes


def main() -> int:
    parser = make_training_parser()
    arguments = parser.parse_args()
    refuse_other_launchers()  # once, not for each fold
    options, on_cluster = training_options(arguments, parser), fold_options(arguments, parser)
    recipes = find_recipes(arguments.models)
    if arguments.all_data:
        if arguments.folds is not None or on_cluster is not None:
            parser.error("--all_data is one run on this machine: it takes no --folds and no --ray")
        options, arguments.n_folds = all_data_options(options), 1
    folds = list(range(arguments.n_folds)) if arguments.folds is None else list(dict.fromkeys(arguments.folds))
    wanted = [(recipe, fold) for recipe in recipes for fold in folds]
    outcomes = train_in_turn(wanted, options) if on_cluster is None else train_together(wanted, options, on_cluster)
    counts = {
        kind: [name for name, outcome in outcomes.items() if outcome == kind]
        for kind in ("trained", "skipped", "failed")
    }
    print(
        f"{len(counts['trained'])} folds trained, {len(counts['skipped'])} finished already, {len(counts['failed'])} failed"
    )
    for name in counts["failed"]:
        print(f"  failed: {name}")
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    run(main)
