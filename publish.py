"""Write trained models as a folder that others load with one line, with a model card: model_configs.pkl -> published/."""

import argparse
from dataclasses import replace
from pathlib import Path

from models import inference, report
from models.base.cli import add_ensemble_arguments, make_parser, positive, run


def parse_arguments() -> argparse.Namespace:
    parser = make_parser(
        "Write a folder with an ensemble's weights (safetensors), its plain description (config.json), the spoken references "
        "and a model card (README.md), from which Scorer.from_pretrained loads it. Figures are computed from the checkpoints' "
        "out-of-fold predictions; no name of a clip and no prediction for one is published.",
        "python publish.py --config model_configs.pkl --output_dir published",
    )
    add_ensemble_arguments(parser)
    parser.add_argument(
        "--output_dir", type=Path, default=Path("published"), help="a new or empty folder (default: %(default)s)"
    )
    parser.add_argument(
        "--tts_dir",
        type=Path,
        default=Path("tts_data"),
        help="folder with the references; all in it are published if it is there (default: %(default)s)",
    )
    parser.add_argument(
        "--no_references",
        action="store_true",
        help="leave the references out, as where the expected texts are not yours to give away; they are spoken on demand then",
    )
    of_each = "how many folds of each model to publish, spread evenly (default: all)"
    parser.add_argument("--folds_per_model", type=positive, help=of_each)
    parser.add_argument(
        "--storage",
        choices=("float16", "int8"),
        default="float16",
        help="of the weights; int8 takes half of the room, and moves scores a little (default: %(default)s)",
    )
    parser.add_argument("--name", help="the model's name in the card (default: the folder's name)")
    parser.add_argument(
        "--dataset_name",
        default="the training table",
        help="what the card calls the training data (default: %(default)s)",
    )
    parser.add_argument(
        "--license",
        help="of the weights, as the Hugging Face hub writes it, such as mit or cc-by-nc-4.0; depends on your data, "
        "encoder and voice, so it is left open if not given",
    )
    arguments = parser.parse_args()
    if arguments.checkpoints and arguments.folds_per_model:
        parser.error("--folds_per_model is for a --config; of --checkpoints all are published")
    return arguments


def main() -> None:
    arguments = parse_arguments()
    tts_dir = None if arguments.no_references else arguments.tts_dir
    if arguments.checkpoints:
        every = scorer = inference.Scorer.from_checkpoints(arguments.checkpoints, tts_dir, device="cpu")
    else:
        every = inference.Scorer.from_config(arguments.config, tts_dir, device="cpu")
        scorer = inference.Scorer.from_config(
            arguments.config, tts_dir, folds_per_model=arguments.folds_per_model, device="cpu"
        )
    choices = report.CardChoices(
        arguments.name or arguments.output_dir.resolve().name, arguments.dataset_name, arguments.license
    )
    figures = report.member_figures(every.published.members)
    scorer.published = replace(scorer.published, figures=figures, storage=arguments.storage)
    scorer.save_pretrained(arguments.output_dir, report.model_card(scorer.published, choices))
    size_mb = sum(file.stat().st_size for file in arguments.output_dir.rglob("*") if file.is_file()) / 1e6
    print(f"wrote {arguments.output_dir}: {len(scorer.published.members)} networks, {size_mb:.0f} MB")
    if not arguments.license:
        print(f"choose a licence with --license; {arguments.output_dir}/README.md lists those of encoder and voice")


if __name__ == "__main__":
    run(main)
