"""Speak the rows of a metadata file: a corpus of true size in the competition's layout, by many synthetic voices.

    python tools/make_spoken_corpus.py train_metadata.csv train_labels.csv rehearsal/data

A row whose score is 1 is answered with its expected text; any other with a near miss of it or with another text of its task.
Each clip has silence around it and noise under it. The rows come in random order, so that the first n of them are a smaller
corpus. `train_source.csv` tells who speaks. The same seed gives the same corpus, however many processes speak.
"""

import argparse
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
from tqdm import tqdm

from models.base.cli import positive, run
from models.clips.tables import read_labels, read_metadata
from models.errors import InputError
from models.pretrain.synthesis import VARIANTS
from models.pretrain.texts import near_miss
from models.speech.espeak import SAMPLE_RATE_HZ, Espeak
from models.speech.pronunciation import utterance_of
from tools.make_demo_corpus import Speaker, draw_speakers, record

NEAR_MISS_SHARE = 0.7  # of the wrong answers
CLIPS_AT_ONCE = 64  # that a process speaks with one load of espeak-ng, whose state leaks from clip to clip


@dataclass(frozen=True)
class Answer:
    """What is said in a clip, by whom; `seed` draws its silence and noise."""

    path: Path
    task: str
    text: str
    speaker: Speaker
    seed: tuple[int, int]


def draw_answer(expected: str, score: float, others: list[str], rng: np.random.Generator) -> str:
    """others : the texts of the same task"""
    if score == 1.0:
        return expected
    if len(others) > 1 and rng.random() > NEAR_MISS_SHARE:
        return str(rng.choice([text for text in others if text != expected]))
    while (text := near_miss(expected, rng).strip()) in ("", expected):
        pass
    return text


def speak(answers: list[Answer]) -> int:
    """Write the clips; returns how many."""
    with Espeak(fresh=False) as espeak:
        for answer in answers:
            rng = np.random.default_rng(answer.seed)
            clip = record(espeak, utterance_of(answer.task, answer.text), answer.speaker, rng)
            soundfile.write(answer.path, clip, SAMPLE_RATE_HZ, subtype="PCM_16", format="WAV")
    return len(answers)


def make_corpus(table: pd.DataFrame, folder: Path, n_speakers: int, seed: int, jobs: int) -> None:
    """table : filename, task, expected_text, grade, score"""
    rng = np.random.default_rng(seed)
    speakers = draw_speakers(n_speakers, VARIANTS, rng)
    by_task = {task: sorted(set(rows["expected_text"])) for task, rows in table.groupby("task")}
    table = table.sample(frac=1, random_state=seed).reset_index(drop=True)
    table["voice"], table["spoken_text"] = "", ""
    answers = []
    for row, (name, task, expected, score) in enumerate(
        zip(table["filename"], table["task"], table["expected_text"], table["score"], strict=True)
    ):
        speaker = speakers[int(rng.integers(len(speakers)))]
        text = draw_answer(expected, score, by_task[task], rng)
        answers.append(Answer(folder / name, task, text, speaker, (seed, row)))
    table["voice"] = [f"{answer.speaker.voice} {answer.speaker.pitch}" for answer in answers]
    table["spoken_text"] = [answer.text for answer in answers]
    folder.mkdir(parents=True, exist_ok=True)
    pieces = [answers[start : start + CLIPS_AT_ONCE] for start in range(0, len(answers), CLIPS_AT_ONCE)]
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool, tqdm(total=len(answers), unit=" clips") as bar:
        for spoken in pool.map(speak, pieces):
            bar.update(spoken)
    write_tables(folder, table)


def write_tables(folder: Path, table: pd.DataFrame) -> None:
    """The corpus' tables; every clip is a training and a test clip."""
    for part in ("train", "test"):
        table[["filename", "task", "expected_text", "grade"]].to_csv(folder / f"{part}_metadata.csv", index=False)
    table[["filename", "score"]].to_csv(folder / "train_labels.csv", index=False)
    table[["filename", "voice", "spoken_text"]].to_csv(folder / "train_source.csv", index=False)
    table[["filename"]].sort_values("filename").assign(score=0.5).to_csv(folder / "submission_format.csv", index=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("metadata", type=Path, help="filename, task, expected_text, grade of each clip")
    parser.add_argument("labels", type=Path, help="filename, score")
    parser.add_argument("folder", type=Path, help="where to write the corpus")
    parser.add_argument("--rows", type=positive, help="so many only, drawn at random (default: all)")
    parser.add_argument("--speakers", type=positive, default=400, help="voices (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    parser.add_argument("--jobs", type=positive, default=2, help="processes that speak (default: %(default)s)")
    arguments = parser.parse_args()
    table = read_metadata(arguments.metadata).merge(read_labels(arguments.labels), on="filename", validate="1:1")
    outside = [name for name in table["filename"] if Path(name).name != name or not name.endswith(".wav")]
    if outside:
        raise InputError(
            f"{arguments.metadata}: {outside[0]!r} is not the plain name of a WAV file, which is what this writes"
        )
    if arguments.rows is not None:
        table = table.sample(min(arguments.rows, len(table)), random_state=arguments.seed)
    make_corpus(table, arguments.folder, arguments.speakers, arguments.seed, arguments.jobs)
    print(f"wrote {arguments.folder}: {len(table)} clips of {table['expected_text'].nunique()} texts")


if __name__ == "__main__":
    run(main)
