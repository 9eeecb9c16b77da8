"""Where an answer departs from the expected text: one clip, or a CSV of clips -> JSON files and pictures."""

import argparse
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from models import base, inference, speech
from models import localize as room
from models.base.cli import add_ensemble_arguments, add_self_corrections_argument, make_parser, run
from models.clips.groups import GRADES, TASKS
from models.clips.hearing import told_cut
from models.errors import InputError
from models.speech.checksums import refuse_older_speech
from models.speech.options import add_voice_arguments, trained_voice

if TYPE_CHECKING:
    from models.ensemble.checkpoint import Checkpoint
    from models.ensemble.source import EnsembleSource
    from models.localize.asked import AskedClip
    from models.speech.audio import Waveform


def parse_arguments() -> argparse.Namespace:
    parser = make_parser(
        "Score each word of the expected text (of a single word, each phone), say when it was spoken, and what is "
        "missing, different or inserted. Writes <clip>.json, and <clip>.png with --picture. Clips of a CSV that can't be read "
        f"are left out and listed in {room.PROBLEMS_FILE}; so are those that are longer than the model hears. Of an ensemble the "
        "suitable model of most weight is asked; where nothing is said and no model_configs.pkl is there, the one that "
        "comes with the project.",
        'python localize.py --audio answer.wav --text "we like to play" --picture',
    )
    add_ensemble_arguments(parser, published=True)
    parser.set_defaults(config=None)
    parser.add_argument("--audio", type=Path, help="one clip: its recording")
    parser.add_argument("--text", help="… and what should have been said")
    parser.add_argument(
        "--task", choices=TASKS, default="sentence_repetition", help="… its task (default: %(default)s)"
    )
    parser.add_argument("--grade", choices=GRADES, default="1", help="… and the child's grade (default: %(default)s)")
    parser.add_argument("--csv", type=Path, help="or many clips: a CSV with filename, task, expected_text, grade")
    parser.add_argument("--data_dir", type=Path, help="where the CSV's recordings lie (default: the CSV's own folder)")
    parser.add_argument(
        "--tts_dir", type=Path, default=Path("tts_data"), help="folder with the references (default: %(default)s)"
    )
    parser.add_argument("--output_dir", type=Path, default=Path("localized"), help="(default: %(default)s)")
    parser.add_argument(
        "--method",
        choices=room.METHODS,
        default="auto",
        help="tokens: the words that a verifier judges; alignment: the frames of an aligned model; auto: what suits the model "
        "(default: %(default)s)",
    )
    add_self_corrections_argument(parser)
    parser.add_argument("--picture", action="store_true", help="draw each clip as a PNG too")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    add_voice_arguments(parser, default_voice=None)
    arguments = parser.parse_args()
    if (arguments.csv is None) == (arguments.audio is None) or (arguments.audio is None) != (arguments.text is None):
        parser.error("give --audio and --text, or --csv")
    return arguments


def read_clips(arguments: argparse.Namespace, source: "EnsembleSource") -> "list[AskedClip]":
    """What is asked for."""
    given = inference.given_pronunciations(source, arguments.tts_dir)
    if arguments.csv is not None:
        return room.read_table(arguments.csv, arguments.data_dir, given)
    return [room.one_clip(arguments.audio, arguments.text, arguments.task, arguments.grade, given)]


def make_speak(arguments: argparse.Namespace, checkpoint: "Checkpoint", said: list[str]) -> "Callable[[str], Waveform]":
    """What gives the reference of each utterance, in the voice that the model was trained with."""
    if not said:
        return {}.__getitem__  # no folder of references is needed
    options = trained_voice(arguments, checkpoint.voice)
    references, unspoken = speech.complete_references(
        arguments.tts_dir, said, checkpoint.voice, options, checkpoint.references
    )

    def speak(utterance: str) -> "Waveform":
        if utterance in unspoken:
            raise InputError(unspoken[utterance])
        return references.load([utterance])[utterance]

    return speak


def localize_clips(
    arguments: argparse.Namespace, checkpoint: "Checkpoint", clips: "list[AskedClip]"
) -> Iterator[tuple[str, str, bool]]:
    """Writes each clip's files; yields what is to be told of clips: the name, in words, and whether it could not be done."""
    model = room.load_model(checkpoint, base.resolve_device(arguments.device))
    method = room.choose_method(model.recipe, arguments.method, model.name)
    if method != "tokens":
        said = [speech.utterance_of(clip.task, clip.text, speech.first_choice(clip.pronunciation)) for clip in clips]
        refuse_older_speech(zip((clip.text for clip in clips), said, strict=True), checkpoint.references)
    needed = ((clip.text, clip.task, method, clip.pronunciation) for clip in clips)
    speak = make_speak(arguments, checkpoint, [said for each in needed for said in room.needed_utterances(*each)])
    for clip in tqdm(clips, "localizing", unit=" clips", disable=None):
        try:
            response = speech.read_answer(clip.path)
            asked, rest = (model, clip.text, clip.task, clip.grade), (speak, method, clip.pronunciation)
            if arguments.accept_self_corrections:
                found = room.localize_counted(*asked, response, *rest)
            else:
                heard_samples = round(model.recipe.max_seconds * speech.SAMPLE_RATE_HZ)
                found = room.localize(*asked, response[:heard_samples], *rest)
            reference = room.reference_seconds(clip.text, clip.task, method, speak, clip.pronunciation)
        except InputError as error:
            yield clip.name, str(error), True
            continue
        failed = room.write_result(arguments.output_dir, clip.name, found, arguments.picture)
        cut = told_cut([model.recipe], len(response) / speech.SAMPLE_RATE_HZ, reference)
        if failed or cut:
            yield clip.name, "; ".join(filter(None, (cut, failed))), False
        if arguments.csv is None:
            if found.counted_from_seconds:
                print(f"self-corrected: from {found.counted_from_seconds:.2f} s on")
            print("\n".join(map(room.in_words, found.units)))


def main() -> None:
    arguments = parse_arguments()
    if arguments.picture and find_spec("matplotlib") is None:
        raise InputError("--picture needs a package: pip install matplotlib")
    source = inference.choose_source(arguments.config, arguments.checkpoints, arguments.model)
    clips = read_clips(arguments, source)
    print(f"asked: {', '.join(map(str, source.files))}")
    parts = room.choose_checkpoints(source, arguments.method, [clip.text for clip in clips])
    told = [one for part, at in parts for one in localize_clips(arguments, part, [clips[place] for place in at])]
    undone = [name for name, _, failed in told if failed]
    if undone and arguments.csv is None:
        raise InputError(told[0][1])
    print(f"wrote {arguments.output_dir}: {len(clips) - len(undone)} clips")
    if arguments.csv is None:
        if told:
            print(told[0][1])
        return
    listed = room.write_problems(arguments.output_dir, {name: words for name, words, _ in told})
    if told:
        partly = len(told) - len(undone)
        print(f"{len(undone)} clips could not be done, {partly} not to their end or not drawn, and why: {listed}")


if __name__ == "__main__":
    run(main)
