"""What the rule that self-corrections count accepts, and what it costs, by models that were not trained on these children.

Of right answers that are joined from a child's own clips (`restarted_answers.py`): the share in which a later attempt is found
by its pause, and the shares that are called right (a probability of at least 0.5) without the rule and with it. Of all clips as
they are: log loss and AUC without and with it. Intervals: 95 %, speakers drawn again.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from experiments.compare import draws_of, mean_loss
from experiments.held_out_scores import Judge, asked_clips, load_column, read_table, scores
from experiments.repetitions import SAID, SHIPPED, interval
from experiments.restarted_answers import KINDS, Restarted, make_rejoined, make_restarted
from models import Scorer
from models.base.cli import positive, run
from models.ensemble.bootstrap import Counts, estimate, weighted_auc
from models.speech.attempts import later_attempts
from models.speech.audio import Waveform, read_audio
from tools.phone_reader import load_reader

RULES = ("off", "on")
ROUNDING = 1e-5


def both_rules(
    judges: Sequence[Judge], asked: pd.DataFrame, recordings: Sequence[Waveform], part: str
) -> dict[str, np.ndarray]:
    """The scores of each recording, by rule; with the rule those alone are scored again that have a later attempt."""
    accepting = [
        replace(judge, scorer=Scorer(judge.scorer.published, accept_self_corrections=True)) for judge in judges
    ]
    off = scores(judges, asked, recordings, part)
    again = np.flatnonzero(begun_again(asked, recordings))
    on = off.copy()
    if len(again):
        on[again] = scores(accepting, asked.iloc[again], [recordings[place] for place in again], part)
    is_rounding = np.abs(on - off) < ROUNDING  # in another batch
    return dict(zip(RULES, (off, np.where(is_rounding, off, on)), strict=True))


def begun_again(asked: pd.DataFrame, recordings: Sequence[Waveform]) -> list[bool]:
    """Whether a later attempt is found."""
    return [bool(later_attempts(*pair)) for pair in zip(recordings, asked["expected_text"], strict=True)]


def measure(judges: Sequence[Judge], part: str, asked: pd.DataFrame, answers: Sequence[Restarted]) -> pd.DataFrame:
    """A row for each answer: its kind and speaker, whether an attempt is found, whether it is called right by each rule."""
    clips = asked.set_index("filename", drop=False).loc[[made.filename for made in answers]].reset_index(drop=True)
    waveforms = [np.ascontiguousarray(made.waveform) for made in answers]
    found = both_rules(judges, clips, waveforms, part)
    return clips[["speaker"]].assign(
        kind=[made.kind for made in answers],
        begun_again=begun_again(clips, waveforms),
        **{rule: (found[rule] >= SAID).astype(float) for rule in RULES},
    )


def accepted_table(found: pd.DataFrame) -> str:
    """Markdown: a row for each kind."""
    lines = ["| answer | last try | clips | attempt found | called right, rule off | … on |", "|---" * 6 + "|"]
    for kind, last in KINDS.items():
        rows = found[found["kind"] == kind]
        if len(rows):
            cells = [interval(rows, name) for name in RULES]
            again = f"{rows['begun_again'].mean():.0%}"
            lines.append(f"| {kind} | {last} | {len(rows)} | {again} | {' | '.join(cells)} |")
    return "\n".join(lines)


def cost_table(asked: pd.DataFrame, found: dict[str, np.ndarray]) -> str:
    """Markdown: a row for all clips and for each task."""
    lines = [
        "| | clips | begun again, of right ones | … of wrong ones | log loss, rule off | … on | difference "
        "| AUC, rule off | … on | difference |",
        "|---" * 10 + "|",
    ]
    tasks = asked["task"].to_numpy(str)
    for name in ("all", *sorted(set(tasks))):
        chosen = (tasks == name) | (name == "all")
        own = asked[chosen]
        labels, counts = own["score"].to_numpy(float), draws_of(own["speaker"].to_numpy(str))
        off, on = (found[rule][chosen] for rule in RULES)
        changed = [int(((off != on) & (labels == label)).sum()) for label in (1.0, 0.0)]
        cells = [*_figures(mean_loss, labels, off, on, counts), *_figures(weighted_auc, labels, off, on, counts)]
        told = " | ".join(map(str, [name.replace("_", " "), len(own), *changed, *cells]))
        lines.append(f"| {told} |")
    return "\n".join(lines)


def _figures(figure, labels: np.ndarray, off: np.ndarray, on: np.ndarray, counts: Counts) -> list[str]:  # type: ignore[no-untyped-def]
    """Off, on, and the difference with its interval."""
    once = np.ones((len(labels), 1), np.float32)
    values = [float(figure(labels, mine, once)[0]) for mine in (off, on)]
    draws = figure(labels, on, counts) - figure(labels, off, counts)
    found = estimate(values[1] - values[0], draws)
    return [*(f"{value:.4f}" for value in values), f"{found.value:+.4f} [{found.low:+.4f}, {found.high:+.4f}]"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: python experiments/self_corrections.py --data_dir KIDS 'children/assets/verifytiny_?.pth'",
    )
    parser.add_argument(
        "models", help="checkpoints as a pattern, a model_configs.pkl, or the folder of a published model"
    )
    parser.add_argument("--data_dir", type=Path, required=True, help="folder with {part}_{metadata,labels,source}.csv")
    parser.add_argument("--tts_dir", type=Path, help="folder with the references, where the models hear any")
    parser.add_argument("--part", choices=("train", "test"), default="train", help="(default: %(default)s)")
    parser.add_argument("--words", type=positive, default=300, help="join so many single words (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn (default: %(default)s)")
    options = parser.parse_args()
    judges = load_column(options.models, options.tts_dir)
    asked = asked_clips({"models": judges}, read_table(options.data_dir, options.part), options.part)
    max_seconds = min(recipe.max_seconds for judge in judges for recipe in judge.scorer.recipes)
    sentences = asked[asked["task"] == "sentence_repetition"]
    made = {
        "Sentences": list(
            make_restarted(load_reader(SHIPPED), sentences, options.data_dir, max_seconds, options.seed, None)
        ),
        "Single words": make_rejoined(asked, options.data_dir, options.seed, options.words),
    }
    for name, several in made.items():
        if several:
            answers = [one for each in several for one in each]
            print(f"{name}\n\n{accepted_table(measure(judges, options.part, asked, answers))}\n", flush=True)
    recordings = [read_audio(options.data_dir / name) for name in asked["filename"]]
    print(f"As they are\n\n{cost_table(asked, both_rules(judges, asked, recordings, options.part))}")


if __name__ == "__main__":
    run(main)
