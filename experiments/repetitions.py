"""What do models make of repetitions, false starts and self-corrections? Children's right answers, joined from their own clips.

Of each kind: the share that is called right (a probability of at least 0.5), the mean probability, the share of the expected
words (of a single word: of its phones) that are called said, and how often the lowest score of all these and of the places
between is where something was added, beside chance. Training children are asked about by the folds that held them out. A kind's
last try is right or wrong, as the table says: whether a corrected answer counts is for the user to say. Intervals: 95 %,
speakers drawn again.
"""

import argparse
from collections.abc import Sequence, Set
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from experiments.compare import draws_of
from experiments.held_out_scores import Judge, asked_clips, load_column, read_table
from experiments.restarted_answers import KINDS, Restarted, make_restarted
from models.base.cli import positive, run
from models.base.compute import resolve_device
from models.ensemble.bootstrap import divide, estimate
from models.errors import InputError
from models.localize.localization import localize
from models.localize.model import LoadedModel, Speak, load_model
from models.localize.result import Localization
from models.speech.audio import Waveform
from tools.phone_reader import load_reader

SHIPPED = "assets/encoders/phonetic-tiny"
SAID = 0.5


def localized(model: LoadedModel, clip: pd.Series, made: Restarted, speak: Speak) -> tuple[float, float, float, float]:
    """Probability; share of units said; whether the lowest place is one where something was added, and by chance."""
    found = localize(model, clip["expected_text"], clip["task"], clip["grade"], made.waveform, speak)
    units = np.array([unit.score for unit in found.expected_units])
    counts = np.zeros(2 * len(units) + 1, bool)
    counts[[len(units) + gap for gap in unit_gaps(found, made.gaps)]] = True
    lowest = int(np.argmin([*units, *found.gap_scores]))
    hit, chance = (float(counts[lowest]), float(counts.mean())) if counts.any() else (np.nan, np.nan)
    return found.probability, float((units >= SAID).mean()), hit, chance


def unit_gaps(found: Localization, gaps: Set[int]) -> set[int]:
    """Places between words as places between units, which are several words, or parts of a single one."""
    if found.unit != "word":
        return {gap * len(found.expected_units) for gap in gaps}
    words = np.cumsum([0, *(len(unit.text.split()) for unit in found.expected_units)]).tolist()
    return {words.index(gap) for gap in gaps if gap in words}


def measure(judges: Sequence[Judge], part: str, asked: pd.DataFrame, answers: Sequence[Restarted]) -> pd.DataFrame:
    """A row for each answer: the mean of the judges who may be asked about it."""
    device, scorer = resolve_device("auto"), judges[0].scorer

    @cache
    def speak(said: str) -> Waveform:
        return scorer.references([said])[said]

    models = [load_model(judge.scorer.published.members[0], device) for judge in judges]
    clips, rows = asked.set_index("filename", drop=False), []
    for made in tqdm(answers, "asking", unit=" answers", disable=None):
        clip = clips.loc[made.filename]
        may = [judge.answers_for(part, pd.Series([made.filename]))[0] for judge in judges]
        several = [localized(model, clip, made, speak) for model, own in zip(models, may, strict=True) if own]
        rows.append((made.filename, clip["speaker"], made.kind, *np.mean(several, axis=0)))
    return pd.DataFrame(
        rows, columns=["filename", "speaker", "kind", "probability", "words_said", "hit", "chance"]
    ).assign(called_right=lambda found: (found["probability"] >= SAID).astype(float))


def interval(rows: pd.DataFrame, column: str, percent: bool = True) -> str:
    """The mean and its interval; empty where the kind has none."""
    rows = rows[rows[column].notna()]
    if rows.empty:
        return ""
    values = rows[column].to_numpy(float)
    counts = draws_of(rows["speaker"].to_numpy(str))
    found = estimate(values.mean(), divide(values @ counts, counts.sum(axis=0, dtype=float)))
    form = ".0%" if percent else ".3f"
    return f"{found.value:{form}} [{found.low:{form}}, {found.high:{form}}]"


def report(found: pd.DataFrame) -> str:
    """Markdown: a row for each kind."""
    lines = [
        "| answer | last try | clips | called right | probability | words said | lowest where added | by chance |",
        "|---" * 8 + "|",
    ]
    for kind, last in KINDS.items():
        rows = found[found["kind"] == kind]
        chance = rows["chance"].mean()
        cells = [
            interval(rows, "called_right"),
            interval(rows, "probability", percent=False),
            interval(rows, "words_said"),
            interval(rows, "hit"),
            "" if np.isnan(chance) else f"{chance:.0%}",
        ]
        lines.append(f"| {kind} | {last} | {len(rows)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: python experiments/repetitions.py --data_dir KIDS 'children/assets/aligntiny_?.pth'",
    )
    parser.add_argument("checkpoints", help="of one model, as a pattern")
    parser.add_argument("--data_dir", type=Path, required=True, help="folder with {part}_{metadata,labels,source}.csv")
    parser.add_argument("--part", choices=("train", "test"), default="train", help="(default: %(default)s)")
    parser.add_argument("--clips", type=positive, help="make answers from so many clips only (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn (default: %(default)s)")
    options = parser.parse_args()
    judges = load_column(options.checkpoints, None)
    if len({judge.model for judge in judges}) > 1:
        raise InputError(f"{options.checkpoints}: holds several models; localisation asks one")
    asked = asked_clips({"model": judges}, read_table(options.data_dir, options.part), options.part)
    max_seconds = min(recipe.max_seconds for judge in judges for recipe in judge.scorer.recipes)
    made = make_restarted(load_reader(SHIPPED), asked, options.data_dir, max_seconds, options.seed, options.clips)
    answers = [one for several in made for one in several]
    print(report(measure(judges, options.part, asked, answers)))


if __name__ == "__main__":
    run(main)
