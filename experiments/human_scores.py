"""Do a model's scores say what five experts say? Words and utterances that were read, of speechocean762.

    python experiments/human_scores.py --data_dir KIDS children/assets/verifybase_?.pth children/assets/aligntiny_?.pth

Each clip is given the text that was read and localised as `localize.py` does: of the training children by the model of the fold
that held it out, of the others by each fold, whose scores are averaged. A published folder has heard all training children: with
it the test children alone can be asked. Of several models there is a blend, too: the mean of their log-odds, each in standard
deviations of the training children's words. Experts' accuracy of a word: 10 perfect, 7 to 9 with an accent, 4 to 6 less than 30 %
of its phones wrong, 2 or 3 more or another word said, 0 or 1 not to be made out. An utterance's score is the mean of its words'
log-odds. Intervals: 95 %, speakers drawn again. Below the table, of the words of which the experts named the phones that were
said instead, what the model tells (of several folds the first).
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.special import expit, logit
from sklearn.metrics import precision_recall_curve, roc_auc_score
from tqdm import tqdm

from experiments.said_instead import heard_instead, summary
from experiments.trained_folds import load_folds, load_one, speak_as
from experiments.word_labels import RIGHT_FROM, WRONG_UP_TO
from models.base.cli import positive, run
from models.base.compute import resolve_device
from models.clips.tables import read_metadata
from models.ensemble.checkpoint import load_checkpoint
from models.errors import InputError
from models.localize.localization import localize
from models.localize.model import LoadedModel
from models.localize.result import Localization
from models.speech.audio import read_audio

PARTS = ("train", "test")
RESAMPLES = 1000
LEAST_SCORE = 1e-4  # scores closer to 0 or 1 say no more
DOUBTED_UP_TO = 6  # of the experts' 10
Measure = Callable[[pd.DataFrame], float]


def word_scores(found: Localization, n_words: int) -> list[float]:
    """Of each word of the text how well it was said, where the model tells; else how likely it was said.

    Of a single word in phones the least of theirs.
    """
    units = found.expected_units
    if found.unit != "word":
        return [min(unit.score for unit in units)]
    scores = [unit.score if unit.said_well is None else unit.said_well for unit in units for _ in unit.text.split()]
    assert len(scores) == n_words
    return scores


def bad_from_good(words: pd.DataFrame) -> float:
    """AUC: words of accuracy up to 3 against those from 7."""
    asked = words[(words["accuracy"] <= WRONG_UP_TO) | (words["accuracy"] >= RIGHT_FROM)]
    return auc(asked["accuracy"] <= WRONG_UP_TO, asked["score"])


def doubted_from_good(words: pd.DataFrame) -> float:
    """AUC: words of accuracy up to 6 against those from 7."""
    return auc(words["accuracy"] <= DOUBTED_UP_TO, words["score"])


def auc(bad: pd.Series, scores: pd.Series) -> float:
    return float(roc_auc_score(bad, -scores)) if bad.nunique() == 2 else float("nan")


def log_odds(words: pd.DataFrame) -> pd.Series:
    return logit(words["score"].clip(LEAST_SCORE, 1 - LEAST_SCORE))


def words_correlation(words: pd.DataFrame) -> float:
    return float(words["accuracy"].corr(words["score"]))


def utterances_correlation(words: pd.DataFrame) -> float:
    clips = words.assign(score=log_odds(words)).groupby("filename")[["utterance_accuracy", "score"]].mean()
    return float(clips["utterance_accuracy"].corr(clips["score"]))


MEASURES: dict[str, Measure] = {
    "AUC, ≤ 3 against ≥ 7": bad_from_good,
    "AUC, ≤ 6 against ≥ 7": doubted_from_good,
    "Pearson, words": words_correlation,
    "Pearson, utterances": utterances_correlation,
}


def with_intervals(words: pd.DataFrame) -> list[str]:
    """Each of MEASURES, with the middle 95 % of speakers drawn again."""
    by_speaker = [rows for _, rows in words.groupby("speaker")]
    drawn = np.random.default_rng(0).integers(len(by_speaker), size=(RESAMPLES, len(by_speaker)))
    found = [[measure(again) for measure in MEASURES.values()] for again in (redraw(by_speaker, row) for row in drawn)]
    edges = np.nanquantile(found, [0.025, 0.975], axis=0).T
    return [
        f"{measure(words):.3f} [{low:.3f}, {high:.3f}]"
        for measure, (low, high) in zip(MEASURES.values(), edges, strict=True)
    ]


def redraw(by_speaker: Sequence[pd.DataFrame], drawn: Sequence[int]) -> pd.DataFrame:
    """A speaker who is drawn twice has said twice as many utterances."""
    several = [by_speaker[index] for index in drawn]
    return pd.concat([rows.assign(filename=f"{turn} " + rows["filename"]) for turn, rows in enumerate(several)])


def best_threshold(words: pd.DataFrame) -> float:
    """Below which a word is called bad, for the highest F1."""
    asked = words[(words["accuracy"] <= WRONG_UP_TO) | (words["accuracy"] >= RIGHT_FROM)]
    precision, recall, thresholds = precision_recall_curve(asked["accuracy"] <= WRONG_UP_TO, -asked["score"])
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return -float(thresholds[int(np.argmax(f1[:-1]))])


def at_thresholds(words: pd.DataFrame, thresholds: pd.Series) -> str:
    """Precision, recall and F1 of the words called bad, each by its own threshold."""
    asked = (words["accuracy"] <= WRONG_UP_TO) | (words["accuracy"] >= RIGHT_FROM)
    bad, called = words[asked]["accuracy"] <= WRONG_UP_TO, (words["score"] <= thresholds)[asked]
    hits = int((bad & called).sum())
    precision, recall = hits / max(int(called.sum()), 1), hits / max(int(bad.sum()), 1)
    return f"{precision:.2f}, {recall:.2f}, {2 * precision * recall / max(precision + recall, 1e-12):.2f}"


def others_threshold(words: pd.DataFrame) -> pd.Series:
    """For each word the threshold that is best on the other speakers' words."""
    found = pd.Series(0.0, words.index)
    for speaker, rows in words.groupby("speaker"):
        found[rows.index] = best_threshold(words[words["speaker"] != speaker])
    return found


def scored_words(
    models: dict[str, list[LoadedModel]], speaking: Path, table: pd.DataFrame, data_dir: Path
) -> pd.DataFrame:
    """The experts' rows of the words of the table's clips, with the models' mean score."""
    rows = list(_scores(models, speaking, table, data_dir))
    found = pd.DataFrame(rows, columns=["filename", "index", "score", "heard"])
    experts = pd.read_csv(data_dir / "word_scores.csv", dtype={"speaker": str})
    return experts.merge(found, on=["filename", "index"])


def _scores(
    models: dict[str, list[LoadedModel]], speaking: Path, table: pd.DataFrame, data_dir: Path
) -> Iterator[tuple[str, int, float, str | None]]:
    speak = speak_as(speaking)
    for row in tqdm(table.itertuples(), "localizing", len(table), unit=" clips", disable=None):
        several = models[row.filename]
        response = read_audio(data_dir / row.filename, several[0].recipe.max_seconds)
        n_words = len(row.expected_text.split())
        found = [localize(model, row.expected_text, row.task, row.grade, response, speak) for model in several]
        scores = np.mean([word_scores(one, n_words) for one in found], axis=0).tolist()
        for index, (score, heard) in enumerate(zip(scores, heard_instead(found[0], n_words), strict=True)):
            yield row.filename, index, score, heard


def read_aloud(data_dir: Path, part: str) -> pd.DataFrame:
    """The part's clips with the text that was read for the one that is expected."""
    table = read_metadata(data_dir / f"{part}_metadata.csv")
    source = pd.read_csv(data_dir / f"{part}_source.csv", dtype=str).set_index("filename")
    return table.assign(expected_text=source.loc[table["filename"], "spoken_text"].to_numpy())


def by_model(models: Sequence[Path]) -> dict[str, list[Path]]:
    """Checkpoints by the name of their model; a published folder by its own."""
    found: dict[str, list[Path]] = {}
    for path in models:
        found.setdefault(path.name if path.is_dir() else load_checkpoint(path).recipe.name, []).append(path)
    return found


def judged_words(
    paths: Sequence[Path], parts: Sequence[str], data_dir: Path, clips: int | None
) -> dict[str, pd.DataFrame]:
    """By part the experts' words with a model's score.

    Parameters
    ----------
    paths
        The folds of one model, or a published folder.
    clips
        How many of the training children's are asked; None: all.
    """
    device, table = resolve_device("auto"), read_aloud(data_dir, "train")
    every_fold = [load_one(path, device) for path in paths]
    is_fold = not any(path.is_dir() for path in paths)
    folds = load_folds(paths, device) if is_fold else dict.fromkeys(table["filename"], every_fold[0])
    table = table[table["filename"].isin(folds)]
    if clips is not None:
        table = table.sample(min(clips, len(table)), random_state=0)
    asked = {"train": (table, {name: [folds[name]] for name in table["filename"]})}
    if "test" in parts:
        table = read_aloud(data_dir, "test")
        asked["test"] = (table, dict.fromkeys(table["filename"], every_fold))
    return {part: scored_words(models, paths[0], table, data_dir) for part, (table, models) in asked.items()}


def blended(several: Sequence[dict[str, pd.DataFrame]]) -> dict[str, pd.DataFrame]:
    """The words that all models judge, with the mean of their log-odds, each in its standard deviations of "train"."""
    spreads = [float(log_odds(words["train"]).std()) for words in several]
    found = {}
    for part, first in several[0].items():
        columns = [
            words[part].set_index(["filename", "index"]).pipe(log_odds) / spread
            for words, spread in zip(several, spreads, strict=True)
        ]
        score = (
            expit(pd.concat(columns, axis="columns", join="inner").mean(axis="columns")).rename("score").reset_index()
        )
        found[part] = first.drop(columns="score").merge(score, on=["filename", "index"])
    return found


def table_row(name: str, words: dict[str, pd.DataFrame]) -> str:
    """A model's measures of the last part; words are called bad by a threshold of the training children."""
    asked = words[list(words)[-1]]
    thresholds = (
        pd.Series(best_threshold(words["train"]), asked.index) if "test" in words else others_threshold(words["train"])
    )
    bad = ", ".join(str(int((asked["accuracy"] <= most).sum())) for most in (WRONG_UP_TO, DOUBTED_UP_TO))
    return (
        f"| {name} | {len(asked)}, {bad} | {' | '.join(with_intervals(asked))} | {at_thresholds(asked, thresholds)} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", type=Path, required=True, help="the children's folder, with word_scores.csv")
    parser.add_argument("models", type=Path, nargs="+", help="folds of one or more models, or published folders")
    parser.add_argument("--part", choices=PARTS, default=PARTS[0], help="(default: %(default)s)")
    parser.add_argument(
        "--clips", type=positive, help="of the training children: only so many, drawn at random (default: all)"
    )
    options = parser.parse_args()
    if options.part == "train" and (folders := [path for path in options.models if path.is_dir()]):
        raise InputError(f"{folders[0]}: has heard all training children; name the folds, or ask with --part test")
    torch.set_num_threads(1)
    parts = PARTS[: PARTS.index(options.part) + 1]
    judged = {
        name: judged_words(paths, parts, options.data_dir, options.clips)
        for name, paths in by_model(options.models).items()
    }
    instead = [f"{name}: {summary(words[options.part])}" for name, words in judged.items()]
    if len(judged) > 1:
        judged["blend"] = blended(list(judged.values()))
    lines = [f"| word scores of | words, ≤ 3, ≤ 6 | {' | '.join(MEASURES)} | precision, recall, F1 |"]
    lines.append("|" + "---|" * (3 + len(MEASURES)))
    print("\n".join([*lines, *(table_row(*row) for row in judged.items()), "", *instead]))


if __name__ == "__main__":
    run(main)
