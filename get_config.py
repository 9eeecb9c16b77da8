"""Fit the ensemble's blend on out-of-fold predictions: assets/*.pth -> model_configs.pkl."""

import argparse
import math
from pathlib import Path

import numpy as np

from models import clips, ensemble
from models.base.cli import make_parser, run
from models.errors import InputError


def parse_arguments() -> argparse.Namespace:
    parser = make_parser(
        "Fit the blend of the models on their out-of-fold predictions, and write it with the checkpoints' checksums: a weighted "
        "mean, with weights at least 0 that sum to 1 (simplex), or that corrected by a regularised logistic regression (stack), "
        "which knows each model's log-odds, task and grade and how often others were right about the same text. Each way is "
        "judged on folds that nothing of it was fitted on. Every model must have all its folds.",
        "python get_config.py --assets_dir assets --output model_configs.pkl",
    )
    parser.add_argument(
        "--assets_dir", type=Path, default=Path("assets"), help="folder with the .pth files (default: %(default)s)"
    )
    parser.add_argument(
        "--data_dir",
        type=Path,
        default=Path("data"),
        help="folder with the training metadata and labels, for the expected texts (default: %(default)s)",
    )
    parser.add_argument(
        "--output", type=Path, default=Path("model_configs.pkl"), help="what to write (default: %(default)s)"
    )
    parser.add_argument(
        "--blend",
        choices=("best", "simplex", "stack"),
        default="best",
        help="best: the stack where it is clearly better, else the simplex (default: %(default)s)",
    )
    parser.add_argument(
        "--no_item_prior",
        action="store_true",
        help="judge each answer by its sound alone: a score does not depend on how often others were right about the same text",
    )
    parser.add_argument("--models", nargs="+", metavar="NAME", help="blend these alone (default: all that lie there)")
    return parser.parse_args()


def read_whole_assets(assets_dir: Path) -> "dict[Path, ensemble.Checkpoint]":
    """All checkpoints of a folder, which must be readable and trained on the same data with the same references."""
    checkpoints: dict[Path, ensemble.Checkpoint] = {}
    for path, item in ensemble.read_assets(assets_dir).items():
        if isinstance(item, InputError):
            raise item
        checkpoints[path] = item
    ensemble.check_alike(checkpoints)
    return checkpoints


def choose_models(
    checkpoints: "dict[Path, ensemble.Checkpoint]", names: list[str] | None, assets_dir: Path
) -> "dict[Path, ensemble.Checkpoint]":
    """The checkpoints of the models of these names, all where None."""
    found = {item.recipe.name for item in checkpoints.values()}
    missing = [name for name in names or [] if name not in found]
    if missing:
        raise InputError(f"--models {missing[0]}: {assets_dir} has no such model, only {', '.join(sorted(found))}")
    return {path: item for path, item in checkpoints.items() if names is None or item.recipe.name in names}


def find_texts(arguments: argparse.Namespace, blend: "ensemble.Blend", data_fingerprint: str) -> list[str] | None:
    """The expected text of each clip; None where items are not to be told, which is explained if it was not asked for."""
    if arguments.no_item_prior:
        return None
    try:
        texts = clips.read_texts(arguments.data_dir, data_fingerprint)
    except InputError as error:
        if arguments.blend == "stack":
            raise
        print(f"items are not told, and intervals are over clips: {error} (--data_dir)")
        return None
    return [texts[name] for name in blend.filenames]


def told_difference(found: "ensemble.Estimate | None") -> str:
    """With its interval, where there are texts enough for one."""
    if found is None:
        return ""
    interval = f" [{found.low:+.4f}, {found.high:+.4f}]" if math.isfinite(found.low) else ", of too few texts to tell"
    return f"   {found.value:+.4f}{interval}"


def print_losses(blend: "ensemble.Blend", choice: "ensemble.Choice") -> None:
    labels, predictions = blend.labels, blend.predictions
    print(f"log loss over {len(labels)} clips; the base rate gives {ensemble.base_rate_loss(labels):.4f}")
    for index, name in enumerate(blend.models):
        loss = ensemble.log_loss(labels, predictions[:, index])
        print(f"  {name:<40} {loss:.4f}   weight {choice.weights[index]:.4f}")
    print(f"  {'all, equal weights':<40} {ensemble.log_loss(labels, predictions.mean(axis=1)):.4f}")
    print(f"  {'all, fitted weights':<40} {ensemble.log_loss(labels, predictions @ choice.weights):.4f}")
    print("cross-fitted: each fold is scored by what was fitted on the others")
    for one in choice.candidates:
        print(f"  {one.name:<40} {one.log_loss:.4f}{told_difference(one.difference)}")
    low, high = ensemble.ece_if_perfect(choice.chosen.scores)
    print(
        f"taken: {choice.chosen.name}; calibration error {ensemble.ece(labels, choice.chosen.scores):.4f}, "
        f"if the scores were the true probabilities {low:.4f} to {high:.4f}"
    )


def main() -> None:
    arguments = parse_arguments()

    checkpoints = choose_models(read_whole_assets(arguments.assets_dir), arguments.models, arguments.assets_dir)
    first = next(iter(checkpoints.values()))
    blend = ensemble.gather_blend(list(checkpoints.values()))
    choice = ensemble.choose(blend, find_texts(arguments, blend, first.data_fingerprint), arguments.blend)
    print_losses(blend, choice)
    entries = [
        ensemble.make_entry(
            name, float(weight), checkpoints, lambda path: ensemble.relative_path(path, arguments.output)
        )
        for name, weight in zip(blend.models, choice.weights, strict=True)
    ]
    config = ensemble.EnsembleConfig(
        first.n_folds,
        first.voice,
        first.data_fingerprint,
        ensemble.group_priors(list(checkpoints.values())),
        entries,
        ensemble.gather_references(checkpoints),
        choice.correction,
    )
    ensemble.write_config(arguments.output, config)
    print(
        f"wrote {arguments.output}: {int(np.count_nonzero(choice.weights))} models with a weight; "
        f"{ensemble.describe(choice.correction)}"
    )


if __name__ == "__main__":
    run(main)
