"""Fit the few coefficients of localization, `coefficients.json`, on children whom neither encoder nor model has heard.

Each clip is asked for what was said, for one drawn edit of each kind, and for another sentence; for phones, words are cut out of
the clips and asked for as spoken, respelt by one phone, and for another word. Each clip is heard by the model of the fold that
held it out. Every word is then right, missing or different, and every gap between words is empty or not. Tables of models that
are not given stay as they are.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm import tqdm

from experiments.known_edits import KINDS, Change, find_change
from experiments.trained_folds import load_folds
from models.base.cli import run
from models.base.files import replace_when_done
from models.clips.tables import read_training_table
from models.errors import InputError
from models.localize.evidence import Finding, HeardClip, Known, find_evidence, hear
from models.localize.model import LoadedModel, clip_scalars
from models.localize.unit_scores import GAP_CLASSES, UNIT_CLASSES, WEIGHTS_FILE, Evidence
from models.localize.units import pronounce
from models.pretrain.real_speech import held_out_speakers
from models.pretrain.texts import delete_word, insert_word, respell, substitute_word, swap_words
from models.speech.audio import SAMPLE_RATE_HZ, Waveform, read_audio
from models.speech.pronunciation import accepted_utterances
from models.speech.voices import EspeakVoice

EDITS = {"delete": delete_word, "insert": insert_word, "substitute": substitute_word, "swap": swap_words}
MARGIN_SECONDS = 0.05  # of its neighbours left around a word that is cut out
WORDS_PER_CLIP = 3
RESPELLINGS = 30  # tried for one that differs by one phone


class Examples:
    """Rows of features and a class, by table and by part: `units` or `gaps`."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], list[dict[str, Any]]] = {}

    def add(
        self, table: str, evidence: Evidence, labels: Sequence[str | None], gap_labels: Sequence[str | None]
    ) -> None:
        for part, features, classes in (("units", evidence.units, labels), ("gaps", evidence.gaps, gap_labels)):
            rows = self.rows.setdefault((table, part), [])
            for index, label in enumerate(classes):
                if label is not None:
                    rows.append({**{name: values[index] for name, values in features.items()}, "class": label})


def draw_questions(text: str, others: Sequence[str], rng: np.random.Generator) -> Iterator[tuple[str, Change | None]]:
    """Expected texts for a spoken one, and what of them was changed; None: it is another sentence altogether."""
    words, vocabulary = text.split(), sorted({word for other in others for word in other.split()})
    yield text, Change("right")
    yield str(rng.choice(others)), None
    for kind in KINDS if len(words) > 1 else ():
        edited = EDITS[kind](words, rng, vocabulary)
        change = find_change(edited, words, kind)
        if change is not None and _sounds(" ".join(edited)) != _sounds(text):
            yield " ".join(edited), change


def draw_words(word: str, others: Sequence[str], rng: np.random.Generator) -> Iterator[tuple[str, Change | None]]:
    """The same for a single word, whose units are phones."""
    sounds = _sounds(word)
    yield word, Change("right")
    yield str(rng.choice(others)), None
    wanted = {"substitute", "insert", "delete"}
    for _ in range(RESPELLINGS):
        respelt = respell(word, rng)
        for kind in sorted(wanted):
            change = find_change(_sounds(respelt), sounds, kind)
            if change is not None:
                wanted.remove(kind)
                yield respelt, change
                break


def _sounds(text: str) -> list[str]:
    found = pronounce(text, text)
    return [] if found is None else [str(phone) for unit in found.phones for phone in unit]


def collect(clips: pd.DataFrame, data_dir: Path, models: dict[str, LoadedModel], seed: int) -> Examples:
    rng, examples, voice = np.random.default_rng(seed), Examples(), EspeakVoice(0.7)
    texts = sorted(set(clips["spoken_text"]))
    words = sorted({word for text in texts for word in text.split() if len(_sounds(word)) > 1})
    for clip in tqdm(clips.itertuples(), "hearing", len(clips), unit=" clips", disable=None):
        model, waveform = models[clip.filename], read_audio(data_dir / clip.filename, 12.0)
        for expected, change in draw_questions(clip.spoken_text, texts, rng):
            heard = ask(model, expected, clip.task, clip.grade, voice, waveform)
            label_all(examples, heard, change, set(clip.spoken_text.split()))
            if change is not None and change.kind == "right":
                spoken = heard[0]
        for word, piece in cut_words(*spoken, waveform, rng):
            for expected, change in draw_words(word, words, rng):
                heard = ask(model, expected, "blending", clip.grade, voice, piece)
                label_all(examples, heard, change, set(_sounds(word)))
    return examples


def ask(
    model: LoadedModel, text: str, task: str, grade: str, voice: EspeakVoice, response: Waveform
) -> list[tuple[HeardClip, Finding]]:
    """With the phones and without."""
    accepted = accepted_utterances(task, text)
    sides = model.spectrum(voice.speak(accepted[0])), model.spectrum(response)
    variants = [model, replace(model, reads_phones=False)]
    heard = [hear(variant, text, accepted, clip_scalars(task, grade), *sides) for variant in variants]
    return [(clip, find_evidence(clip, Known())) for clip in heard]


def label_all(
    examples: Examples, heard: Sequence[tuple[HeardClip, Finding]], change: Change | None, spoken: set[str]
) -> None:
    for one, finding in heard:
        names = one.pronunciation.texts
        if one.pronunciation.unit == "phone":
            names = tuple(str(phones[0]) for phones in one.pronunciation.phones)
        label(examples, one.table, finding.evidence, names, change, spoken)


def label(
    examples: Examples, table: str, evidence: Evidence, names: Sequence[str], change: Change | None, spoken: set[str]
) -> None:
    """Of another text, units that were not said anywhere are different, and of the rest nothing is known."""
    if change is None:
        unknown = [None] * (len(names) + 1)
        examples.add(table, evidence, [None if name in spoken else "different" for name in names], unknown)
        return
    gaps: list[str | None] = ["inserted" if gap in change.gaps else "right" for gap in range(len(names) + 1)]
    if change.kind == "different" and len(change.units) > 1:  # swapped: what was said before what is a matter of taste
        gaps = [None if min(change.units) <= gap <= max(change.units) + 1 else label for gap, label in enumerate(gaps)]
    examples.add(table, evidence, [change.label(place) for place in range(len(names))], gaps)


def cut_words(
    heard: HeardClip, finding: Finding, waveform: Waveform, rng: np.random.Generator
) -> Iterator[tuple[str, Waveform]]:
    """Some of a clip's words, as they were said."""
    if heard.pronunciation.unit != "word":
        return
    texts, phones = heard.pronunciation.texts, heard.pronunciation.phones
    long = [index for index, sounds in enumerate(phones) if len(sounds) > 1 and " " not in texts[index]]
    for index in rng.permutation(long)[:WORDS_PER_CLIP]:
        start, end = (frame * 0.02 for frame in finding.response_spans[index])
        first = max(0, round((start - MARGIN_SECONDS) * SAMPLE_RATE_HZ))
        yield texts[index], waveform[first : round((end + MARGIN_SECONDS) * SAMPLE_RATE_HZ)]


def fit_tables(examples: Examples, clips: pd.DataFrame) -> dict[str, dict[str, Any]]:
    tables: dict[str, dict[str, Any]] = {}
    for (table, part), rows in sorted(examples.rows.items()):
        frame = pd.DataFrame(rows)
        names = [name for name in frame.columns if name != "class"]
        classes = UNIT_CLASSES if part == "units" else GAP_CLASSES
        heard = f"{len(clips)} clips of {clips['speaker'].nunique()} children"
        tables.setdefault(table, {"fitted_on": heard})[part] = fit(frame, names, list(classes))
    return tables


def fit(frame: pd.DataFrame, names: list[str], classes: list[str]) -> dict[str, Any]:
    """A multinomial logistic regression, its scaling of the features folded into the weights."""
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000)).fit(frame[names], frame["class"])
    scaler, regression = model[0], model[1]
    if len(classes) == 2:  # scikit-learn keeps one row, of the class that comes second in its order
        sign = 1.0 if regression.classes_[1] == classes[1] else -1.0
        weights = np.stack([np.zeros(len(names)), sign * regression.coef_[0]])
        bias = np.array([0.0, sign * regression.intercept_[0]])
    else:
        order = [list(regression.classes_).index(name) for name in classes]
        weights, bias = regression.coef_[order], regression.intercept_[order]
    weights = weights / scaler.scale_
    bias = bias - weights @ scaler.mean_
    return {
        "features": names,
        "weights": np.round(weights, 5).tolist(),
        "bias": np.round(bias, 5).tolist(),
        "examples": frame["class"].value_counts().to_dict(),
    }


def write_tables(output: Path, tables: Mapping[str, Any]) -> None:
    """Put tables in the place of those that are shipped; the others stay."""
    content = json.loads(WEIGHTS_FILE.read_text(encoding="utf-8"))
    content["tables"] |= tables
    with replace_when_done(output) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {output}: {', '.join(tables)}")


def read_clips(data_dir: Path) -> pd.DataFrame:
    source = pd.read_csv(data_dir / "train_source.csv", dtype=str)
    return read_training_table(data_dir).merge(source, on="filename", validate="one_to_one")


def heard_by(paths: list[Path], clips: pd.DataFrame) -> dict[str, LoadedModel]:
    """For each clip the model of the fold that held it out."""
    models = load_folds(paths)
    unheard = [name for name in clips["filename"] if name not in models]
    if unheard:
        raise InputError(f"no checkpoint held out {len(unheard)} clips, such as {unheard[0]}; give every fold")
    return models


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: python experiments/fit_localization.py --data_dir speech/kids children/assets/aligntiny_?.pth",
    )
    parser.add_argument("checkpoints", type=Path, nargs="+", help="folds of an aligned model, apart by speaker")
    parser.add_argument("--data_dir", type=Path, required=True, help="children's speech, with train_source.csv")
    parser.add_argument(
        "--speakers",
        type=int,
        default=10,
        help="how many were kept out of pre-training, as in pretrain_encoder.py (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the drawn edits (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=WEIGHTS_FILE, help="(default: %(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    every_clip = read_clips(options.data_dir)
    unheard = every_clip[every_clip["speaker"].isin(held_out_speakers(options.data_dir, options.speakers))]
    examples = collect(unheard, options.data_dir, heard_by(options.checkpoints, unheard), options.seed)
    write_tables(options.output, fit_tables(examples, unheard))


if __name__ == "__main__":
    run(main)
