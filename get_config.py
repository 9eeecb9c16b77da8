"""Fit the ensemble's weights on out-of-fold predictions: assets/*.pth -> model_configs.pkl."""

import argparse
from pathlib import Path

import numpy as np

from models import ensemble
from models.base.cli import make_parser, run
from models.base.files import sha256_of_file
from models.clips.tables import base_rate_loss
from models.errors import InputError
from models.speech.identity import same_voice


def parse_arguments() -> argparse.Namespace:
    parser = make_parser(
        "Find the weights, at least 0 and summing to 1, with which the models' blended out-of-fold predictions have the lowest "
        "log loss, and write them with the checkpoints' checksums. Every model must have all its folds.",
        "python get_config.py --assets_dir assets --output model_configs.pkl",
    )
    parser.add_argument(
        "--assets_dir", type=Path, default=Path("assets"), help="folder with the .pth files (default: %(default)s)"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("model_configs.pkl"), help="what to write (default: %(default)s)"
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
    first_path, first = next(iter(checkpoints.items()))
    for path, item in checkpoints.items():
        alike = (item.n_folds, item.data_fingerprint) == (first.n_folds, first.data_fingerprint)
        if not alike or not same_voice(item.voice, first.voice):
            raise InputError(
                f"{path} and {first_path}: trained on other data, with other n_folds or another voice; see check_models.py"
            )
    ensemble.gather_references(checkpoints)
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


def make_entry(
    name: str, weight: float, checkpoints: "dict[Path, ensemble.Checkpoint]", output: Path
) -> "ensemble.ModelEntry":
    own = sorted((item.fold, path) for path, item in checkpoints.items() if item.recipe.name == name)
    recipe = checkpoints[own[0][1]].recipe
    return ensemble.ModelEntry(
        name=name,
        weight=weight,
        paths=[ensemble.relative_path(path, output) for _, path in own],
        folds=[fold for fold, _ in own],
        sha256=[sha256_of_file(path) for _, path in own],
        max_seconds=recipe.max_seconds,
        batch_size=recipe.batch_size,
    )


def print_losses(blend: "ensemble.Blend", weights: "np.ndarray") -> None:

    labels, predictions = blend.labels, blend.predictions
    print(f"log loss over {len(labels)} clips; the base rate gives {base_rate_loss(labels):.4f}")
    for index, name in enumerate(blend.models):
        print(f"  {name:<32} {ensemble.log_loss(labels, predictions[:, index]):.4f}   weight {weights[index]:.4f}")
    print(f"  {'all, equal weights':<32} {ensemble.log_loss(labels, predictions.mean(axis=1)):.4f}")
    print(f"  {'all, fitted weights':<32} {ensemble.log_loss(labels, predictions @ weights):.4f}")
    cross_fitted = ensemble.cross_fitted_loss(blend)
    print(f"  {'the same, cross-fitted':<32} {cross_fitted:.4f}   (each fold scored with weights of the other folds)")


def main() -> None:
    arguments = parse_arguments()

    checkpoints = choose_models(read_whole_assets(arguments.assets_dir), arguments.models, arguments.assets_dir)
    blend = ensemble.gather_blend(list(checkpoints.values()))
    weights = ensemble.fit_weights(blend.labels, blend.predictions)
    print_losses(blend, weights)
    first = next(iter(checkpoints.values()))
    entries = [
        make_entry(name, float(weight), checkpoints, arguments.output)
        for name, weight in zip(blend.models, weights, strict=True)
    ]
    priors = ensemble.group_priors(list(checkpoints.values()))
    references = ensemble.gather_references(checkpoints)
    ensemble.write_config(
        arguments.output,
        ensemble.EnsembleConfig(first.n_folds, first.voice, first.data_fingerprint, priors, entries, references),
    )
    print(f"wrote {arguments.output}: {int(np.count_nonzero(weights))} models with a weight")


if __name__ == "__main__":
    run(main)
