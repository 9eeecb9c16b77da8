"""All folds of one model -> one network: the mean of their weights, for who runs one network instead of six."""

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from models.base.cli import make_parser, run
from models.ensemble import Checkpoint, check_alike, gather_blend, load_checkpoint, save_checkpoint
from models.errors import InputError
from models.training.all_data import held_out_by

PHONE_SETTINGS = ("phone_classes", "phones", "weighs_phones")


def parse_arguments() -> argparse.Namespace:
    parser = make_parser(
        "Average the weights of all folds of one model (a model soup, Wortsman et al. 2022). Folds that started from the same "
        "pretrained weights lie near each other, so their mean is a network too, which has learnt from every clip and costs as "
        "much as one fold. Nothing is held out from it: the figures that it carries are those of its folds, so measure it on "
        "clips that no fold has seen.",
        "python tools/average_folds.py assets/verifytiny_*.pth --output_dir averaged",
    )
    parser.add_argument("checkpoints", nargs="+", type=Path, help="all folds of one model")
    parser.add_argument("--output_dir", type=Path, required=True, help="where <model>_0.pth is written")
    return parser.parse_args()


def average(folds: list[Checkpoint]) -> Checkpoint:
    """One network of all folds, as one that was trained on all clips.

    Raises
    ------
    InputError
        Where they are not all folds of one model, or started from other weights.
    """
    folds = [without_phones(fold) for fold in folds]
    gather_blend(folds)
    check_alike({Path(fold.file_name): fold for fold in folds})
    first, names = folds[0], {fold.recipe.name for fold in folds}
    if len(names) > 1:
        raise InputError(f"{', '.join(sorted(names))}: folds of several models; give those of one")
    for fold in folds[1:]:
        if replace(fold.recipe, seed=0) != replace(first.recipe, seed=0) or fold.encoder != first.encoder:
            raise InputError(f"{fold.file_name}: trained with other settings than {first.file_name}; train it again")
    weights = mean_weights([fold.weights for fold in folds])
    return replace(first, fold=0, n_folds=1, weights=weights, oof=held_out_by(folds), history=[], tries=[])


def without_phones(checkpoint: Checkpoint) -> Checkpoint:
    """Classifiers of phones were each taught from their own beginning: their mean would tell nothing."""
    parts = ("phone_classifier.", "phone_evidence.")
    kept = {name: tensor for name, tensor in checkpoint.weights.items() if not name.startswith(parts)}
    if len(kept) == len(checkpoint.weights):
        return checkpoint
    print(f"{checkpoint.file_name}: the phones that it tells are left out; teach the mean: tools/teach_phones.py")
    settings = {name: value for name, value in checkpoint.encoder.items() if name not in PHONE_SETTINGS}
    return replace(checkpoint, weights=kept, encoder=settings)


def mean_weights(weights: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {
        name: torch.stack([each[name].float() for each in weights]).mean(dim=0).to(tensor.dtype)
        for name, tensor in weights[0].items()
    }


def main() -> None:
    arguments = parse_arguments()
    whole = average([load_checkpoint(path) for path in arguments.checkpoints])
    path = arguments.output_dir / whole.file_name
    if path.exists():
        raise InputError(f"{path}: already there; give another --output_dir")
    arguments.output_dir.mkdir(parents=True, exist_ok=True)
    save_checkpoint(path, whole)
    print(f"wrote {path}: the mean of {len(arguments.checkpoints)} folds")


if __name__ == "__main__":
    run(main)
