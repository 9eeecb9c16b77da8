"""Score the test clips with the ensemble: data/test_metadata.csv -> submission.csv."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from models.base.cli import add_config_argument, add_data_arguments, add_device_arguments, make_parser, positive, run
from models.base.files import sole_writer
from models.clips.tables import clip_paths, read_test_table
from models.cluster.clips import add_ray_arguments, check_ray_options, score_on_ray
from models.ensemble.config import EnsembleConfig, read_config
from models.errors import InputError
from models.inference.submission import (
    add_problems,
    find_unreadable,
    find_unspoken,
    problems_path,
    with_priors,
    write_problems,
    write_submission,
)
from models.speech.audio import Waveform, try_audio_files
from models.speech.options import VoiceOptions, add_voice_arguments
from models.speech.references import complete_references, load_references

if TYPE_CHECKING:
    from models.ensemble.metrics import Values
    from models.inference.scoring import Member


def parse_arguments() -> argparse.Namespace:
    parser = make_parser(
        "Give every clip of test_metadata.csv the ensemble's probability that the answer was right, in the order of "
        "submission_format.csv. Expected texts without a reference are spoken with the voice that the models were trained with. "
        "A clip that can't be read, or whose expected text can't be spoken, gets the share of right answers in its task and "
        "grade, and is listed in <output>.problems.csv with the reason.",
        "python infer.py --folds_per_model 3",
    )
    add_data_arguments(parser)
    add_config_argument(parser)
    parser.add_argument(
        "--output", type=Path, default=Path("submission.csv"), help="what to write (default: %(default)s)"
    )
    parser.add_argument(
        "--folds_per_model",
        type=positive,
        help="how many folds of each model to use, spread evenly; the published submission used 3 of 6 (default: all)",
    )
    parser.add_argument("--strict", action="store_true", help="stop at a clip that would be listed, and write nothing")
    add_device_arguments(parser)
    add_voice_arguments(parser, default_voice=None)
    add_ray_arguments(parser)
    arguments = parser.parse_args()
    check_ray_options(arguments, parser)
    return arguments


def check_output(path: Path) -> None:
    """That a file can be written there, before hours of work are spent on it."""
    if path.is_dir():
        raise InputError(f"--output {path}: is a folder; give the name of a file, such as {path / 'submission.csv'}")
    path.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"--output {path}: the folder can't be written to; give another")


def check_strict(strict: bool, problems: dict[int, str]) -> None:
    if problems and strict:
        raise InputError(f"--strict: {len(problems)} clips can't be scored, the first: {next(iter(problems.values()))}")


def without(table: pd.DataFrame, problems: dict[int, str]) -> pd.DataFrame:
    return table[[row not in problems for row in range(len(table))]].reset_index(drop=True)


def make_references(
    arguments: argparse.Namespace, texts: Sequence[str], config: EnsembleConfig
) -> tuple[dict[str, Waveform], dict[str, str]]:
    """The reference of each distinct text, and why the texts that have none can't be spoken."""
    source = arguments.voice or config.voice["source"]
    options = VoiceOptions(source, config.voice["speed"], arguments.speaker_embedding, arguments.vocoder)
    unspoken = complete_references(arguments.tts_dir, list(texts), config.voice, options, config.references)
    return load_references(arguments.tts_dir, set(texts) - set(unspoken), config.references), unspoken


def score_here(
    arguments: argparse.Namespace,
    table: pd.DataFrame,
    config: EnsembleConfig,
    members: "Sequence[Member]",
    references: dict[str, Waveform],
) -> "tuple[Values, dict[int, str]]":
    """As `score_on_ray`, by this process; all clips can be read."""
    from models.base.compute import resolve_device, resolve_precision
    from models.inference.scoring import score_clips

    device = resolve_device(arguments.device)
    precision = resolve_precision(arguments.precision, device)
    print(f"{len(table)} clips, {len(members)} checkpoints, {device} in {precision}")
    return score_clips(members, table, arguments.data_dir, references, device, precision, arguments.num_workers), {}


def main() -> None:
    arguments = parse_arguments()
    table = read_test_table(arguments.data_dir)
    config = read_config(arguments.config)
    check_output(arguments.output)

    from models.base.compute import resolve_device, resolve_precision
    from models.inference.scoring import load_members

    if arguments.ray is None:  # what is not there is told before hours of work; with Ray each node has its own
        resolve_precision(arguments.precision, resolve_device(arguments.device))

    members = load_members(config, arguments.config.parent, arguments.folds_per_model)
    references, unspoken = make_references(arguments, table["expected_text"].tolist(), config)
    problems = find_unspoken(table["expected_text"].tolist(), unspoken, arguments.data_dir)
    if arguments.ray is None:  # with Ray the nodes read the clips
        paths = clip_paths(arguments.data_dir, without(table, problems)["filename"])
        problems = add_problems(problems, find_unreadable(try_audio_files(paths), arguments.data_dir), len(table))
    check_strict(arguments.strict, problems)
    score = score_here if arguments.ray is None else score_on_ray
    with sole_writer(arguments.output):
        scores, unread = score(arguments, without(table, problems), config, members, references)
        problems = add_problems(problems, unread, len(table))
        scores = with_priors(table, scores, problems, config.priors)
        write_problems(arguments.output, table, scores, problems)
        write_submission(arguments.output, table, scores)
    print(f"wrote {arguments.output}: {len(scores)} scores, {scores.mean():.3f} on average")
    if problems:
        print(
            f"{len(problems)} clips could not be read, or their texts not spoken, and got their task's and grade's prior: "
            f"{problems_path(arguments.output)}"
        )


if __name__ == "__main__":
    run(main)
