"""Pack the ensemble for a code-execution competition: model_configs.pkl, assets/, tts_data/ -> submission.zip."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from models.base.cli import add_config_argument, add_data_arguments, make_parser, positive, run
from models.ensemble.config import EnsembleConfig, read_config
from models.errors import InputError
from models.speech.options import VoiceOptions, add_voice_arguments

if TYPE_CHECKING:
    from models.ensemble.checkpoint import Checkpoint
    from models.packing.cost import Work

TERAFLOPS = 40.0


def parse_arguments() -> argparse.Namespace:
    parser = make_parser(
        "Write submission.zip: main.py, the code, the chosen checkpoints, the references spoken so far and the voice, so that "
        "`python main.py` beside data/ writes submission.csv with no network and nothing installed but the libraries of "
        "requirements-runtime.txt. The clips of --data_dir tell how long scoring takes. tools/check_submission.py tries it out.",
        "python pack_submission.py --folds_per_model 3 --time_budget_minutes 100",
    )
    add_data_arguments(parser)
    add_config_argument(parser)
    parser.add_argument(
        "--output", type=Path, default=Path("submission.zip"), help="what to write (default: %(default)s)"
    )
    parser.add_argument(
        "--folds_per_model", type=positive, help="at most so many folds of each model, spread evenly (default: all)"
    )
    parser.add_argument(
        "--time_budget_minutes",
        type=float,
        help="choose the checkpoints that add most to the out-of-fold blend per second, as many as take so long, and fit "
        "the weights anew (default: all that have a weight)",
    )
    parser.add_argument(
        "--clips", type=positive, help="how many clips will be scored (default: as many as in --data_dir)"
    )
    parser.add_argument(
        "--teraflops",
        type=float,
        default=TERAFLOPS,
        help="10^12 encoder operations that the machine there does in a second; tools/check_submission.py prints what it "
        "measures (default: %(default)s, a guess for a server GPU)",
    )
    parser.add_argument(
        "--espeak_package",
        type=Path,
        metavar="FOLDER",
        help="the folder espeakng_loader of the package for 64-bit Linux on x86, unzipped (default: the installed one)",
    )
    add_voice_arguments(parser, default_voice=None)
    arguments = parser.parse_args()
    for name in ("time_budget_minutes", "teraflops"):
        value = getattr(arguments, name)
        if value is not None and not 0 < value < float("inf"):
            parser.error(f"--{name} {value}: must be greater than 0")
    return arguments


def choose(
    config: EnsembleConfig, checkpoints: "list[Checkpoint]", seconds: dict[str, float], arguments: argparse.Namespace
) -> EnsembleConfig:
    """The configuration of the checkpoints that are to be packed."""
    from models.ensemble.blend import gather_blend
    from models.packing.archive import choose_folds
    from models.packing.cost import START_SECONDS
    from models.packing.selection import select

    most_folds = min(arguments.folds_per_model or config.n_folds, *(len(entry.folds) for entry in config.models))
    if arguments.folds_per_model and arguments.folds_per_model > most_folds:
        raise InputError(f"--folds_per_model {arguments.folds_per_model}: there are {most_folds} folds of each model")
    if arguments.time_budget_minutes is None:
        weights = {entry.name: entry.weight for entry in config.models if entry.weight > 0}
        return choose_folds(config, dict.fromkeys(weights, most_folds), weights)
    budget_seconds = 60 * arguments.time_budget_minutes - START_SECONDS
    selection = select(gather_blend(checkpoints), seconds, most_folds, budget_seconds)
    print(f"out-of-fold log loss of the chosen models, weights fitted anew: {selection.loss:.4f}")
    return choose_folds(config, selection.folds, selection.weights)


def print_plan(config: EnsembleConfig, seconds: dict[str, float], work: "Work", teraflops: float) -> None:
    from models.packing.cost import START_SECONDS

    print(
        f"{work.clips} clips, {work.reference_seconds:.1f} s of reference, {work.response_seconds:.1f} s of response on average"
    )
    for entry in config.models:
        folds = ", ".join(map(str, entry.folds))
        print(
            f"  {entry.name:<20} weight {entry.weight:.4f}   {seconds[entry.name]:8.1f} s for each of the folds {folds}"
        )
    total = START_SECONDS + sum(seconds[entry.name] * len(entry.folds) for entry in config.models)
    print(f"expected: {total / 60:.1f} minutes at {teraflops:g} teraflops")


def main() -> None:
    arguments = parse_arguments()
    config, folder = read_config(arguments.config), arguments.config.parent

    from models.packing.archive import read_checkpoints, submission_files, write_zip
    from models.packing.cost import checkpoint_seconds, measure_work
    from models.packing.voice_files import can_speak, voice_files
    from models.speech.references import complete_references

    options = VoiceOptions(
        arguments.voice or config.voice["source"], config.voice["speed"], arguments.speaker_embedding, arguments.vocoder
    )
    voice, identity = voice_files(config.voice, options, arguments.espeak_package)
    checkpoints = read_checkpoints(config, folder)
    if can_speak(
        identity
    ):  # what the models were trained with is not to be spoken there, where it could come out otherwise
        complete_references(arguments.tts_dir, list(config.references), config.voice, options, config.references)
    work = measure_work(arguments.data_dir, arguments.tts_dir, arguments.clips)
    by_model = {checkpoint.recipe.name: checkpoint for checkpoint in checkpoints}
    seconds = {name: checkpoint_seconds(item, work, arguments.teraflops) for name, item in by_model.items()}
    chosen = choose(config, checkpoints, seconds, arguments)
    print_plan(chosen, seconds, work, arguments.teraflops)
    files = submission_files(
        EnsembleConfig(**{**vars(chosen), "voice": identity}), folder, arguments.tts_dir, identity["engine"]
    )
    size = write_zip(arguments.output, files | voice)
    print(f"wrote {arguments.output}: {len(files | voice)} files, {size / 1e6:.1f} MB")
    if not can_speak(identity):
        print(
            "MeloTTS can't be carried: every expected text must have a reference in it; a test text without one stops the run"
        )


if __name__ == "__main__":
    run(main)
