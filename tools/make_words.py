"""Cut single words out of children's sentences: real answers for blending, deletion and nonword repetition.

KIDS is a folder such as `make_speechocean.py` makes, with sentences that children read. Where the sentence's forced alignment shows
quiet on both sides of a word, or of two, it is cut out. Each recording is asked for what was said in it and for something else:
another word, one that differs by a phone, or a respelled nonword. OUT gets the competition's layout with the same speakers in
train and test.

Words that experts heard as wrong, in KIDS/word_scores.csv, are left out; so are cuts that the encoder does not hear as their words.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import torch
from tqdm import tqdm

from models.base.cli import run
from models.base.files import replace_when_done
from models.clips.tables import read_metadata
from models.errors import InputError
from models.network.aligned import AlignedNetwork
from models.speech.audio import SAMPLE_RATE_HZ, Waveform, read_audio
from tools.word_cuts import MAX_SECONDS, cut_out, find_cuts, hear_sentence, is_clear, load_reader
from tools.word_questions import RIGHT, Question, as_said, ask_for_nonwords, ask_for_words

ENCODER = "assets/encoders/phonetic-tiny"
PARTS = ("train", "test")
MOST_WORDS = 2
WORST_ACCURACY = 3  # of ten, by the experts: more than 30 % of the phones are wrong, or it is another word
METADATA = ["filename", "task", "expected_text", "grade"]
SOURCE = ["filename", "speaker", "age", "spoken_text", "kind", "original", "start_seconds", "end_seconds"]


@dataclass(frozen=True)
class WordClip:
    """A recording of a word or two, and where it is from."""

    name: str
    text: str
    grade: str
    speaker: str
    age: str
    original: str
    start_seconds: float
    end_seconds: float
    waveform: Waveform


def read_sentences(folder: Path, part: str) -> pd.DataFrame:
    source = folder / f"{part}_source.csv"
    if not source.is_file():
        raise InputError(f"{source}: no such file; give the folder kids of tools/make_speechocean.py")
    table = pd.read_csv(source, dtype=str, keep_default_na=False)
    return read_metadata(folder / f"{part}_metadata.csv")[["filename", "grade"]].merge(
        table, on="filename", validate="one_to_one"
    )


def badly_said(folder: Path) -> set[tuple[str, int]]:
    """Clip and place of each word that experts heard as wrong."""
    file = folder / "word_scores.csv"
    if not file.is_file():
        print(f"{file}: no such file; words that were said badly are not left out")
        return set()
    scores = pd.read_csv(file, dtype={"filename": str})
    bad = scores[scores["accuracy"] <= WORST_ACCURACY]
    return set(zip(bad["filename"], bad["index"], strict=True))


def cut_words(
    network: AlignedNetwork, sentences: pd.DataFrame, folder: Path, bad: set[tuple[str, int]], seed: int
) -> list[WordClip]:
    """Of each sentence the words that stand alone; margins depend on the seed and the clip's own place in the table."""
    found = []
    for row, clip in enumerate(tqdm(sentences.itertuples(), "cutting", len(sentences), unit=" clips", disable=None)):
        sentence = hear_sentence(network, read_audio(folder / clip.filename, MAX_SECONDS), clip.spoken_text)
        rng = np.random.default_rng((seed, row))
        for cut in find_cuts(sentence, MOST_WORDS) if sentence else ():
            places = range(cut.first, cut.first + cut.count)
            waveform = cut_out(sentence, cut, rng)
            phones = tuple(phone for place in places for phone in sentence.phones[place])
            if any((clip.filename, place) in bad for place in places) or not is_clear(network, waveform, phones, cut):
                continue
            found.append(
                WordClip(
                    name=f"{Path(clip.filename).stem}_{cut.first}_{cut.count}",
                    text=" ".join(sentence.words[cut.first : cut.first + cut.count]),
                    grade=clip.grade,
                    speaker=clip.speaker,
                    age=clip.age,
                    original=clip.filename,
                    start_seconds=cut.start_seconds,
                    end_seconds=cut.end_seconds,
                    waveform=waveform,
                )
            )
    return found


def draw_questions(clips: Sequence[WordClip], rng: np.random.Generator) -> list[Question]:
    said = [one for clip in clips if (one := as_said(clip.name, clip.text)) is not None]
    return [*ask_for_words(said, rng), *ask_for_nonwords(said, rng)]


def make_table(clips: Sequence[WordClip], questions: Sequence[Question], rng: np.random.Generator) -> pd.DataFrame:
    """A row for each question, in random order. A recording has another name for each of its questions."""
    by_name, asked = {clip.name: clip for clip in clips}, dict[str, int]()
    rows = []
    for index in rng.permutation(len(questions)):
        question = questions[int(index)]
        clip, number = by_name[question.name], asked.get(question.name, 0)
        asked[question.name] = number + 1
        rows.append(
            {
                **{name: getattr(clip, name) for name in ("grade", "speaker", "age", "original")},
                "filename": f"{clip.name}_{number}.flac",
                "task": question.task,
                "expected_text": question.expected_text,
                "score": float(question.kind == RIGHT),
                "spoken_text": clip.text,
                "kind": question.kind,
                "start_seconds": f"{clip.start_seconds:.2f}",
                "end_seconds": f"{clip.end_seconds:.2f}",
                "clip": clip.name,
            }
        )
    return pd.DataFrame(rows)


def write_part(table: pd.DataFrame, clips: Sequence[WordClip], folder: Path, part: str) -> None:
    waveforms = {clip.name: clip.waveform for clip in clips}
    for row in tqdm(table.itertuples(), f"{part} clips", len(table), unit=" clips", disable=None):
        with replace_when_done(folder / row.filename) as temporary:
            soundfile.write(temporary, waveforms[row.clip], SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")
    files = {"metadata": METADATA, "labels": ["filename", "score"], "source": SOURCE}
    for name, columns in files.items():
        write_table(table[columns], folder / f"{part}_{name}.csv")
    if part == "test":
        write_table(table.assign(score=0.5)[["filename", "score"]], folder / "submission_format.csv")


def write_table(table: pd.DataFrame, path: Path) -> None:
    with replace_when_done(path) as temporary:
        table.to_csv(temporary, index=False)


def make_words(kids: Path, folder: Path, seed: int, encoder: str = ENCODER) -> pd.DataFrame:
    """Both parts; how many rows there are of each part, task and kind comes back."""
    network, bad = load_reader(encoder), badly_said(kids)
    tables = []
    for number, part in enumerate(PARTS):
        clips = cut_words(network, read_sentences(kids, part), kids, bad, seed)
        rng = np.random.default_rng((seed, number))
        table = make_table(clips, draw_questions(clips, rng), rng)
        write_part(table, clips, folder, part)
        tables.append(table.assign(part=part))
        print(f"{folder}: {len(table)} {part} clips of {table['speaker'].nunique()} children, from {len(clips)} cuts")
    counts = pd.concat(tables).groupby(["part", "task", "kind"], sort=False).size().rename("clips").reset_index()
    print(counts.to_string(index=False))
    return counts


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: python tools/make_words.py speech/kids speech/words",
    )
    parser.add_argument("kids", type=Path, help="folder with *_metadata.csv, *_source.csv and the recordings")
    parser.add_argument("output", type=Path, help="folder for the words")
    parser.add_argument("--encoder", default=ENCODER, help="that finds them (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of what is asked for (default: %(default)s)")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    make_words(options.kids, options.output, options.seed, options.encoder)


if __name__ == "__main__":
    run(main)
