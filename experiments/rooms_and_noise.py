"""How well do models score worse recordings? Babble, classrooms, clipping, a telephone, MP3, other levels.

A column is a configuration, of which the weights count alone, or checkpoints, whose models count alike: two trainings stand side
by side. Training children are scored by the folds that held them out, and what babbles behind a child are other children whom
the same folds held out. Figures are AUC and log loss, the difference to the clips as they were recorded, and that of each
further column to the first; intervals: 95 %, speakers drawn again, together for a difference.
"""

import argparse
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from experiments.compare import cell, draws_of, mean_loss
from experiments.held_out_scores import asked_clips, load_column, read_table, scores
from experiments.worse_recordings import VOICES, WAYS, worsen
from models.base.cli import positive, run
from models.base.files import replace_when_done
from models.ensemble.bootstrap import Counts, estimate, weighted_auc
from models.ensemble.metrics import Values
from models.errors import InputError
from models.speech.audio import Waveform, read_audio

CLEAN = next(iter(WAYS))
Figure = Callable[[Values, Values, Counts], Values]


def others_of(clip: pd.Series, table: pd.DataFrame) -> list[str]:
    """The clips of other children, held out by the same folds, who did not say what this one was asked for."""
    chosen = (table["folds"] == clip["folds"]) & (table["speaker"] != clip["speaker"])
    found = table["filename"][chosen & (table["spoken_text"] != clip["expected_text"])].tolist()
    if len(found) < VOICES:
        raise InputError(f"{clip['filename']}: {len(found)} clips of other children, {VOICES} are needed for babble")
    return found


def worse_recordings(way: str, asked: pd.DataFrame, table: pd.DataFrame, data_dir: Path, seed: int) -> list[Waveform]:
    """Draws depend on the seed and the clip alone: the same children babble, in the same room, at each level."""
    found = []
    for _, clip in tqdm(asked.iterrows(), way, len(asked), unit=" clips", disable=None):
        rng = np.random.default_rng([seed, zlib.crc32(clip["filename"].encode())])
        names = rng.choice(others_of(clip, table), VOICES, replace=False) if way.startswith("babble") else ()
        others = [read_audio(data_dir / name) for name in names]
        found.append(worsen(way, read_audio(data_dir / clip["filename"]), rng, others))
    return found


def report(figure: Figure, found: pd.DataFrame) -> str:
    """Markdown: a row for each way, for each column the figure and how it differs.

    Parameters
    ----------
    found
        filename, speaker, score (1: right), and for each (column, way) its scores.
    """
    right, counts = found["score"].to_numpy(float), draws_of(found["speaker"].to_numpy(str))
    once = np.ones((len(found), 1), np.float32)
    pairs = [name for name in found.columns if isinstance(name, tuple)]
    drawn = {
        pair: (float(figure(right, own, once)[0]), figure(right, own, counts))
        for pair in pairs
        for own in [found[pair].to_numpy(float)]
    }
    columns, ways = (list(dict.fromkeys(names)) for names in zip(*pairs, strict=True))
    first = columns[0]
    header = [part for name in columns for part in (name, "to as recorded", *[f"to {first}"] * (name != first))]
    lines = [f"| {len(found)} clips | {' | '.join(header)} |", "|---" * (1 + len(header)) + "|"]
    for way in ways:
        cells = []
        for name in columns:
            cells += [cell(*drawn[name, way]), "" if way == CLEAN else difference(drawn[name, way], drawn[name, CLEAN])]
            cells += [difference(drawn[name, way], drawn[first, way])] if name != first else []
        lines.append(f"| {way} | {' | '.join(cells)} |")
    return "\n".join(lines)


def difference(one: tuple[float, Values], other: tuple[float, Values]) -> str:
    found = estimate(one[0] - other[0], one[1] - other[1])
    return f"{found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"


def named_pattern(text: str) -> tuple[str, str]:
    name, separator, pattern = text.partition("=")
    if not separator or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=FILES")
    return name, pattern


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: python experiments/rooms_and_noise.py --data_dir KIDS 'before=assets/aligntiny_?.pth' after=rooms.pkl",
    )
    parser.add_argument(
        "columns",
        nargs="+",
        type=named_pattern,
        metavar="NAME=FILES",
        help="a configuration of get_config.py, or checkpoints as a pattern",
    )
    parser.add_argument("--data_dir", type=Path, required=True, help="folder with {part}_{metadata,labels,source}.csv")
    parser.add_argument("--part", choices=("train", "test"), default="train", help="(default: %(default)s)")
    parser.add_argument("--tts_dir", type=Path, help="of preprocess.py; references that are not there are spoken")
    parser.add_argument("--clips", type=positive, help="only so many, drawn at random (default: all)")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), metavar="WAY", help=f"(default: {'; '.join(WAYS)})")
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn (default: %(default)s)")
    parser.add_argument("--output", type=Path, help="also write the score of each clip, as CSV")
    options = parser.parse_args()
    columns = {name: load_column(pattern, options.tts_dir) for name, pattern in options.columns}
    table = asked_clips(columns, read_table(options.data_dir, options.part), options.part)
    asked = table if options.clips is None else table.sample(min(options.clips, len(table)), random_state=options.seed)
    found = asked[["filename", "speaker", "score"]].reset_index(drop=True)
    for way in dict.fromkeys([CLEAN, *(options.ways or WAYS)]):
        recordings = worse_recordings(way, asked, table, options.data_dir, options.seed)
        for name, judges in columns.items():
            found[name, way] = scores(judges, asked, recordings, options.part)
    print(f"AUC\n\n{report(weighted_auc, found)}\n\nLog loss\n\n{report(mean_loss, found)}")
    if options.output is not None:
        with replace_when_done(options.output) as temporary:
            found.to_csv(temporary, index=False)


if __name__ == "__main__":
    run(main)
