"""What the signal gate notices: recordings of children made worse by known amounts, and those that are as they were.

    python experiments/signal_gate.py speech/kids

Only the training clips of a folder of the competition's layout are read, whatever their labels; --clips of them are drawn. A row
of the table is one thing that was done to all of them, and its columns are the shares that each problem was told of. The first
row, the clips as they are, tells how many are blamed for nothing. Who speaks is in train_source.csv.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly
from tqdm import tqdm

from experiments.other_voices import Change, OtherVoices
from models.base.cli import positive, run
from models.clips.rooms import Reverberation
from models.clips.tables import clip_paths, read_groups, read_training_table
from models.speech.audio import read_audio
from models.speech.samples import SAMPLE_RATE_HZ, Waveform
from models.speech.signal import PROBLEMS, measure_signal

_UP = 3  # to 48 kHz, where a recorder meets its limit


def softer(db: float) -> Change:
    """In 16-bit steps, as a file has them."""
    return lambda clip, rng: (np.round(clip * 10 ** (-db / 20) * 32768) / 32768).astype(np.float32)


def limited(share: float, up: int) -> Change:
    """At a level that this share of the samples exceeds, at `up` times the rate."""

    def change(clip: Waveform, rng: np.random.Generator) -> Waveform:
        fine = resample_poly(clip, up, 1)
        limit = np.quantile(np.abs(fine), 1 - share)
        return resample_poly(np.clip(fine, -limit, limit), 1, up).astype(np.float32)

    return change


def noisy(snr_db: float, make: Callable[[int, np.random.Generator], Waveform]) -> Change:
    def change(clip: Waveform, rng: np.random.Generator) -> Waveform:
        noise = make(len(clip), rng)
        wanted = 10 ** ((measure_signal(clip).level_db - snr_db) / 20)
        return (clip + wanted * noise / noise.std()).astype(np.float32)

    return change


def white(length: int, rng: np.random.Generator) -> Waveform:
    return rng.standard_normal(length).astype(np.float32)


def pink(length: int, rng: np.random.Generator) -> Waveform:
    spectrum = np.fft.rfft(rng.standard_normal(length))
    return np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(len(spectrum)), 1)), length).astype(np.float32)


def babble(clips: list[Waveform]) -> Callable[[int, np.random.Generator], Waveform]:
    """Eight other clips, each from anywhere in it on."""

    def make(length: int, rng: np.random.Generator) -> Waveform:
        drawn = [clips[place] for place in rng.integers(0, len(clips), 8)]
        return sum(np.resize(np.roll(clip, rng.integers(len(clip))), length) / clip.std() for clip in drawn)

    return make


def in_a_room(clip: Waveform, rng: np.random.Generator) -> Waveform:
    return Reverberation()(clip, lambda rng: clip, rng)


def cut(milliseconds: int, at_end: bool) -> Change:
    """So much of the speech is lost: what lies within 20 dB of the loudest."""

    def change(clip: Waveform, rng: np.random.Generator) -> Waveform:
        turned = clip[::-1] if at_end else clip
        steps = turned[: len(turned) // 160 * 160].reshape(-1, 160)
        levels = 10 * np.log10((steps**2).mean(axis=1) + 1e-10)
        begun = int(np.argmax(levels > np.percentile(levels, 95) - 20)) * 160 + milliseconds * SAMPLE_RATE_HZ // 1000
        return np.ascontiguousarray(turned[begun:][::-1] if at_end else turned[begun:])

    return change


def pause(clip: Waveform, rng: np.random.Generator) -> Waveform:
    """What was recorded before the answer, over and over, as loud as speech."""
    levels = np.abs(clip[: len(clip) // 160 * 160].reshape(-1, 160)).max(axis=1)
    before = clip[: max(800, int(np.argmax(levels > 0.05 * levels.max())) * 160 - 1600)]
    repeated = np.resize(before, 2 * SAMPLE_RATE_HZ)
    return (0.05 * repeated / (repeated.std() + 1e-9)).astype(np.float32)


def instead(make: Callable[[int, np.random.Generator], Waveform]) -> Change:
    return lambda clip, rng: (0.05 * (noise := make(2 * SAMPLE_RATE_HZ, rng)) / noise.std()).astype(np.float32)


def hum(length: int, rng: np.random.Generator) -> Waveform:
    times = np.arange(length) / SAMPLE_RATE_HZ
    waves = (np.sin(2 * np.pi * 50 * n * times + rng.uniform(0, 6)) / n for n in range(1, 8))
    return (sum(waves) + 0.02 * white(length, rng)).astype(np.float32)


def changes(clips: list[Waveform], speakers: Sequence[str]) -> Iterator[tuple[str, Change]]:
    yield "as they are", lambda clip, rng: clip
    for db in (6, 12, 18, 24, 30):
        yield f"{db} dB softer", softer(db)
    for up in (1, _UP):
        for share in (0.001, 0.003, 0.01, 0.03, 0.1):
            yield f"{share:.1%} of samples cut off at {16 * up} kHz", limited(share, up)
    for name, make in (("white", white), ("pink", pink), ("eight voices", babble(clips))):
        for snr_db in (20, 15, 10, 5, 0):
            yield f"{name}, {snr_db} dB below the speech", noisy(snr_db, make)
    voices = OtherVoices(clips, speakers)
    for db in (0, 5, 10):
        yield f"another child all the time, {db} dB softer", voices.behind(db)
    for db in (0, 5, 10):
        yield f"another child once, {db} dB softer", voices.into(db)
    yield "another child afterwards", voices.after(0, same=False)
    yield "the same child afterwards", voices.after(0, same=True)
    yield "in a reverberant room", in_a_room
    for at_end in (False, True):
        for milliseconds in (50, 100, 200):
            yield f"{milliseconds} ms lost at the {'end' if at_end else 'start'}", cut(milliseconds, at_end)
    for name, make in (("white noise", white), ("pink noise", pink), ("hum", hum)):
        yield f"{name} alone", instead(make)
    yield "the pause before the answer alone", pause


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_dir", type=Path, help="a folder of the competition's layout")
    parser.add_argument(
        "--clips", type=positive, default=400, help="drawn from the training clips (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the draws (default: %(default)s)")
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    table = read_training_table(arguments.data_dir)
    table = table.sample(min(arguments.clips, len(table)), random_state=arguments.seed)
    clips = [
        read_audio(path) for path in tqdm(clip_paths(arguments.data_dir, table["filename"]), "reading", disable=None)
    ]
    speakers = read_groups(arguments.data_dir / "train_source.csv", "speaker", table["filename"])
    print(f"| {len(clips)} clips | {' | '.join(PROBLEMS)} |\n|---|{'---|' * len(PROBLEMS)}")
    for name, change in changes(clips, speakers):
        rng = np.random.default_rng(arguments.seed)
        told = [measure_signal(change(clip, rng)).problems for clip in clips]
        shares = [np.mean([problem in each for each in told]) for problem in PROBLEMS]
        print(f"| {name} | {' | '.join(f'{share:.1%}' if share else '' for share in shares)} |", flush=True)


if __name__ == "__main__":
    run(main)
