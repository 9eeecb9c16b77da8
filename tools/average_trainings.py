"""The same fold of several trainings -> one network: the mean of their weights, scored on the clips that the fold held out."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from models.base.cli import add_data_arguments, add_device_arguments, make_parser, run
from models.base.compute import resolve_device, resolve_precision
from models.clips.tables import read_training_table, utterances
from models.ensemble import Checkpoint, check_alike, load_checkpoint, save_checkpoint
from models.ensemble.metrics import log_loss
from models.errors import InputError
from models.inference.scoring import Member, score_clips
from models.speech.references import References
from tools.average_folds import mean_weights, without_phones

# What a recipe says of the network and of what it reads; the rest is how it was trained or where its encoder lay.
OF_THE_NETWORK = ("name", "pooling", "joint", "head", "dropout_on", "padding", "max_seconds", "data_seed")


def parse_arguments() -> argparse.Namespace:
    parser = make_parser(
        "Average the weights of the same fold of several trainings, which differ in settings of training or in their seed and "
        "started from the same pretrained weights (a model soup, Wortsman et al. 2022). The mean scores the clips that the fold "
        "held out, so what it says of itself is measured. It goes by the recipe of the last one; one that is given twice counts "
        "twice. Then average all folds: tools/average_folds.py.",
        "python tools/average_trainings.py plain/verifytiny_0.pth joined/verifytiny_0.pth --output_dir mixed",
    )
    parser.add_argument("checkpoints", nargs="+", type=Path, help="the same fold of the same model, two or more")
    parser.add_argument("--output_dir", type=Path, required=True, help="where <model>_<fold>.pth is written")
    add_data_arguments(parser)
    add_device_arguments(parser)
    return parser.parse_args()


def average(trainings: Sequence[Checkpoint]) -> Checkpoint:
    """The mean, with the last one's predictions.

    Raises
    ------
    InputError
        Where they are not the same fold of the same data, or not networks of the same kind.
    """
    *others, last = map(without_phones, trainings)
    if not others:
        raise InputError(f"{last.file_name}: one training alone has no mean; give two or more")
    check_alike({Path(f"{place}/{item.file_name}"): item for place, item in enumerate((*others, last), 1)})
    for place, item in enumerate(others, 1):
        differences = [name for name in OF_THE_NETWORK if getattr(item.recipe, name) != getattr(last.recipe, name)]
        pairs = {
            "fold": (item.fold, last.fold),
            "held-out clips": (set(item.oof.filenames), set(last.oof.filenames)),
            "encoder": (item.encoder, last.encoder),
            "weights": (_shapes(item), _shapes(last)),
        }
        differences += [name for name, (one, other) in pairs.items() if one != other]
        if differences:
            raise InputError(
                f"the {_ordinal(place)} of the checkpoints has another {', '.join(differences)} than the last; "
                "give the same fold of trainings that differ in settings of training alone"
            )
    return replace(last, weights=mean_weights([item.weights for item in (*others, last)]), history=[], tries=[])


def scored(checkpoint: Checkpoint, arguments: argparse.Namespace) -> Checkpoint:
    """With its own predictions for the clips that it holds out."""
    table = read_training_table(arguments.data_dir).set_index("filename", drop=False)
    if missing := [name for name in checkpoint.oof.filenames if name not in table.index]:
        raise InputError(
            f"{arguments.data_dir}: lacks {len(missing)} of the clips that fold {checkpoint.fold} held out, such as "
            f"{missing[0]}; give the --data_dir of the training"
        )
    table = table.loc[checkpoint.oof.filenames].reset_index(drop=True)
    references = {}
    if checkpoint.recipe.layout != "text":
        references = References(arguments.tts_dir, checkpoint.references, checkpoint.voice).load(utterances(table))
    device = resolve_device(arguments.device)
    compute = (device, resolve_precision(arguments.precision, device), arguments.num_workers)
    member = Member(checkpoint, checkpoint.recipe.batch_size, 1.0)
    predictions = score_clips([member], table, arguments.data_dir, references, *compute)
    return replace(checkpoint, oof=replace(checkpoint.oof, predictions=predictions))


def _shapes(checkpoint: Checkpoint) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in checkpoint.weights.items()}


def _ordinal(place: int) -> str:
    return {1: "first", 2: "second", 3: "third"}.get(place, f"{place}th")


def main() -> None:
    arguments = parse_arguments()
    trainings = [load_checkpoint(path) for path in arguments.checkpoints]
    mean = average(trainings)
    path = arguments.output_dir / mean.file_name
    if path.exists():
        raise InputError(f"{path}: already there; give another --output_dir")
    mean = scored(mean, arguments)
    arguments.output_dir.mkdir(parents=True, exist_ok=True)
    save_checkpoint(path, mean)
    own = [log_loss(item.oof.labels, item.oof.predictions) for item in (*trainings, mean)]
    print(f"wrote {path}: log loss {own[-1]:.4f}, alone {', '.join(f'{loss:.4f}' for loss in own[:-1])}")


if __name__ == "__main__":
    run(main)
