"""Speak every expected text once: texts -> tts_data/."""

import argparse
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from models import clips, speech
from models.base.cli import add_data_arguments, default_workers, make_parser, positive, run
from models.speech.options import VoiceOptions, add_voice_arguments

if TYPE_CHECKING:
    import pandas as pd

    from models.speech.pronunciation_table import Given


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
    group = parser.add_argument_group("pronunciations")
    group.add_argument(
        "--list_pronunciations",
        type=Path,
        metavar="FILE.csv",
        help="write what each text sounds like (task, text, pronunciation in ARPAbet, source), and make nothing else",
    )
    group.add_argument(
        "--pronunciations",
        type=Path,
        metavar="FILE.csv",
        help="such a table with corrections; it stays with the references for training and scoring, and only the texts that it "
        "corrects are spoken again",
    )
    return parser.parse_args()


def read_tables(data_dir: Path, given: "Given") -> "pd.DataFrame":
    """The metadata of the training clips, and of the test clips where there are such."""
    files = [data_dir / "train_metadata.csv"]
    if (data_dir / "test_metadata.csv").exists():
        files.append(data_dir / "test_metadata.csv")
    return clips.read_all_metadata(files, given)


def list_pronunciations(file: Path, table: "pd.DataFrame", given: "Given") -> None:
    keys = dict.fromkeys(zip(table["task"], table["expected_text"], strict=True))
    rows = {
        key: speech.Pronunciation(given[key], "given") if key in given else speech.pronounce_text(*key) for key in keys
    }
    speech.write_pronunciations(file, rows)
    counts = Counter(found.source for found in rows.values())
    known = ", ".join(f"{count} by {source}" for source, count in counts.most_common())
    print(f"wrote {file}: {len(rows)} texts, {known}")


def find_given(arguments: argparse.Namespace) -> "Given":
    """Pronunciations of the table that is given now, or else of the one that was given for the references that are there."""
    if arguments.pronunciations is None:
        return speech.given_beside(arguments.tts_dir)
    return speech.read_given(arguments.pronunciations)


def name_unused(table: "pd.DataFrame", given: "Given") -> None:
    keys = set(zip(table["task"], table["expected_text"], strict=True))
    if unused := [key for key in given if key not in keys]:
        task, text = unused[0]
        print(
            f"note: {len(unused)} of the pronunciations are of texts that no clip has, the first {text!r} in {task!r}"
        )


def main() -> None:
    arguments = parse_arguments()
    given = find_given(arguments)
    table = read_tables(arguments.data_dir, given)
    name_unused(table, given)
    if arguments.list_pronunciations is not None:
        list_pronunciations(arguments.list_pronunciations, table, given)
        return
    said = list(dict.fromkeys(clips.utterances(table)))
    options = VoiceOptions(arguments.voice, arguments.speed, arguments.speaker_embedding, arguments.vocoder)
    made = speech.speak_references(arguments.tts_dir, said, options, arguments.jobs)
    if given:
        speech.leave_beside(arguments.tts_dir, given)
    print(f"{arguments.tts_dir}: {len(said)} references, {made} of them made now")


if __name__ == "__main__":
    run(main)
