"""Does anything but the comparison tell right answers from wrong ones? Each figure should be near an AUC of 0.5.

Texts, durations and levels are given to classifiers of their own, fitted on the training clips. With --config or --model the
trained models are asked about the same expected texts with other recordings: faint noise as long as the response, and another
child's answer.
Both durations together may do better than chance: who leaves a word out is done sooner. That is no leak, but no more than that.
"""

import argparse
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from experiments.compare import Part, draws_of, read_scores, table_of
from models.base.cli import run
from models.clips.groups import TASKS
from models.clips.tables import clip_paths, read_groups, read_labels, read_test_table, read_training_table, utterances
from models.ensemble.bootstrap import weighted_auc
from models.errors import InputError
from models.speech.audio import SAMPLE_RATE_HZ, read_audio
from models.speech.lexicon import pronunciations
from models.speech.pronunciation import pronounce_text
from models.speech.references import References
from tools.chain import run_commands

NOISE_LEVEL = 1e-3  # of full scale: -60 dB
Values = NDArray[np.float64]


def durations(table: pd.DataFrame, data_dir: Path, tts_dir: Path) -> Values:
    """Seconds of response and reference [shape=(clips, 2)]."""
    references = References(tts_dir).load(utterances(table))
    responses = [soundfile.info(path).duration for path in clip_paths(data_dir, table["filename"])]
    return np.array(
        [
            (seconds, len(references[said]) / SAMPLE_RATE_HZ)
            for seconds, said in zip(responses, utterances(table), strict=True)
        ]
    )


def levels(table: pd.DataFrame, data_dir: Path) -> Values:
    """Decibels of each response's mean power and of its peak [shape=(clips, 2)]."""
    waveforms = [read_audio(path) for path in clip_paths(data_dir, table["filename"])]
    found = [(float(np.mean(waveform**2)), float(np.abs(waveform).max()) ** 2) for waveform in waveforms]
    return 10 * np.log10(np.array(found) + 1e-12)


def by_recording(train: pd.DataFrame, test: pd.DataFrame, data_dir: Path, tts_dir: Path) -> dict[str, Values]:
    known, asked = (durations(table, data_dir, tts_dir) for table in (train, test))
    columns = {"length of the response": [0], "of the reference": [1], "of both": [0, 1]}
    found = {name: _by_numbers(train, test, known[:, chosen], asked[:, chosen]) for name, chosen in columns.items()}
    return found | {"level of the response": _by_numbers(train, test, levels(train, data_dir), levels(test, data_dir))}


def by_text(train: pd.DataFrame, test: pd.DataFrame) -> dict[str, Values]:
    """By the words of the expected texts, by their letters, and by what a reader knows of them."""
    found = {}
    counted = {
        "the expected text": TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\S+"),
        "its letters": TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4)),
    }
    for name, vectorizer in counted.items():
        fitted = make_pipeline(vectorizer, LogisticRegression()).fit(train["expected_text"], train["score"] > 0.5)
        found[name] = fitted.predict_proba(test["expected_text"])[:, 1]
    found["its length, and whether it sounds like words"] = _by_numbers(train, test, looks(train), looks(test))
    return found


def looks(table: pd.DataFrame) -> Values:
    """Letters, words and phones of each expected text, and whether all that it sounds like are words [shape=(clips, 4)]."""
    rows = []
    for task, text in zip(table["task"], table["expected_text"], strict=True):
        pronunciation = pronounce_text(task, text)
        phones = pronunciation.choices[0]
        is_word = pronunciation.source == "lexicon" or phones in pronunciations()
        rows.append((len(text), len(text.split()), len(phones), is_word))
    return np.array(rows, np.float64)


def _by_numbers(train: pd.DataFrame, test: pd.DataFrame, known: Values, asked: Values) -> Values:
    """By a few numbers of each clip and its task."""
    tasks = [np.array([TASKS.index(task) for task in table["task"]])[:, None] for table in (train, test)]
    classifier = HistGradientBoostingClassifier(max_depth=3, max_iter=60, learning_rate=0.05, random_state=0)
    fitted = classifier.fit(np.hstack([known, tasks[0]]), train["score"] > 0.5)
    return np.asarray(fitted.predict_proba(np.hstack([asked, tasks[1]]))[:, 1], np.float64)


def other_clips(speakers: NDArray[np.str_], rng: np.random.Generator) -> list[int]:
    """For each clip the place of one of another speaker."""
    return [int(rng.choice(np.flatnonzero(speakers != speaker))) for speaker in speakers]


def make_variant(table: pd.DataFrame, data_dir: Path, folder: Path, record: Callable[[int], Values]) -> None:
    """The test part with other recordings: `record` gives the waveform for each row."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("test_metadata.csv", "submission_format.csv"):
        shutil.copy(data_dir / name, folder / name)
    for row, filename in enumerate(table["filename"]):
        path = folder / filename
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, record(row), SAMPLE_RATE_HZ)


def ask_models(test: pd.DataFrame, options: argparse.Namespace, speakers: NDArray[np.str_]) -> dict[str, Values]:
    """The models' scores for recordings that hold no answer to what was asked."""
    rng = np.random.default_rng(0)
    paths, others = clip_paths(options.data_dir, test["filename"]), other_clips(speakers, rng)

    def noise(row: int) -> Values:
        return rng.standard_normal(round(soundfile.info(paths[row]).duration * SAMPLE_RATE_HZ)) * NOISE_LEVEL

    def another(row: int) -> Values:
        samples, rate_hz = soundfile.read(paths[others[row]], dtype="float64")
        if rate_hz != SAMPLE_RATE_HZ:
            raise InputError(
                f"{paths[others[row]]}: has {rate_hz} Hz; these checks are for clips of {SAMPLE_RATE_HZ} Hz"
            )
        return np.asarray(samples)

    found = {}
    for name, record in {"models, noise for an answer": noise, "models, another child's answer": another}.items():
        folder = options.work / ("noise" if record is noise else "another")
        make_variant(test, options.data_dir, folder, record)
        scores = folder / "scores.csv"
        where = ["--data_dir", str(folder), "--tts_dir", str(options.tts_dir), "--output", str(scores)]
        run_commands([["infer.py", *where, *models_of(options)]])
        found[name] = read_scores(scores, test["filename"])
    return found


def models_of(options: argparse.Namespace) -> list[str]:
    """For infer.py; none where no model is asked."""
    given = {"--config": options.config, "--model": options.model}
    return [word for name, path in given.items() if path is not None for word in (name, str(path))]


def tasks_of(table: pd.DataFrame) -> list[Part]:
    """All clips, and those of each task where there are several."""
    tasks = table["task"].to_numpy(str)
    every, found = Part("all", np.ones(len(tasks), bool)), sorted(set(tasks))
    return [every, *(Part(task, tasks == task) for task in found if len(found) > 1)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: python experiments/leak_checks.py --data_dir kids --tts_dir tts_data --config blend.pkl",
    )
    parser.add_argument("--data_dir", type=Path, required=True, help="folder with the tables, *_source.csv and audio")
    parser.add_argument("--tts_dir", type=Path, required=True, help="folder with the references")
    models = parser.add_mutually_exclusive_group()
    models.add_argument("--config", type=Path, help="the ensemble, from get_config.py (default: no model is asked)")
    models.add_argument("--model", type=Path, help="or a published model's folder")
    parser.add_argument(
        "--work", type=Path, default=Path("leak_checks"), help="for what is made (default: %(default)s)"
    )
    options = parser.parse_args()
    for name in ("data_dir", "tts_dir", "config", "model", "work"):
        if getattr(options, name) is not None:
            setattr(options, name, getattr(options, name).resolve())
    train = read_training_table(options.data_dir)
    test = read_test_table(options.data_dir).merge(read_labels(options.data_dir / "test_labels.csv"), on="filename")
    speakers = np.array(read_groups(options.data_dir / "test_source.csv", "speaker", test["filename"]))
    scores = by_recording(train, test, options.data_dir, options.tts_dir) | by_text(train, test)
    if models_of(options):
        scores |= ask_models(test, options, speakers)
    print(f"\n{table_of(weighted_auc, test['score'].to_numpy(np.float64), scores, tasks_of(test), draws_of(speakers))}")


if __name__ == "__main__":
    run(main)
