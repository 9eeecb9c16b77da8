"""Do the scores of words tell those that experts found badly read? AUC on the training children, out-of-fold.

    python experiments/word_scores.py --data_dir KIDS assets/verifybase_*.pth

Each clip is given the text that was read, by the model of the fold that held it out, and localised as `localize.py` does. Bad:
3 or less of the experts' 10; good: 7 or more; between them nothing is asked. Interval: speakers drawn again.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from experiments.trained_folds import load_folds, speak_as
from experiments.word_labels import RIGHT_FROM, WRONG_UP_TO
from models.base.cli import run
from models.clips.tables import read_metadata
from models.localize.localization import localize
from models.localize.result import Localization
from models.speech.audio import read_audio

RESAMPLES = 1000


def word_scores(found: Localization, n_words: int) -> list[float]:
    """Of each word of the text; of a single word in phones the least of theirs."""
    units = found.expected_units
    if found.unit != "word":
        return [min(unit.score for unit in units)]
    scores = [unit.score for unit in units for _ in unit.text.split()]
    assert len(scores) == n_words
    return scores


def rows_of(checkpoints: list[Path], table: pd.DataFrame, data_dir: Path) -> Iterator[tuple[str, int, float]]:
    """Filename, index and score of each word of the clips that the checkpoints' folds held out."""
    models, speak = load_folds(checkpoints), speak_as(checkpoints[0])
    rows = table[table["filename"].isin(models)]
    for row in tqdm(rows.itertuples(), "localizing", len(rows), unit=" clips", disable=None):
        model = models[row.filename]
        response = read_audio(data_dir / row.filename, model.recipe.max_seconds)
        found = localize(model, row.expected_text, row.task, row.grade, response, speak)
        for index, score in enumerate(word_scores(found, len(row.expected_text.split()))):
            yield row.filename, index, score


def interval(table: pd.DataFrame) -> tuple[float, float]:
    """The middle 95 % of the AUC over speakers drawn again."""
    by_speaker = [rows for _, rows in table.groupby("speaker")]
    rng = np.random.default_rng(0)
    found = []
    for _ in range(RESAMPLES):
        drawn = pd.concat([by_speaker[index] for index in rng.integers(len(by_speaker), size=len(by_speaker))])
        if drawn["bad"].nunique() == 2:
            found.append(roc_auc_score(drawn["bad"], -drawn["score"]))
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", type=Path, required=True, help="the children's folder, with word_scores.csv")
    parser.add_argument("checkpoints", type=Path, nargs="+")
    options = parser.parse_args()
    table = read_metadata(options.data_dir / "train_metadata.csv")
    source = pd.read_csv(options.data_dir / "train_source.csv", dtype=str).set_index("filename")
    table["expected_text"] = source.loc[table["filename"], "spoken_text"].to_numpy()
    torch.set_num_threads(1)
    rows = list(rows_of(options.checkpoints, table, options.data_dir))
    scores = pd.read_csv(options.data_dir / "word_scores.csv", dtype={"speaker": str})
    found = scores.merge(pd.DataFrame(rows, columns=["filename", "index", "score"]), on=["filename", "index"])
    found = found[(found["accuracy"] <= WRONG_UP_TO) | (found["accuracy"] >= RIGHT_FROM)]
    found["bad"] = found["accuracy"] <= WRONG_UP_TO
    low, high = interval(found)
    print(
        f"{len(found)} words, {int(found['bad'].sum())} of them bad: "
        f"AUC {roc_auc_score(found['bad'], -found['score']):.3f} [{low:.3f}, {high:.3f}]"
    )


if __name__ == "__main__":
    run(main)
