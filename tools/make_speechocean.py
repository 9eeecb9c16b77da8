"""Put a downloaded speechocean762 (Zhang et al. 2021) into the competition's layout: who heard the right sentence?

The corpus as it is published (https://www.openslr.org/101, Kaldi's layout: WAVE/, train/, test/) becomes three folders:

- kids: 20 clips each of 80 children aged 6-12. A child's clip is asked for what was read (right) or for another sentence or
  a near miss of it (wrong). Training and test clips have speakers of their own, the ones with which the encoder that this
  project ships was made, so that it has never heard a test clip.
- words: single words cut out of the children's clips, for the other tasks, as `make_words.py` makes them.
- adults: the clips of everyone older, with what they read, for `pretrain_encoder.py --real_speech`.

What is asked for is drawn: the same seed gives the same tables.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
from tqdm import tqdm

from models.base.cli import run
from models.base.files import replace_when_done
from models.errors import InputError
from models.pretrain.synthesis import Synthesizer
from models.pretrain.texts import delete_word, insert_word, substitute_word, swap_words
from tools.expert_scores import read_word_scores
from tools.layout import write_table, write_tables
from tools.make_words import WORD_SCORES, make_words

TRAIN_SPEAKERS = frozenset(
    """0001 0006 0026 0044 0049 0070 0075 0092 0093 0094 0096 0104 0111 0112 0131 0149 1044 1046 1050 1061 1076 1092 1197
    1203 1404 1419 1435 1439 1447 1465 1501 1503 2007 2027 2030 2034 3007 3012 3014 3020 3049 3083 3208 3631 5015 5039
    5072 5195 5218 5220 5401 5408 5418 5424 5428 6010 6099 6121 6504 6902""".split()
)
TEST_SPEAKERS = frozenset(
    """0003 0053 0054 0056 0103 0122 0145 1042 1075 1418 1469 1502 3021 3046 3088 3214 3837 5547 5551 6048""".split()
)
RIGHT_SHARE = 0.45
OTHER_SENTENCE_SHARE = 0.23  # the rest are near misses, each kind equally likely
NEAR_MISSES = {"delete": delete_word, "insert": insert_word, "substitute": substitute_word, "swap": swap_words}
OLDEST_CHILD_YEARS = 12
GRADE_OF_AGE = {6: "KG", 7: "1", 8: "2"}  # older children: "3"
_DRAWS = 20  # of a near miss that sounds different, before another sentence is taken


@dataclass(frozen=True)
class Reading:
    """A clip, and what was read in it."""

    clip: str
    audio: Path
    speaker: str
    age_years: int
    text: str


def read_corpus(folder: Path) -> list[Reading]:
    """All clips of both of the corpus's own parts, by name."""
    readings = []
    for part in ("train", "test"):
        audio, text, speaker, age = (
            _kaldi_table(folder / part / name) for name in ("wav.scp", "text", "utt2spk", "spk2age")
        )
        for clip, words in text.items():
            if clip not in audio or speaker.get(clip) not in age:
                raise InputError(f"{folder / part}: clip {clip} of 'text' lacks a row in wav.scp, utt2spk or spk2age")
            years = int(float(age[speaker[clip]]))
            readings.append(Reading(clip, folder / audio[clip], speaker[clip], years, words.lower()))
    return sorted(readings, key=lambda reading: reading.clip)


def _kaldi_table(path: Path) -> dict[str, str]:
    """Lines of a key, blanks or a tab, and a value."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; give the folder of speechocean762 that holds WAVE, train and test")
    lines = (line.split(maxsplit=1) for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    return {key: " ".join(value).strip() for key, *value in lines}


def children_of(readings: Sequence[Reading], speakers: frozenset[str]) -> list[Reading]:
    found = [reading for reading in readings if reading.speaker in speakers]
    missing = speakers - {reading.speaker for reading in found}
    if missing:
        raise InputError(f"the corpus lacks {len(missing)} speakers, such as {min(missing)}: is the download whole?")
    return found


def draw_questions(readings: Sequence[Reading], voice: Synthesizer, rng: np.random.Generator) -> pd.DataFrame:
    """What each clip is asked for, in random order. A wrong text never sounds like the one that was read."""
    vocabulary = sorted({word for reading in readings for word in reading.text.split()})
    sounds = {text: voice.phones_of(text) for text in sorted({reading.text for reading in readings})}
    rows = []
    for reading in readings:
        kind, expected = _draw_question(reading.text, sounds, vocabulary, voice, rng)
        grade = GRADE_OF_AGE.get(reading.age_years, "3")
        score = float(kind == "match")
        rows.append((f"{reading.clip}.flac", "sentence_repetition", expected, grade, score, reading.text, kind))
    columns = ["filename", "task", "expected_text", "grade", "score", "spoken_text", "kind"]
    table = pd.DataFrame(rows, columns=columns)
    table["speaker"] = [reading.speaker for reading in readings]
    table["age"] = [reading.age_years for reading in readings]
    return table.iloc[rng.permutation(len(table))]


def _draw_question(
    text: str,
    sounds: dict[str, tuple[int, ...]],
    vocabulary: Sequence[str],
    voice: Synthesizer,
    rng: np.random.Generator,
) -> tuple[str, str]:
    """A kind and an expected text. sounds : the phones of every text that was read."""
    near_share = 1 - RIGHT_SHARE - OTHER_SENTENCE_SHARE
    kind = str(rng.choice(["match", "other sentence", "near miss"], p=[RIGHT_SHARE, OTHER_SENTENCE_SHARE, near_share]))
    if kind == "match":
        return kind, text
    if kind == "near miss" and len(text.split()) > 1:
        kind = str(rng.choice(list(NEAR_MISSES)))
        for _ in range(_DRAWS):
            miss = " ".join(NEAR_MISSES[kind](text.split(), rng, vocabulary))
            if voice.phones_of(miss) != sounds[text]:
                return kind, miss
    return "other sentence", str(rng.choice([other for other in sounds if sounds[other] != sounds[text]]))


def write_audio(readings: Sequence[Reading], folder: Path) -> None:
    """Each clip as FLAC, which loses nothing; those that are there already are left."""
    folder.mkdir(parents=True, exist_ok=True)
    for reading in tqdm(readings, desc=str(folder), unit=" clips", disable=None):
        path = folder / f"{reading.clip}.flac"
        if path.is_file():
            continue
        try:
            samples, rate_hz = soundfile.read(reading.audio, dtype="int16")
        except soundfile.LibsndfileError as error:
            raise InputError(f"{reading.audio}: {error}") from error
        with replace_when_done(path) as temporary:
            soundfile.write(temporary, samples, rate_hz, format="FLAC")


def make_kids(readings: Sequence[Reading], folder: Path, seed: int) -> None:
    voice, rng = Synthesizer(), np.random.default_rng(seed)
    for part, speakers in {"train": TRAIN_SPEAKERS, "test": TEST_SPEAKERS}.items():
        children = children_of(readings, speakers)
        table = draw_questions(children, voice, rng)
        write_audio(children, folder)
        write_tables(table, ["speaker", "age", "spoken_text", "kind"], folder, part)
        print(f"{folder}: {len(table)} {part} clips of {len(speakers)} children, {table['score'].mean():.1%} right")
    voice.close()


def write_word_scores(corpus: Path, readings: Sequence[Reading], folder: Path) -> None:
    """What experts thought of each child's words, if the corpus holds it."""
    file = corpus / "resource" / "scores.json"
    if not file.is_file():
        print(f"{file}: no such file, so {folder / WORD_SCORES} is not made")
        return
    parts = {"train": TRAIN_SPEAKERS, "test": TEST_SPEAKERS}
    clips = [
        (reading.clip, reading.speaker, part, reading.text)
        for part, speakers in parts.items()
        for reading in children_of(readings, speakers)
    ]
    write_table(read_word_scores(file, clips), folder / WORD_SCORES)


def make_adults(readings: Sequence[Reading], folder: Path) -> None:
    older = [reading for reading in readings if reading.age_years > OLDEST_CHILD_YEARS]
    write_audio(older, folder)
    rows = [(f"{reading.clip}.flac", reading.speaker, reading.age_years, reading.text) for reading in older]
    table = pd.DataFrame(rows, columns=["filename", "speaker", "age", "spoken_text"])
    write_table(table, folder / "transcripts.csv")
    print(f"{folder}: {len(table)} clips of {table['speaker'].nunique()} older speakers")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: python tools/make_speechocean.py speechocean762 speech   # -> speech/kids, words, adults",
    )
    parser.add_argument("corpus", type=Path, help="folder with WAVE, train and test")
    parser.add_argument("output", type=Path, help="folder for kids/, words/ and adults/")
    parser.add_argument("--seed", type=int, default=0, help="of what is asked for (default: %(default)s)")
    options = parser.parse_args(arguments)
    readings = read_corpus(options.corpus)
    kids = options.output / "kids"
    make_kids(readings, kids, options.seed)
    write_word_scores(options.corpus, readings, kids)
    make_adults(readings, options.output / "adults")
    make_words(kids, options.output / "words", options.seed)


if __name__ == "__main__":
    run(main)
