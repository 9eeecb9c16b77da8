"""Score the test clips with the ensemble: data/test_metadata.csv -> submission.csv."""

import argparse
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from models import base, clips, cluster, ensemble, inference, speech
from models.base.cli import (
    add_data_arguments,
    add_device_arguments,
    add_ensemble_arguments,
    add_self_corrections_argument,
    make_parser,
    positive,
    run,
)
from models.base.files import sole_writer
from models.cluster.options import ClusterOptions, add_clip_arguments, clip_options
from models.errors import InputError
from models.speech.checksums import refuse_older_speech
from models.speech.options import add_voice_arguments, trained_voice

if TYPE_CHECKING:
    import pandas as pd

    from models.cluster.clips import ClipCluster
    from models.ensemble.correction import Correction
    from models.speech.audio import Waveform


def parse_arguments() -> tuple[argparse.Namespace, ClusterOptions | None]:
    parser = make_parser(
        "Give every clip of test_metadata.csv the ensemble's probability that the answer was right, in the order of "
        "submission_format.csv. Expected texts without a reference are spoken with the voice that the models were trained with. "
        "A clip that can't be read, of which nothing is heard, or whose expected text can't be spoken, gets the share of right "
        "answers in its task and grade, and is listed in <output>.problems.csv with the reason; so is, with its score, a clip "
        "that is longer than the models hear, and one that is a poor recording.",
        "python infer.py --folds_per_model 3",
    )
    add_data_arguments(parser)
    add_ensemble_arguments(parser, published=True)
    parser.add_argument(
        "--output", type=Path, default=Path("submission.csv"), help="what to write (default: %(default)s)"
    )
    parser.add_argument(
        "--folds_per_model",
        type=positive,
        help="how many folds of each model to use, spread evenly; the published submission used 3 of 6 (default: all)",
    )
    add_self_corrections_argument(parser)
    parser.add_argument("--strict", action="store_true", help="stop at a clip that can't be scored, and write nothing")
    add_device_arguments(parser)
    add_voice_arguments(parser, default_voice=None)
    add_clip_arguments(parser)
    arguments = parser.parse_args()
    if arguments.folds_per_model and (arguments.checkpoints or arguments.model):
        parser.error("--folds_per_model is for a --config; of --checkpoints or of a --model all are used")
    return arguments, clip_options(arguments, parser)


def check_strict(strict: bool, problems: dict[int, str]) -> None:
    if problems and strict:
        raise InputError(f"--strict: {len(problems)} clips can't be scored, the first: {next(iter(problems.values()))}")


def without(table: "pd.DataFrame", problems: dict[int, str]) -> "pd.DataFrame":
    return table[[row not in problems for row in range(len(table))]].reset_index(drop=True)


def make_references(
    arguments: argparse.Namespace, said: Sequence[str], models: "inference.Published"
) -> "tuple[dict[str, Waveform], dict[str, str]]":
    """The reference of each distinct utterance, and why those that have none can't be spoken."""
    voice = trained_voice(arguments, models.voice)
    found, unspoken = speech.complete_references(
        arguments.tts_dir, list(said), models.voice, voice, models.trained_with
    )
    return found.load(one for one in said if one not in unspoken), unspoken


def workplace(
    arguments: argparse.Namespace,
    options: ClusterOptions | None,
    source: "ensemble.EnsembleSource",
    correction: "Correction",
) -> "AbstractContextManager[inference.Here | ClipCluster]":
    """Where clips are checked and scored. What is not there is told before hours of work; with Ray each node has its own."""
    data_dir, accept = arguments.data_dir, arguments.accept_self_corrections
    if options is None:
        device = base.resolve_device(arguments.device)
        precision = base.resolve_precision(arguments.precision, device)
        return nullcontext(inference.Here(data_dir, device, precision, arguments.num_workers, correction, accept))
    compute = (arguments.device, arguments.precision, options.cpus)
    node = cluster.node_options(data_dir, source, arguments.folds_per_model, *compute, accept)
    return cluster.clip_cluster(options, node)


def tell_problems(output: Path, unscored: int, corrected: int, poor: int, cut: int) -> None:
    """How many clips are listed beside the scores, and why."""
    file = inference.problems_path(output)
    counts = {
        "clips could not be read or heard, or their texts not spoken, and got their task's and grade's prior": unscored,
        "answers count from where they were begun again, since self-corrections are accepted": corrected,
        "recordings are poor, which changes no score (column signal)": poor,
        "clips are longer than the models hear, and were scored by what is heard": cut,
    }
    for told, count in counts.items():
        if count:
            print(f"{count} {told}: {file}")


def main() -> None:
    arguments, options = parse_arguments()
    folder = inference.locate(arguments.model) if arguments.model else None
    source = ensemble.EnsembleSource(arguments.config, tuple(arguments.checkpoints), folder)
    table = clips.read_test_table(arguments.data_dir, inference.given_pronunciations(source, arguments.tts_dir))
    models = inference.read_ensemble(source, folds_per_model=arguments.folds_per_model)
    inference.check_output(arguments.output)
    with workplace(arguments, options, source, models.correction) as place:
        members = models.members
        print(inference.describe_blend(members, models.correction, models.fitted))
        said = inference.heard_utterances(members, table)
        refuse_older_speech(zip(table["expected_text"], said, strict=False), models.trained_with)
        references, unspoken = make_references(arguments, said, models) if said else ({}, {})
        refused = inference.refused_texts(members, table["expected_text"].tolist())
        problems = inference.find_unspoken(table, unspoken, refused, arguments.data_dir)
        examined = place.check(without(table, problems)["filename"].tolist())
        poor = inference.find_poor(examined, problems, len(table))
        problems = inference.add_problems(problems, inference.find_unreadable(examined, arguments.data_dir), len(table))
        seconds = [found.seconds for found in examined if isinstance(found, speech.Examined)]
        unheard = inference.find_unheard_rows(members, without(table, problems), seconds, references)
        listed = inference.add_problems(problems, unheard.answers | unheard.parts, len(table))
        problems = inference.add_problems(problems, unheard.answers, len(table))
        check_strict(arguments.strict, problems)
        with sole_writer(arguments.output):
            counted = place.score(members, without(table, problems), references)
            corrected = inference.find_corrected(counted.starts, problems, len(table))
            scores = inference.with_priors(table, counted.scores, problems, models.priors)
            inference.write_problems(arguments.output, table, scores, inference.tell_both(listed, corrected), poor)
            inference.write_submission(arguments.output, table, scores)
    print(f"wrote {arguments.output}: {len(scores)} scores, {scores.mean():.3f} on average")
    tell_problems(arguments.output, len(problems), len(corrected), len(poor), len(listed) - len(problems))


if __name__ == "__main__":
    run(main)
