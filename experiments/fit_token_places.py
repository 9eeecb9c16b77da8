"""Fit the coefficients of localization by tokens: which word of the text, or gap between words, is what went wrong?

    python experiments/fit_token_places.py --data_dir speech/kids children/assets/verifybase_?.pth

Each clip is read by the fold that held it out, with what was said and with drawn edits of it. Of all places one is to stand out
(a conditional logit, McFadden 1974), or none; so words and gaps are judged on one scale. Words that experts scored are asked
one by one besides: a word may be said badly where no other was said.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from tqdm import tqdm

from experiments.fit_localization import draw_questions, read_clips, write_tables
from experiments.known_edits import Change
from experiments.trained_folds import load_folds
from experiments.word_labels import judged_words
from models.base.cli import positive, run
from models.base.compute import resolve_device
from models.ensemble.metrics import Values
from models.localize.by_tokens import find_evidence, table_name
from models.localize.heard import weigh
from models.localize.listener import Listener
from models.localize.model import LoadedModel, clip_scalars
from models.localize.unit_scores import WEIGHTS_FILE, Evidence
from models.speech.audio import read_audio

EXPERTS_WEIGHT = 1.0  # of the loss over single words, beside that over texts
RIDGE = 1e-3
STEPS = 150  # of L-BFGS, which needs fewer


@dataclass(frozen=True)
class Question:
    """A text that a clip was asked for, and what is known of it.

    Attributes
    ----------
    units, gaps : [shape=(words, features)], [shape=(words + 1, features)]
    change
        What of the text was not said so.
    judged : [shape=(words,)]
        Where the text is what was read: 1 for a word that experts found well said, 0 badly, nan neither or not known.
    is_doubted
        Whether the text is what was read and experts did not find every word well said.
    """

    units: Values
    gaps: Values
    change: Change
    judged: Values
    is_doubted: bool = False


@dataclass(frozen=True)
class Coefficients:
    """Of standardised features: of a word missing, of a word different [shape=(features, 2)], of a gap [shape=(features,)]."""

    units: Tensor
    gaps: Tensor
    bias: Tensor


def columns(features: dict[str, Values]) -> Values:
    return np.stack(list(features.values()), axis=1)


def collect(
    clips: pd.DataFrame, data_dir: Path, models: dict[str, LoadedModel], seed: int
) -> tuple[list[Question], Evidence]:
    """The questions of all clips, and one piece of evidence, for its names."""
    rng, questions = np.random.default_rng(seed), list[Question]()
    texts = sorted(set(clips["spoken_text"]))
    scores = dict(iter(pd.read_csv(data_dir / "word_scores.csv").groupby("filename")))
    evidence = Evidence({}, {})
    for clip in tqdm(clips.itertuples(), "reading", len(clips), unit=" clips", disable=None):
        model, waveform = models[clip.filename], read_audio(data_dir / clip.filename, 12.0)
        scalars = clip_scalars(clip.task, clip.grade).to(model.device)
        listener = Listener(model.network, model.spectrum(waveform).to(model.device), scalars)
        written = weigh(listener.hypotheses(), clip.task) if listener.can_write else None
        for expected, change in draw_questions(clip.spoken_text, texts, rng):
            words = expected.split()
            if change is None or len(words) == 1:
                continue
            judged, is_doubted = np.full(len(words), np.nan), False
            if change.kind == "right" and clip.filename in scores:
                found = judged_words(scores[clip.filename])
                judged[list(found)] = [np.nan if good is None else float(good) for good in found.values()]
                is_doubted = not all(found.values())
            _, evidence = find_evidence(listener, words, written)
            questions.append(Question(columns(evidence.units), columns(evidence.gaps), change, judged, is_doubted))
    return questions, evidence


def fit(questions: Sequence[Question]) -> Coefficients:
    """Minimise the mean of -log P(the places that were changed), and of the cross-entropy of the experts' words."""
    size = max(len(question.units) for question in questions)
    units = pad([question.units for question in questions], size)
    gaps = pad([question.gaps for question in questions], size + 1)
    there, true = places(questions, size)
    doubted = torch.tensor([question.is_doubted for question in questions])
    judged = pad([question.judged[:, None] for question in questions], size, np.nan)[..., 0]
    known = ~judged.isnan()
    of_units = torch.zeros(units.shape[2], 2, dtype=torch.float64, requires_grad=True)
    of_gaps = torch.zeros(gaps.shape[2], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([of_units, of_gaps, bias], max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        of_words, of_gap = units @ of_units + bias[:2], gaps @ of_gaps + bias[2]
        nothing = torch.zeros(len(units), 1, dtype=torch.float64)
        logits = torch.cat([nothing, of_words.flatten(1), of_gap], dim=1).masked_fill(~there, -torch.inf)
        missed = logits.logsumexp(dim=1) - logits.masked_fill(~true, -torch.inf).logsumexp(dim=1)
        wrong = of_words.logsumexp(dim=2)[known]
        found = missed[~doubted].mean() + RIDGE * (of_units.square().sum() + of_gaps.square().sum())
        if known.any():
            experts = nn.functional.binary_cross_entropy_with_logits(wrong, 1 - judged[known])
            found = found + EXPERTS_WEIGHT * experts
        found.backward()  # type: ignore[no-untyped-call]
        return found

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    return Coefficients(of_units.detach(), of_gaps.detach(), bias.detach())


def places(questions: Sequence[Question], size: int) -> tuple[Tensor, Tensor]:
    """Which answers there are to the question what went wrong, and which are true: bool [shape=(questions, 3 * size + 2)].

    Nothing; of each word, that it is missing and that it is different; of each gap, that something was inserted.
    """
    there = torch.zeros(len(questions), 3 * size + 2, dtype=torch.bool)
    true = torch.zeros_like(there)
    for row, question in enumerate(questions):
        n, change = len(question.units), question.change
        there[row, 0] = there[row, 1 : 1 + 2 * n] = there[row, 1 + 2 * size : 2 + 2 * size + n] = True
        true[row, 0] = change.kind == "right"
        for place in change.units:
            true[row, 1 + 2 * place + (change.kind == "different")] = True
        for gap in change.gaps:
            true[row, 1 + 2 * size + gap] = True
    return there, true


def pad(rows: Sequence[Values], size: int, value: float = 0.0) -> Tensor:
    return torch.tensor(np.stack([np.pad(row, ((0, size - len(row)), (0, 0)), constant_values=value) for row in rows]))


def standardise(questions: Sequence[Question]) -> tuple[list[Question], list[tuple[Values, Values]]]:
    """With features of mean 0 and standard deviation 1; and what these were, of the units' and of the gaps'."""
    scales = []
    for part in ("units", "gaps"):
        every = np.concatenate([getattr(question, part) for question in questions])
        scales.append((every.mean(axis=0), every.std(axis=0)))
    (unit_mean, unit_std), (gap_mean, gap_std) = scales
    scaled = [
        replace(one, units=(one.units - unit_mean) / unit_std, gaps=(one.gaps - gap_mean) / gap_std)
        for one in questions
    ]
    return scaled, scales


def as_table(found: Coefficients, scales: Sequence[tuple[Values, Values]], evidence: Evidence) -> dict[str, Any]:
    """As `coefficients.json` has it: the first class, right, is what the others are compared with."""
    (unit_mean, unit_std), (gap_mean, gap_std) = scales
    of_units, of_gaps = found.units.numpy().T / unit_std, found.gaps.numpy()[None] / gap_std
    parts = {
        "units": (list(evidence.units), of_units, found.bias.numpy()[:2] - of_units @ unit_mean),
        "gaps": (list(evidence.gaps), of_gaps, found.bias.numpy()[2:] - of_gaps @ gap_mean),
    }
    return {
        part: {
            "features": names,
            "weights": np.round(np.concatenate([np.zeros((1, len(names))), weights]), 5).tolist(),
            "bias": np.round([0.0, *bias], 5).tolist(),
        }
        for part, (names, weights, bias) in parts.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", type=Path, nargs="+", help="folds of a verifier, apart by speaker")
    parser.add_argument("--data_dir", type=Path, required=True, help="children's speech, with train_source.csv")
    parser.add_argument("--clips", type=positive, help="only so many, drawn at random (default: all held out)")
    parser.add_argument("--seed", type=int, default=0, help="of the drawn edits (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=WEIGHTS_FILE, help="(default: %(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    models = load_folds(options.checkpoints, resolve_device("auto"))
    clips = read_clips(options.data_dir)
    clips = clips[clips["filename"].isin(models)]
    clips = clips.sample(min(options.clips or len(clips), len(clips)), random_state=options.seed)
    questions, evidence = collect(clips, options.data_dir, models, options.seed)
    scaled, scales = standardise(questions)
    table = as_table(fit(scaled), scales, evidence)
    table["fitted_on"] = f"{len(questions)} texts of {len(clips)} clips of {clips['speaker'].nunique()} children"
    network: Any = next(iter(models.values())).network
    name = table_name(int(network.decoder.config.d_model), network.transcription_loss > 0)
    write_tables(options.output, {name: table})


if __name__ == "__main__":
    run(main)
