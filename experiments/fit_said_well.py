"""Fit the coefficients of how well a word was said, by verifiers: `models/localize/said_well.py`.

    python experiments/fit_said_well.py --data_dir speech/kids children/assets/verifybase_?.pth

Each training clip is read with what was read aloud, by the fold that held it out. A logistic regression tells words that experts
gave 7 of 10 or more from the others. How good it is is printed first, each sixth of the speakers scored with what the others
taught; `experiments/human_scores.py` compares it with other models.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm import tqdm

from experiments.fit_localization import read_clips, write_tables
from experiments.trained_folds import load_folds
from experiments.word_labels import RIGHT_FROM
from models.base.cli import run
from models.base.compute import resolve_device
from models.localize.heard import weigh, written_as_expected
from models.localize.listener import Listener
from models.localize.model import LoadedModel, clip_scalars
from models.localize.phones_said import phones_said
from models.localize.said_well import TABLE, pronunciation_features
from models.localize.unit_scores import TELLING, WEIGHTS_FILE, WRITING
from models.speech.audio import read_audio


def judged_words(clips: pd.DataFrame, data_dir: Path, models: dict[str, LoadedModel]) -> pd.DataFrame:
    """Features, speaker and the experts' accuracy of each word that was read."""
    rows = []
    for clip in tqdm(clips.itertuples(), "reading", len(clips), unit=" clips", disable=None):
        model, waveform = models[clip.filename], read_audio(data_dir / clip.filename, 12.0)
        scalars = clip_scalars(clip.task, clip.grade).to(model.device)
        listener = Listener(model.network, model.spectrum(waveform).to(model.device), scalars)
        written = None
        if listener.can_write:
            transcripts = weigh(listener.hypotheses(), clip.task)
            written, _ = written_as_expected(clip.spoken_text.split(), transcripts)
        phones = phones_said(listener.phones(), clip.task, clip.spoken_text)
        features = pd.DataFrame(pronunciation_features(listener.read([clip.spoken_text])[0], written, phones))
        rows.append(features.assign(filename=clip.filename, index=range(len(features))))
    experts = pd.read_csv(data_dir / "word_scores.csv", dtype={"speaker": str})
    return pd.concat(rows).merge(experts, on=["filename", "index"])


def as_table(model: Pipeline, features: list[str]) -> dict[str, Any]:
    """As `coefficients.json` has it: the first class, said well, is what the other is compared with."""
    scaler, regression = model.steps[0][1], model.steps[1][1]
    weights = -regression.coef_[0] / scaler.scale_
    bias = -regression.intercept_[0] - float(weights @ scaler.mean_)
    zeros = [0.0] * len(features)
    return {
        "units": {
            "features": features,
            "weights": [zeros, np.round(weights, 5).tolist()],
            "bias": [0.0, round(float(bias), 5)],
        }
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", type=Path, nargs="+", help="folds of a verifier, apart by speaker")
    parser.add_argument("--data_dir", type=Path, required=True, help="the children's folder, with word_scores.csv")
    parser.add_argument("--output", type=Path, default=WEIGHTS_FILE, help="(default: %(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    models, clips = load_folds(options.checkpoints, resolve_device("auto")), read_clips(options.data_dir)
    words = judged_words(clips[clips["filename"].isin(models)], options.data_dir, models)
    names = words.columns[: words.columns.get_loc("filename")].tolist()
    well, model = words["accuracy"] >= RIGHT_FROM, make_pipeline(StandardScaler(), LogisticRegression())
    folds = GroupKFold(6).split(words, groups=words["speaker"])
    held_out = cross_val_predict(model, words[names], well, cv=folds, method="predict_proba")[:, 1]
    print(
        f"{len(words)} words, {int((~well).sum())} of them below {RIGHT_FROM}: AUC {roc_auc_score(well, held_out):.3f}"
    )
    table = as_table(model.fit(words[names], well), names)
    table["fitted_on"] = (
        f"{len(words)} words of {words['filename'].nunique()} clips of {words['speaker'].nunique()} children"
    )
    (width,) = {int(model.network.encoder.config.d_model) for model in models.values()}
    kind = f"{WRITING if 'written' in names else ''}{TELLING if 'phone_mean' in names else ''}"
    write_tables(options.output, {f"{TABLE}, width {width}{kind}": table})


if __name__ == "__main__":
    run(main)
