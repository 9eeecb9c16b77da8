"""Cut single words out of children's sentences: real answers for blending, deletion and nonword repetition.

KIDS is a folder such as `make_speechocean.py` makes, with sentences that children read. A word, or two in one breath, with at
least 60 ms of quiet on both sides is cut out. Each recording is asked for what was said in it and for something else: another
word, one that differs by a phone, or a respelled nonword. OUT gets the competition's layout, with the same speakers in train and
test.

Words that experts heard as wrong, in KIDS/word_scores.csv, are left out; so are recordings in which the encoder does not hear
their words.
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile
from tqdm import tqdm

from models.base.cli import run
from models.base.files import replace_when_done
from models.clips.tables import read_groups, read_metadata
from models.errors import InputError
from models.network.aligned import AlignedNetwork
from models.speech.audio import SAMPLE_RATE_HZ, Waveform, read_audio
from tools.layout import write_tables
from tools.phone_reader import load_reader
from tools.word_cuts import Cut, cut_out, find_cuts, hear_sentence, is_clear
from tools.word_questions import RIGHT, Question, as_said, ask_for_nonwords, ask_for_words

ENCODER = "assets/encoders/phonetic-tiny"
PARTS = ("train", "test")
WORD_SCORES = "word_scores.csv"
MOST_WORDS = 2
WORST_ACCURACY = 3  # of ten, by the experts: more than 30 % of the phones are wrong, or it is another word
SOURCE = ("speaker", "age", "spoken_text", "kind", "original", "start_seconds", "end_seconds")


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
    """filename and grade, speaker, age and spoken_text of the recordings of a part."""
    table = read_metadata(folder / f"{part}_metadata.csv")[["filename", "grade"]]
    source = folder / f"{part}_source.csv"
    columns = {name: read_groups(source, name, table["filename"]) for name in ("speaker", "age", "spoken_text")}
    return table.assign(**columns)


def badly_said(folder: Path) -> set[tuple[str, int]]:
    """Clip and place of each word that experts heard as wrong."""
    file = folder / WORD_SCORES
    if not file.is_file():
        print(f"{file}: no such file, so words that experts heard as wrong are not left out")
        return set()
    scores = pd.read_csv(file, dtype={"filename": str})
    bad = scores[scores["accuracy"] <= WORST_ACCURACY]
    return set(zip(bad["filename"], bad["index"], strict=True))


def cut_words(
    network: AlignedNetwork, sentences: pd.DataFrame, folder: Path, bad: set[tuple[str, int]], seed: int
) -> list[WordClip]:
    """All words, and two in one breath, that can be cut out and are what they are taken for.

    Draws depend on the seed and the row.
    """
    found, left_out = [], Counter[str]()
    for row, clip in enumerate(tqdm(sentences.itertuples(), "cutting", len(sentences), unit=" clips", disable=None)):
        sentence = hear_sentence(network, read_audio(folder / clip.filename), clip.spoken_text)
        rng = np.random.default_rng((seed, row))
        for cut in find_cuts(sentence, MOST_WORDS) if sentence else ():
            waveform = cut_out(sentence, cut, rng)
            if any((clip.filename, place) in bad for place in cut.places):
                left_out["said badly"] += 1
            elif not is_clear(network, waveform, sentence, cut):
                left_out["not heard clearly"] += 1
            else:
                found.append(_word_clip(clip, " ".join(sentence.words[place] for place in cut.places), cut, waveform))
    print(f"{len(found)} cuts; left out: {', '.join(f'{n} {why}' for why, n in sorted(left_out.items())) or 'none'}")
    return found


def _word_clip(clip: Any, text: str, cut: Cut, waveform: Waveform) -> WordClip:
    name = f"{Path(clip.filename).stem}_{cut.first}_{cut.count}"
    where = clip.filename, cut.start_seconds, cut.end_seconds
    return WordClip(name, text, clip.grade, clip.speaker, clip.age, *where, waveform)


def draw_questions(clips: Sequence[WordClip], rng: np.random.Generator) -> list[Question]:
    said = [one for clip in clips if (one := as_said(clip.name, clip.text, clip.speaker)) is not None]
    return [*ask_for_words(said, rng), *ask_for_nonwords(said, rng)]


def make_table(clips: Sequence[WordClip], questions: Sequence[Question], rng: np.random.Generator) -> pd.DataFrame:
    """A row for each question, in random order. A recording has another name for each of its questions."""
    by_name, asked = {clip.name: clip for clip in clips}, Counter[str]()
    rows = []
    for index in rng.permutation(len(questions)):
        question = questions[int(index)]
        clip = by_name[question.name]
        rows.append(
            {
                "filename": f"{clip.name}_{asked[clip.name]}.flac",
                "task": question.task,
                "expected_text": question.expected_text,
                "grade": clip.grade,
                "score": float(question.kind == RIGHT),
                "speaker": clip.speaker,
                "age": clip.age,
                "spoken_text": clip.text,
                "kind": question.kind,
                "original": clip.original,
                "start_seconds": f"{clip.start_seconds:.2f}",
                "end_seconds": f"{clip.end_seconds:.2f}",
                "clip": clip.name,
            }
        )
        asked[clip.name] += 1
    return pd.DataFrame(rows)


def write_part(table: pd.DataFrame, clips: Sequence[WordClip], folder: Path, part: str) -> None:
    """The recordings first: tables name none that is not there."""
    waveforms = {clip.name: clip.waveform for clip in clips}
    for filename, clip in tqdm(
        zip(table["filename"], table["clip"], strict=True), f"writing {part}", len(table), disable=None
    ):
        with replace_when_done(folder / filename) as temporary:
            soundfile.write(temporary, waveforms[clip], SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")
    write_tables(table, SOURCE, folder, part)


def make_words(kids: Path, folder: Path, seed: int, encoder: str = ENCODER) -> pd.DataFrame:
    """Both parts; what comes back is how many clips there are of each part, task and kind."""
    network, bad = load_reader(encoder), badly_said(kids)
    made = {part: _make_part(network, kids, part, bad, (seed, number)) for number, part in enumerate(PARTS)}
    for part, (table, clips) in made.items():
        write_part(table, clips, folder, part)
        children = table["speaker"].nunique()
        print(f"{folder}: {len(table)} {part} clips of {children} children, {table['score'].mean():.1%} right")
    both = pd.concat([table.assign(part=part) for part, (table, _) in made.items()])
    counts = both.pivot_table("filename", ["task", "kind"], "part", "count", 0)[list(PARTS)]
    print(counts.to_string())
    return counts


def _make_part(
    network: AlignedNetwork, kids: Path, part: str, bad: set[tuple[str, int]], seed: tuple[int, int]
) -> tuple[pd.DataFrame, list[WordClip]]:
    clips, rng = cut_words(network, read_sentences(kids, part), kids, bad, seed[0]), np.random.default_rng(seed)
    questions = draw_questions(clips, rng)
    if not questions:
        raise InputError(
            f"{kids}: too few words of the {part} part stand between pauses; are these sentences that were read aloud?"
        )
    return make_table(clips, questions, rng), clips


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
    make_words(options.kids, options.output, options.seed, options.encoder)


if __name__ == "__main__":
    run(main)
