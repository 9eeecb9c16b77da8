"""Which pauses are found: silences of known lengths, put into children's recordings where they are softest.

    python experiments/pauses.py speech/kids

Only the training clips of a folder of the competition's layout are read, whatever their labels; --clips of them are drawn, and
those of at least 2 s that are not noisy are used. A silence is the clip's own softest 0.15 s, over and over, forwards and back.
"""

import argparse
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from tqdm import tqdm

from models.base.cli import positive, run
from models.clips.tables import clip_paths, read_training_table
from models.speech.audio import read_audio
from models.speech.pauses import Seconds, find_sounds
from models.speech.samples import SAMPLE_RATE_HZ, Waveform
from models.speech.signal import HOP_SECONDS, frame_levels, measure_signal

LENGTHS = (0.2, 0.4, 0.6, 1.0)
_LEAST_SECONDS = 2.0
_EDGE_SECONDS = 0.3  # of the speech, in which nothing is put
_ROOM_FRAMES = 15


def softest(levels: np.ndarray, width: int) -> int:
    """The first of the `width` frames that are softest together."""
    return int(np.argmin(np.convolve(levels, np.ones(width) / width, "valid")))


def room(clip: Waveform, levels: np.ndarray, length: int) -> Waveform:
    start = round(softest(levels, _ROOM_FRAMES) * HOP_SECONDS * SAMPLE_RATE_HZ)
    piece = clip[start : start + round(_ROOM_FRAMES * HOP_SECONDS * SAMPLE_RATE_HZ)]
    both = np.concatenate([piece, piece[::-1]])
    return np.tile(both, length // len(both) + 1)[:length]


def gap_at(sounds: Sequence[Seconds], place: float) -> float | None:
    """The length of the pause around a place; None where there is none."""
    for before, after in pairwise(sounds):
        if before[1] <= place <= after[0]:
            return after[0] - before[1]
    return None


def measure(clip: Waveform) -> dict[float, float | None] | None:
    """By length, that of the pause that was found; None where the clip is not used."""
    sounds, signal = find_sounds(clip), measure_signal(clip)
    if len(clip) < _LEAST_SECONDS * SAMPLE_RATE_HZ or not sounds or signal.problems:
        return None
    levels = frame_levels(clip)
    first, last = (
        round(place / HOP_SECONDS) for place in (sounds[0][0] + _EDGE_SECONDS, sounds[-1][1] - _EDGE_SECONDS)
    )
    if last - first < _ROOM_FRAMES:
        return None
    cut = round((first + softest(levels[first:last], 5) + 2.5) * HOP_SECONDS * SAMPLE_RATE_HZ)
    found = {}
    for seconds in LENGTHS:
        silence = room(clip, levels, round(seconds * SAMPLE_RATE_HZ))
        longer = np.concatenate([clip[:cut], silence, clip[cut:]])
        found[seconds] = gap_at(find_sounds(longer), cut / SAMPLE_RATE_HZ + seconds / 2)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_dir", type=Path, help="folder of the competition's layout")
    parser.add_argument("--clips", type=positive, default=400, help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=11, help="(default: %(default)s)")
    arguments = parser.parse_args()
    names = read_training_table(arguments.data_dir)["filename"].tolist()
    drawn = np.random.default_rng(arguments.seed).permutation(names)[: arguments.clips]
    paths = clip_paths(arguments.data_dir, drawn.tolist())
    found = [each for path in tqdm(paths, disable=None) if (each := measure(read_audio(path))) is not None]
    print(
        f"{len(found)} of {len(paths)} clips\n\n| silence put in | found | longer than it by, median [5 %, 95 %] |\n|---|---|---|"
    )
    for seconds in LENGTHS:
        lengths = [each[seconds] for each in found]
        more = [length - seconds for length in lengths if length is not None]
        share = f"{len(more) / len(lengths):.1%}"
        low, middle, high = np.percentile(more, [5, 50, 95])
        print(f"| {seconds:g} s | {share} | {middle:.2f} s [{low:.2f}, {high:.2f}] |")


if __name__ == "__main__":
    run(main)
