"""Make a small corpus in the competition's layout: espeak-ng voices that answer right or wrong, with noise.

Voices of the test clips never speak in the training clips, nor in the pre-training of the encoder that the project ships.
`train_source.csv` tells who speaks, so that folds can keep voices apart too (`--group_by voice --groups train_source.csv`).
The same seed gives the same corpus.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from models.base.cli import run
from models.clips.groups import GRADES
from models.errors import InputError
from models.pretrain.synthesis import ACCENTS, HELD_OUT_VARIANTS, TRAIN_VARIANTS, UNSTEADY_VARIANTS
from models.speech.espeak import SAMPLE_RATE_HZ, Espeak
from models.speech.pronunciation import utterance_of
from models.speech.utterance import for_espeak

# Expected text -> answers that are wrong, most of them nearly right.
ANSWERS: dict[str, dict[str, tuple[str, ...]]] = {
    "deletion": {
        "old": ("cold", "hold", "ode"),
        "eat": ("seat", "it", "meat"),
        "lap": ("clap", "lamp", "lip"),
        "corn": ("popcorn", "cone", "horn"),
        "ask": ("mask", "ax", "as"),
        "rain": ("train", "ray", "run"),
        "tar": ("star", "tall", "car"),
        "side": ("sideways", "sigh", "wide"),
    },
    "blending": {
        "cat": ("cap", "at", "cut"),
        "sunshine": ("sun", "shine", "sunset"),
        "fox": ("fog", "box", "socks"),
        "paper": ("pepper", "pay", "papers"),
        "desk": ("deck", "dusk", "disk"),
        "rocket": ("rock", "racket", "pocket"),
        "smile": ("mile", "small", "smell"),
        "window": ("win", "winter", "widow"),
    },
    "nonword_repetition": {
        "teevog": ("teebog", "teevo", "vogtee"),
        "huhmeyf": ("hammeyf", "muhmeyf", "huhmey"),
        "kerbohfim": ("kerbohfin", "kerfim", "berkohfim"),
        "doiptah": ("doitah", "doiptee", "toipdah"),
        "nuhgeefow": ("nuhgeefoi", "geefow", "nuhbeefow"),
        "vahzerm": ("vahserm", "zahverm", "vahzoom"),
        "chohleeb": ("chohleed", "sohleeb", "leebchoh"),
        "mibunkey": ("mibinkey", "minkey", "mibunkoi"),
    },
    "sentence_repetition": {
        "the small dog ran home": ("the dog ran home", "the small dog ran away", "the small cat ran home"),
        "we like to play outside": ("we like to play inside", "i like to play", "we play outside"),
        "she has a red hat": ("she has a red cat", "he had a hat", "she has a hat"),
        "the birds sing in the tree": ("the birds sit in the tree", "birds sing in trees", "the tree sings"),
        "my brother can swim fast": ("my mother can swim fast", "my brother can swim", "my brother swam"),
        "put the book on the table": (
            "put the box on the table",
            "put the book under the table",
            "the book is on the table",
        ),
        "it is cold in the winter": ("it is cold in winter", "it is warm in the summer", "it was cold in the winter"),
        "they walked to the park": ("they walked to the store", "they walk to the park", "the park is far"),
    },
}
NOISE_DB = (15.0, 35.0)  # signal-to-noise ratio
OTHER_TEXT_SHARE = 0.3  # of the wrong answers: a whole other text of the same task


@dataclass(frozen=True)
class Speaker:
    """A synthetic child: a voice with a pitch and a pace of its own, in one grade."""

    voice: str
    pitch: int
    rate_wpm: int
    grade: str


def draw_speakers(n_speakers: int, variants: Sequence[str], rng: np.random.Generator) -> list[Speaker]:
    """Speakers with voices of their own, each an accent in one of the variants."""
    steady = [variant for variant in variants if variant not in UNSTEADY_VARIANTS]
    voices = [f"{accent}+{variant}" for accent in ACCENTS for variant in steady]
    if n_speakers > len(voices):
        raise InputError(f"{n_speakers} speakers: there are {len(voices)} voices; ask for fewer")
    return [
        Speaker(str(voice), int(rng.integers(45, 95)), int(rng.integers(120, 190)), str(rng.choice(GRADES)))
        for voice in rng.permutation(voices)[:n_speakers]
    ]


def draw_answer(task: str, rng: np.random.Generator) -> tuple[str, str, float]:
    """An expected text of a task, what is said, and whether that is right: both equally likely."""
    texts = list(ANSWERS[task])
    expected = str(rng.choice(texts))
    if rng.random() < 0.5:
        return expected, expected, 1.0
    if rng.random() < OTHER_TEXT_SHARE:
        return expected, str(rng.choice([text for text in texts if text != expected])), 0.0
    return expected, str(rng.choice(ANSWERS[task][expected])), 0.0


def record(espeak: Espeak, utterance: str, speaker: Speaker, rng: np.random.Generator) -> np.ndarray:
    """A clip: silence, speech, silence, under noise. float32 [shape=(n,)] at espeak-ng's rate."""
    told = for_espeak(utterance)
    spoken = espeak.speak(told, speaker.voice, speaker.rate_wpm, speaker.pitch, told_phones=told != utterance)
    samples = spoken.samples / np.float32(32768)
    before, after = (np.zeros(int(rng.uniform(0.1, 0.5) * SAMPLE_RATE_HZ), np.float32) for _ in range(2))
    speech = np.concatenate([before, samples, after]) * np.float32(rng.uniform(0.4, 1.0))
    noise = rng.standard_normal(len(speech), dtype=np.float32)
    level = np.sqrt(np.mean(speech**2)) * 10 ** (-rng.uniform(*NOISE_DB) / 20)
    return np.clip(speech + noise * level, -1.0, 1.0)


def make_part(
    folder: Path, part: str, speakers: list[Speaker], clips_per_speaker: int, espeak: Espeak, rng: np.random.Generator
) -> pd.DataFrame:
    """Record the clips of `train` or `test`: one row each, in random order."""
    rows = []
    for speaker in speakers:
        for index in range(clips_per_speaker):
            task = list(ANSWERS)[index % len(ANSWERS)]
            expected, spoken, score = draw_answer(task, rng)
            filename = f"{part}{len(rows):04d}.wav"
            clip = record(espeak, utterance_of(task, spoken), speaker, rng)
            soundfile.write(folder / filename, clip, SAMPLE_RATE_HZ, subtype="PCM_16")
            rows.append((filename, task, expected, speaker.grade, score, speaker.voice, spoken))
    columns = ["filename", "task", "expected_text", "grade", "score", "voice", "spoken_text"]
    return pd.DataFrame(rows, columns=columns).sample(frac=1, random_state=int(rng.integers(1 << 31)))


def make_corpus(folder: Path, train_speakers: int, test_speakers: int, clips_per_speaker: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    speakers = {
        "train": draw_speakers(train_speakers, TRAIN_VARIANTS, rng),
        "test": draw_speakers(test_speakers, HELD_OUT_VARIANTS, rng),
    }
    folder.mkdir(parents=True, exist_ok=True)
    with Espeak() as espeak:
        parts = {part: make_part(folder, part, who, clips_per_speaker, espeak, rng) for part, who in speakers.items()}
    for part, table in parts.items():
        table[["filename", "task", "expected_text", "grade"]].to_csv(folder / f"{part}_metadata.csv", index=False)
        table[["filename", "score"]].to_csv(folder / f"{part}_labels.csv", index=False)
        table[["filename", "voice", "spoken_text"]].to_csv(folder / f"{part}_source.csv", index=False)
    order = parts["test"][["filename"]].sort_values("filename")
    order.assign(score=0.5).to_csv(folder / "submission_format.csv", index=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, epilog="example: python tools/make_demo_corpus.py demo/data")
    parser.add_argument("folder", type=Path, help="where to write it")
    parser.add_argument(
        "--train_speakers", type=int, default=44, help="voices of the training clips (default: %(default)s)"
    )
    parser.add_argument("--test_speakers", type=int, default=16, help="voices of the test clips (default: %(default)s)")
    parser.add_argument("--clips_per_speaker", type=int, default=16, help="clips of each voice (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    arguments = parser.parse_args()
    sizes = (arguments.train_speakers, arguments.test_speakers, arguments.clips_per_speaker)
    make_corpus(arguments.folder, *sizes, arguments.seed)
    print(f"wrote {arguments.folder}: {sizes[0] * sizes[2]} training and {sizes[1] * sizes[2]} test clips")


if __name__ == "__main__":
    run(main)
