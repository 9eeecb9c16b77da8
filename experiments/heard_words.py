"""What verifiers write down of children's answers, beside what was spoken: word error rate, and whether what is told is true.

    python experiments/heard_words.py --data_dir KIDS children/assets/verifytiny_?.pth
    python experiments/heard_words.py --data_dir KIDS --part test assets/models/verifytiny-children
    python experiments/heard_words.py --data_dir KIDS --part test --encoder whisper-tiny.en

Training clips are read by the fold that held them out, test clips by the first network that is given. `--encoder` asks a Whisper
as it comes. Told are words of the transcript that are sure (heard.SURE), and what localization says was said instead of a word or
in addition. Intervals: 95 %, speakers drawn again.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torchaudio.functional import edit_distance
from tqdm import tqdm

from experiments.trained_folds import load_folds, load_one
from models.base.cli import positive, run
from models.clips.tables import clip_paths, read_metadata
from models.ensemble.bootstrap import divide, draw_counts, estimate, weighted_sums
from models.errors import InputError
from models.localize.by_tokens import localize_by_tokens
from models.localize.heard import SURE, transcript, weigh
from models.localize.listener import Listener
from models.localize.model import LoadedModel, clip_scalars
from models.localize.written_words import bare, find_counterparts, same_word, words_of
from models.network.pretrained import pretrained_network
from models.network.verifier import VerifierNetwork
from models.speech.audio import Waveform, read_answer
from train_verifytiny import recipe


def as_it_comes(encoder: str) -> LoadedModel:
    """A Whisper that has not been fine-tuned, allowed to write."""
    network = pretrained_network(replace(recipe, encoder=encoder, max_seconds=12.0)).eval()
    return LoadedModel(encoder, network, recipe, torch.device("cpu"))


def read_models(options: argparse.Namespace) -> Callable[[str], LoadedModel | None]:
    """Who is asked about a clip."""
    if options.part == "train" and options.checkpoints:
        return load_folds(options.checkpoints).get
    if options.encoder:
        model = as_it_comes(options.encoder)
    elif options.checkpoints:
        model = load_one(options.checkpoints[0])
    else:
        raise InputError("give checkpoints, a published folder, or --encoder")
    return lambda _: model


def ask(model: LoadedModel, row: Any, response: Waveform, is_told: bool) -> dict[str, float]:
    """Counts of one clip."""
    network, spoken = model.network, words_of(row.spoken_text)
    assert isinstance(network, VerifierNetwork)
    listener = Listener(network, model.spectrum(response), clip_scalars(row.task, row.grade))
    written = listener.hypotheses()
    best = transcript(weigh(written, row.task))
    words = [word.text for word in best]
    truth = find_counterparts(words, spoken)
    sure = [right for word, right in zip(best, truth.as_expected, strict=True) if word.probability >= SURE]
    counts = {
        "errors": edit_distance([bare(word) for word in words], [bare(word) for word in spoken]),
        "spoken": len(spoken),
        "sure": len(sure),
        "sure_right": sum(sure),
        "written": len(words),
    }
    return counts | (told_counts(model, row, response, spoken) if is_told else {})


def told_counts(model: LoadedModel, row: Any, response: Waveform, spoken: Sequence[str]) -> dict[str, float]:
    """How often localization tells what was said in a place, and how often that is what was spoken there."""
    found = localize_by_tokens(model, row.expected_text, row.task, row.grade, response)
    truth = find_counterparts(row.expected_text.split(), spoken)
    marks = told = right = place = 0
    for unit in found.units:
        if unit.kind in ("different", "inserted"):
            actual = truth.of_gaps[place] if unit.kind == "inserted" else truth.instead_of(place, set())
            marks, told = marks + 1, told + (unit.heard is not None)
            right += unit.heard is not None and same_word(unit.heard, actual)
        place += unit.kind != "inserted"
    return {"marks": marks, "told": told, "told_right": right}


def share(clips: pd.DataFrame, part: str, whole: str) -> str:
    """A ratio of sums, with its interval over speakers."""
    columns = clips[[part, whole]].to_numpy(np.float64)
    sums = weighted_sums(columns, draw_counts(pd.factorize(clips["speaker"])[0]))
    value = clips[part].sum() / max(clips[whole].sum(), 1)
    found = estimate(float(value), divide(sums[:, 0], sums[:, 1]))
    return f"{value:.3f} [{found.low:.3f}, {found.high:.3f}] of {clips[whole].sum():.0f}"


def report(clips: pd.DataFrame) -> str:
    rows = [
        ("word error rate", "errors", "spoken"),
        ("sure words", "sure", "written"),
        ("… that were spoken", "sure_right", "sure"),
    ]
    if "marks" in clips:
        rows += [("marks that are told", "told", "marks"), ("… and true", "told_right", "told")]
    kinds = [("all", clips), *clips.groupby("kind")] if clips["kind"].nunique() > 1 else [("all", clips)]
    lines = [
        f"| {kind}, {len(part)} clips | {name} | {share(part, top, below)} |"
        for kind, part in kinds
        for name, top, below in rows
    ]
    return "\n".join(["| clips | | |", "|---|---|---|", *lines])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "checkpoints",
        nargs="*",
        type=Path,
        help="folds of a verifier, apart by speaker; or a published folder, for test clips",
    )
    parser.add_argument("--encoder", help="or a Whisper as it comes")
    parser.add_argument("--data_dir", type=Path, required=True, help="children's speech, with *_source.csv")
    parser.add_argument("--part", choices=("train", "test"), default="train", help="(default: %(default)s)")
    parser.add_argument("--task", default="sentence_repetition", help="(default: %(default)s)")
    parser.add_argument("--clips", type=positive, help="only so many, drawn at random (default: all)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    models = read_models(options)
    source = pd.read_csv(options.data_dir / f"{options.part}_source.csv", dtype=str)
    table = read_metadata(options.data_dir / f"{options.part}_metadata.csv").merge(
        source, on="filename", validate="one_to_one"
    )
    table = table[
        [task == options.task and models(name) is not None for task, name in table[["task", "filename"]].to_numpy()]
    ]
    table = table if options.clips is None else table.sample(min(options.clips, len(table)), random_state=0)
    paths = clip_paths(options.data_dir, table["filename"])
    counts = [
        ask(model, row, read_answer(path), not options.encoder)
        for row, path in tqdm(zip(table.itertuples(), paths, strict=True), "listening", len(table), disable=None)
        if (model := models(row.filename)) is not None
    ]
    print(report(pd.DataFrame(counts).assign(speaker=table["speaker"].to_numpy(), kind=table["kind"].to_numpy())))


if __name__ == "__main__":
    run(main)
