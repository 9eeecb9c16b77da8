"""Pack the ensemble for a code-execution competition: model_configs.pkl, assets/, tts_data/ -> submission.zip."""

import argparse
from dataclasses import replace
from pathlib import Path

from models import ensemble, packing
from models.base.cli import add_config_argument, add_tts_argument, make_parser, positive, run
from models.speech.options import add_voice_arguments, trained_voice
from models.speech.speaking import complete_references


def parse_arguments() -> argparse.Namespace:
    parser = make_parser(
        "Write submission.zip: main.py, the code, the chosen checkpoints, the references spoken so far and the voice, so that "
        "`python main.py` beside data/ writes submission.csv with no network and nothing installed but the libraries of "
        "requirements-runtime.txt. tools/check_submission.py tries it out.",
        "python pack_submission.py --folds_per_model 3",
    )
    add_config_argument(parser)
    add_tts_argument(parser)
    parser.add_argument(
        "--output", type=Path, default=Path("submission.zip"), help="what to write (default: %(default)s)"
    )
    parser.add_argument(
        "--folds_per_model", type=positive, help="at most so many folds of each model, spread evenly (default: all)"
    )
    parser.add_argument(
        "--espeak_package",
        type=Path,
        metavar="FOLDER",
        help="the folder espeakng_loader of the package for 64-bit Linux on x86, unzipped (default: the installed one)",
    )
    parser.add_argument(
        "--onnxruntime_wheel",
        type=Path,
        metavar="FILE.whl",
        help="for a Piper voice: onnxruntime for Python 3.12 on 64-bit Linux on x86, as pip downloads it (default: the installed "
        "one, where it is for these)",
    )
    add_voice_arguments(parser, default_voice=None)
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    config, folder = ensemble.read_config(arguments.config), arguments.config.parent
    options = trained_voice(arguments, config.voice)
    packages = arguments.espeak_package, arguments.onnxruntime_wheel
    voice, identity = packing.voice_files(config.voice, options, *packages)
    chosen = packing.choose_folds(config, arguments.folds_per_model)
    reads_phones = packing.check_checkpoints(chosen, folder)
    if packing.can_speak(identity):  # what the models were trained with could come out otherwise there
        complete_references(arguments.tts_dir, list(config.references), config.voice, options, config.references)
    for entry in chosen.models:
        print(f"  {entry.name:<20} weight {entry.weight:.4f}   folds {', '.join(map(str, entry.folds))}")
    files = packing.submission_files(replace(chosen, voice=identity), folder, arguments.tts_dir, identity["engine"])
    files |= packing.espeak_files(arguments.espeak_package) if reads_phones else {}
    size = packing.write_zip(arguments.output, files | voice)
    print(f"wrote {arguments.output}: {len(files | voice)} files, {size / 1e6:.1f} MB")
    if not packing.can_speak(identity):
        print(
            "MeloTTS can't be carried: every expected text needs a reference in it; a test text without one stops the run"
        )


if __name__ == "__main__":
    run(main)
