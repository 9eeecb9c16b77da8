"""What each blend gives where the models are simulated and labels, texts, tasks and grades are real.

    python experiments/blends.py ../shared/goodnight_moon

Ten models as benchmarks/simulate_ensemble.py makes them, which know nothing, half or all of how hard an item is; and labels that
are drawn anew with the weighted mean's own probabilities, so that nothing is to be gained. Folds of clips, and folds that keep a
text together, of which the item table knows nothing. All figures are cross-fitted log losses, the mean of five draws.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from benchmarks.simulate_ensemble import N_FOLDS, simulate_predictions
from models.clips.tables import read_training_table
from models.ensemble.blend import Blend
from models.ensemble.choice import ITEM, PLAIN, SOUND, Choice, choose
from models.ensemble.items import fit_items, item_keys
from models.ensemble.metrics import log_loss

SIZES = (1_000, 5_000, 38_095)
TOLD = {"nothing": 0.0, "half": 0.5, "all": 1.0, "all, nothing to gain": 1.0}
N_DRAWS = 5


def draw(table: pd.DataFrame, knows: str, n_clips: int, seed: int) -> tuple[Blend, list[str]]:
    """A blend of so many clips of the table, folds by clip, and their texts."""
    rng = np.random.default_rng(seed)
    predictions = simulate_predictions(table, TOLD[knows], rng)
    rows = rng.permutation(len(table))[:n_clips]
    own, predictions = table.iloc[rows], predictions[rows]
    labels = own["score"].to_numpy(np.float64)
    if "nothing to gain" in knows:
        labels = (rng.random(len(rows)) < predictions.mean(axis=1)).astype(np.float64)
    names, tasks, grades, texts = (own[name].tolist() for name in ("filename", "task", "grade", "expected_text"))
    models = [f"model {place}" for place in range(predictions.shape[1])]
    return Blend(models, names, labels, predictions, rng.integers(0, N_FOLDS, len(rows)), tasks, grades), texts


def print_items(table: pd.DataFrame) -> None:
    """What labels alone tell, without hearing anything: of a model that always gives the share of right answers."""
    names, tasks, grades, texts = (table[name].tolist() for name in ("filename", "task", "grade", "expected_text"))
    labels, folds = table["score"].to_numpy(np.float64), np.random.default_rng(0).integers(0, N_FOLDS, len(table))
    deaf = Blend(["deaf"], names, labels, np.full((len(table), 1), labels.mean()), folds, tasks, grades)
    losses = {one.name: one.log_loss for one in choose(deaf, texts, "best").candidates}
    print(f"all alike {losses[PLAIN]:.4f}, by task and grade {losses[SOUND]:.4f}, with items {losses[ITEM]:.4f}")
    keys = [item_keys(*clip) for clip in zip(tasks, grades, texts, strict=True)]
    told = ", ".join(f"{strength:.1f}" for strength in fit_items(keys, labels).strengths)
    print(f"strength of the shrinkage, in clips: {told} (task and grade; text; text in a grade)\n")


def by_text(blend: Blend, texts: list[str], seed: int) -> Blend:
    """The same with folds that keep each text together."""
    codes = np.unique(texts, return_inverse=True)[1]
    return replace(blend, folds=np.random.default_rng(seed).permutation(codes.max() + 1)[codes] % N_FOLDS)


def choices(table: pd.DataFrame, knows: str, n_clips: int, grouped: bool) -> Iterator[tuple[Choice, Blend, float]]:
    """Of each draw what was chosen, and how many seconds of a core that took."""
    for seed in range(N_DRAWS):
        blend, texts = draw(table, knows, n_clips, seed)
        blend = by_text(blend, texts, seed) if grouped else blend
        start = time.process_time()
        yield choose(blend, texts, "best"), blend, time.process_time() - start


def print_row(head: str, found: list[tuple[Choice, Blend, float]]) -> None:
    losses = {
        name: np.mean([next(one.log_loss for one in choice.candidates if one.name == name) for choice, *_ in found])
        for name in (PLAIN, SOUND, ITEM)
    }
    taken = [choice.chosen for choice, *_ in found]
    equal = np.mean([log_loss(blend.labels, blend.predictions.mean(axis=1)) for _, blend, _ in found])
    names = ", ".join(
        f"{name} ({[one.name for one in taken].count(name)})" for name in dict.fromkeys(one.name for one in taken)
    )
    figures = [equal, *losses.values(), np.mean([one.log_loss for one in taken])]
    seconds = max(seconds for *_, seconds in found)
    print(f"| {head} | {' | '.join(f'{value:.4f}' for value in figures)} | {names} | {seconds:.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("metadata", type=Path, help="folder with train_metadata.csv and train_labels.csv")
    table = read_training_table(parser.parse_args().metadata)
    print_items(table)
    print(
        f"| folds by | models know of items | clips | equal weights | {PLAIN} | {SOUND} | {ITEM} | taken | which | s |"
    )
    print(f"|{'---|' * 10}")
    settings = [(grouped, knows, size) for grouped in (False, True) for knows in TOLD for size in SIZES]
    for grouped, knows, size in tqdm(settings, disable=None):
        found = list(choices(table, knows, size, grouped))
        print_row(f"{'text' if grouped else 'clip'} | {knows} | {size:,}", found)


if __name__ == "__main__":
    main()
