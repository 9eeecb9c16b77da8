"""Do a verifier's tokens tell the words that experts found badly read? AUC on the training children, out-of-fold.

    python experiments/word_scores.py --data_dir KIDS assets/verifybase_*.pth

Each clip is given the text that was read, by the model of the fold that held it out; a word's score is the lowest logit of its
tokens. Bad: 3 or less of the experts' 10; good: 7 or more; between them nothing is asked. Interval: speakers drawn again.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from experiments.word_labels import RIGHT_FROM, WRONG_UP_TO
from models.base.cli import run
from models.clips.dataset import ComparisonDataset
from models.clips.tables import read_metadata
from models.ensemble.checkpoint import Checkpoint, load_checkpoint
from models.ensemble.rebuild import rebuild_network
from models.errors import InputError
from models.inference.scoring import Member
from models.network.verifier import VerifierNetwork

RESAMPLES = 1000
CLIPS_AT_ONCE = 8


@torch.inference_mode()
def word_logits(checkpoint: Checkpoint, table: pd.DataFrame, data_dir: Path) -> Iterator[tuple[str, int, float]]:
    """Filename, index and lowest token logit of each word of the clips that the checkpoint's fold held out."""
    network = rebuild_network(checkpoint)
    if not isinstance(network, VerifierNetwork):
        raise InputError(f"{checkpoint.file_name}: not a verifier")
    rows = table[table["filename"].isin(checkpoint.oof.filenames)].reset_index(drop=True)
    data = ComparisonDataset(rows, data_dir, {}, **Member(checkpoint, 1, 1.0).features)
    names = ("response", "response_frames", "tokens", "token_counts")
    for start in tqdm(range(0, len(rows), CLIPS_AT_ONCE), desc=checkpoint.file_name, disable=None):
        places = range(start, min(start + CLIPS_AT_ONCE, len(rows)))
        batch = data.collate([data[place] for place in places])
        logits, _ = network.judge(
            *network.hear(*(batch[name] for name in names[:2])), *(batch[name] for name in names[2:])
        )
        for place, values in zip(places, logits[..., 0].tolist(), strict=True):
            name, text = rows.loc[place, "filename"], rows.loc[place, "expected_text"]
            words = network.tokenizer.words(text)
            for index in range(len(text.split())):
                yield name, index, min(value for value, word in zip(values, words, strict=False) if word == index)


def interval(table: pd.DataFrame) -> tuple[float, float]:
    """The middle 95 % of the AUC over speakers drawn again."""
    by_speaker = [rows for _, rows in table.groupby("speaker")]
    rng = np.random.default_rng(0)
    found = []
    for _ in range(RESAMPLES):
        drawn = pd.concat([by_speaker[index] for index in rng.integers(len(by_speaker), size=len(by_speaker))])
        if drawn["bad"].nunique() == 2:
            found.append(roc_auc_score(drawn["bad"], -drawn["logit"]))
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
    rows = [row for path in options.checkpoints for row in word_logits(load_checkpoint(path), table, options.data_dir)]
    scores = pd.read_csv(options.data_dir / "word_scores.csv", dtype={"speaker": str})
    found = scores.merge(pd.DataFrame(rows, columns=["filename", "index", "logit"]), on=["filename", "index"])
    found = found[(found["accuracy"] <= WRONG_UP_TO) | (found["accuracy"] >= RIGHT_FROM)]
    found = found.groupby(["filename", "speaker", "index", "accuracy"], as_index=False)["logit"].mean()
    found["bad"] = found["accuracy"] <= WRONG_UP_TO
    low, high = interval(found)
    print(
        f"{len(found)} words, {int(found['bad'].sum())} of them bad: "
        f"AUC {roc_auc_score(found['bad'], -found['logit']):.3f} [{low:.3f}, {high:.3f}]"
    )


if __name__ == "__main__":
    run(main)
