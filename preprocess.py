"""Speak every expected text once: texts -> tts_data/."""

import argparse
from pathlib import Path

from models.base.cli import add_data_arguments, default_workers, make_parser, positive, run
from models.clips.tables import read_metadata
from models.speech.options import VoiceOptions, add_voice_arguments
from models.speech.speaking import speak_references


def parse_arguments() -> argparse.Namespace:
    parser = make_parser(
        "Speak every distinct expected text of the training metadata, and of the test metadata where there is one, with one "
        "voice. Only what is missing is made.",
        "python preprocess.py --data_dir data --tts_dir tts_data",
    )
    add_data_arguments(parser)
    add_voice_arguments(parser, default_voice="espeak")
    parser.add_argument(
        "--speed", type=float, default=0.7, help="pace: 1 is the voice's own, less is slower (default: %(default)s)"
    )
    parser.add_argument(
        "--jobs", type=positive, default=default_workers(), help="processes that speak (default: %(default)s)"
    )
    return parser.parse_args()


def read_texts(data_dir: Path) -> list[str]:
    """The distinct expected texts: those of the training clips first."""
    files = [data_dir / "train_metadata.csv"]
    if (data_dir / "test_metadata.csv").exists():
        files.append(data_dir / "test_metadata.csv")
    return list(dict.fromkeys(text for file in files for text in read_metadata(file)["expected_text"]))


def main() -> None:
    arguments = parse_arguments()
    texts = read_texts(arguments.data_dir)
    options = VoiceOptions(arguments.voice, arguments.speed, arguments.speaker_embedding, arguments.vocoder)
    made = speak_references(arguments.tts_dir, texts, options, arguments.jobs)
    print(f"{arguments.tts_dir}: {len(texts)} references, {made} of them made now")


if __name__ == "__main__":
    run(main)
