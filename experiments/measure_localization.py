"""How often does localization point at the word that was changed? Near misses of children's speech, whose change is known.

The expected text of a near miss differs from the spoken one by one word: substituted, inserted (then it is missing in the
response), deleted (then the response has one that is not in the text), or swapped with its neighbour (either counts). In a folder
of single words it is one phone; words that may be said in several ways, or whose phones in espeak-ng's dictionary differ by more,
are left out. "units": the lowest score among the expected words, or phones; "gaps": among the places between, before and after
them; "places": among all of both. Chance is the mean share of places that count. The baseline is a forced alignment of the
expected phones by the phone classifier of the shipped encoder alone, with the mean shortfall per frame as a unit's goodness of
pronunciation (Witt and Young 2000), and a pause's summed shortfall as a gap's.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from experiments.known_edits import KINDS, PHONE_KINDS, Change, find_change
from experiments.trained_folds import load_folds, load_one, speak_as
from models.base.cli import positive, run
from models.clips.tables import read_metadata
from models.ensemble.bootstrap import divide, draw_counts, estimate
from models.localize.accepted import pronounce_as_heard
from models.localize.edits import join
from models.localize.localization import localize
from models.localize.methods import METHODS
from models.localize.model import LoadedModel
from models.localize.units import read_accepted
from models.network.aligned import AlignedNetwork
from models.network.phone_fit import align_phones
from models.network.phones import PAUSE
from models.network.pretrained import pretrained_network
from models.recipe import Recipe
from models.speech.audio import Waveform, read_audio
from models.speech.pronunciation import accepted_utterances

SHIPPED = "assets/encoders/phonetic-tiny"
MAX_SECONDS = 12.0
RESAMPLES = 2000
AMONG = ("units", "gaps", "places")

Scores = tuple[np.ndarray, np.ndarray]  # of the expected words, and of the gaps; low is bad
Judge = Callable[[Any, Waveform], Scores]


def near_misses(data_dir: Path, part: str) -> pd.DataFrame:
    """Rows of the part's metadata and source, with the change of each."""
    source = pd.read_csv(data_dir / f"{part}_source.csv", dtype=str)
    table = read_metadata(data_dir / f"{part}_metadata.csv").merge(source, on="filename", validate="one_to_one")
    table = table[table["kind"].isin((*KINDS, *PHONE_KINDS))]
    table = table.assign(change=[change_of(row) for row in table.itertuples()])
    known = table[table["change"].notna()]
    if len(known) < len(table):
        print(f"{len(table) - len(known)} of {len(table)} near misses are left out: their change can't be told")
    return known


def change_of(clip: Any) -> Change | None:
    """Of a sentence in words; of a single word in phones, where it has one way to be said."""
    if clip.kind in KINDS:
        return find_change(clip.expected_text.split(), clip.spoken_text.split(), clip.kind)
    expected, spoken = (
        read_accepted(accepted_utterances(clip.task, text)) for text in (clip.expected_text, clip.spoken_text)
    )
    if len(expected) != 1 or " " in clip.expected_text:
        return None
    found = (find_change(expected[0][0], join(reading), PHONE_KINDS[clip.kind]) for reading in spoken)
    return next((change for change in found if change is not None), None)


def judge_by(models: Callable[[str], LoadedModel], method: str, speak: Callable[[str], Waveform]) -> Judge:
    def judge(clip: Any, response: Waveform) -> Scores:
        found = localize(models(clip.filename), clip.expected_text, clip.task, clip.grade, response, speak, method)
        return np.array([unit.score for unit in found.expected_units]), np.array(found.gap_scores)

    return judge


def baseline() -> Judge:
    recipe = Recipe(name="reader", encoder=SHIPPED, pooling="alignment", seed=0, data_seed=0, max_seconds=MAX_SECONDS)
    network = pretrained_network(recipe).eval()
    assert isinstance(network, AlignedNetwork)
    model = LoadedModel("the shipped encoder", network, recipe, torch.device("cpu"))

    @torch.inference_mode()
    def judge(clip: Any, response: Waveform) -> Scores:
        spectrum = model.spectrum(response)
        heard = network.encode(spectrum[None], torch.tensor([spectrum.shape[1]]))
        log_probabilities = heard.phone_logits[0].log_softmax(-1)
        accepted = accepted_utterances(clip.task, clip.expected_text)
        found = pronounce_as_heard(clip.expected_text, accepted, log_probabilities)
        assert found is not None
        return goodness(log_probabilities, found.phones)

    return judge


def goodness(log_probabilities: torch.Tensor, units: Sequence[Sequence[int]]) -> Scores:
    """Less the shortfall of the forced alignment: the mean over a unit's frames, the sum over a gap's."""
    phones = torch.tensor([join(units)])
    owner = np.repeat(np.arange(len(units)), [len(unit) for unit in units])
    lengths = torch.tensor([len(log_probabilities)])
    path = align_phones(log_probabilities[None], lengths, phones, torch.tensor([phones.shape[1]]))[0]
    lost, frames, gaps = np.zeros(len(units)), np.zeros(len(units)), np.zeros(len(units) + 1)
    if (path < 0).any():
        return lost, gaps
    shortfall = (log_probabilities.amax(1) - log_probabilities.gather(1, path[:, None])[:, 0]).numpy()
    phone, before = -1, PAUSE
    for index, at in enumerate(path.tolist()):
        phone += at not in (PAUSE, before)
        before = at
        inside = at != PAUSE or (0 <= phone < len(owner) - 1 and owner[phone] == owner[phone + 1])
        if inside:
            lost[owner[phone]] += shortfall[index]
            frames[owner[phone]] += 1
        else:
            gaps[0 if phone < 0 else owner[phone] + 1] += shortfall[index]
    return -lost / frames.clip(min=1), -gaps


def hits(scores: Scores, change: Change) -> dict[str, tuple[float, float]]:
    """Whether the lowest is one that counts, and how likely chance would find it; by what it is sought among."""
    counts = np.zeros(len(scores[0]), bool), np.zeros(len(scores[1]), bool)
    counts[0][list(change.units)] = True
    counts[1][list(change.gaps)] = True
    sought = {"units": (scores[0], counts[0]), "gaps": (scores[1], counts[1])}
    sought = {name: pair for name, pair in sought.items() if pair[1].any()}
    sought["places"] = (np.concatenate(scores), np.concatenate(counts))
    return {
        name: (float(right[int(np.argmin(values))]), float(right.mean())) for name, (values, right) in sought.items()
    }


def measure(
    judges: dict[str, list[Judge]], table: pd.DataFrame, data_dir: Path
) -> tuple[pd.DataFrame, dict[str, float]]:
    """A row for each clip, judge and what is sought among, and the milliseconds that each judge takes for a clip."""
    rows, seconds = [], dict.fromkeys(judges, 0.0)
    for clip in tqdm(table.itertuples(), "measuring", len(table), unit=" clips", disable=None):
        response = read_audio(data_dir / clip.filename, MAX_SECONDS)
        for name, several in judges.items():
            for judge in several:
                start = time.perf_counter()
                scores = judge(clip, response)
                seconds[name] += time.perf_counter() - start
                for among, (hit, chance) in hits(scores, clip.change).items():
                    rows.append((name, clip.kind, among, clip.speaker, clip.filename, hit, chance))
    frame = pd.DataFrame(rows, columns=["judge", "kind", "among", "speaker", "filename", "hit", "chance"])
    return frame, {name: 1000 * seconds[name] / len(table) / len(several) for name, several in judges.items()}


def interval(rows: pd.DataFrame) -> str:
    """Mean and 95 % bootstrap interval over speakers."""
    counts = draw_counts(np.unique(rows["speaker"], return_inverse=True)[1], RESAMPLES)
    hits = rows["hit"].to_numpy(float)
    found = estimate(hits.mean(), divide(hits @ counts, counts.sum(axis=0, dtype=float)))
    return f"{found.value:.0%} [{found.low:.0%}, {found.high:.0%}]"


def report(frame: pd.DataFrame, names: Sequence[str]) -> str:
    """A Markdown table by kind and by what the lowest score is sought among."""
    lines = [f"| changed | sought among | clips | chance | {' | '.join(names)} |", "|" + "---|" * (4 + len(names))]
    for kind in (*(kind for kind in (*KINDS, *PHONE_KINDS) if kind in set(frame["kind"])), "all"):
        of_kind = frame if kind == "all" else frame[frame["kind"] == kind]
        for among in AMONG if kind != "all" else ("places",):
            rows = of_kind[of_kind["among"] == among]
            if rows.empty:
                continue
            cells = [interval(rows[rows["judge"] == name]) for name in names]
            clips, chance = rows["filename"].nunique(), f"{rows['chance'].mean():.0%}"
            lines.append(f"| {kind} | {among} | {clips} | {chance} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: python experiments/measure_localization.py children/assets/aligntiny_?.pth --data_dir speech/kids",
    )
    parser.add_argument(
        "checkpoints",
        type=Path,
        nargs="+",
        help="of one model, or a published folder: each measured, and the mean taken",
    )
    parser.add_argument("--data_dir", type=Path, required=True, help="children's speech, with *_source.csv")
    parser.add_argument(
        "--part",
        choices=("train", "test"),
        default="test",
        help="train: each clip by the fold that held it out, for tuning (default: %(default)s)",
    )
    parser.add_argument("--methods", nargs="+", choices=METHODS[1:], default=["alignment"])
    parser.add_argument("--clips", type=positive, help="only so many, drawn at random (default: all)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    table = near_misses(options.data_dir, options.part)
    if options.clips is not None and options.clips < len(table):
        table = table.sample(options.clips, random_state=0)
    speak = speak_as(options.checkpoints[0])
    if options.part == "train":
        folds = load_folds(options.checkpoints)
        table, choices = table[table["filename"].isin(folds)], [folds.__getitem__]
    else:
        loaded = [load_one(path) for path in options.checkpoints]
        choices = [lambda _, model=model: model for model in loaded]
    judges = {"forced alignment": [baseline()]}
    judges |= {method: [judge_by(choice, method, speak) for choice in choices] for method in options.methods}
    frame, milliseconds = measure(judges, table, options.data_dir)
    print(report(frame, list(judges)))
    print("\nms per clip: " + ", ".join(f"{name} {value:.0f}" for name, value in milliseconds.items()))


if __name__ == "__main__":
    run(main)
