"""Whether another child who speaks before or after the answer could be told by pitch or spectrum: two simple measures, tried.

    python experiments/voices_in_turn.py speech/kids

At each pause of 0.15 s and more the speech before it is compared with that after it; the greatest difference counts. Only
training clips are read, whatever their labels. A threshold is what 1 % of the clips as they are exceed. How many do so to which
another child's clip was added, and to which the same child's was (the clip itself, where no other one of the child is drawn)?
"""

import argparse
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy.fft import dct

from experiments.other_voices import OtherVoices
from models.base.cli import positive, run
from models.clips.tables import clip_paths, read_groups, read_training_table
from models.speech import pitches
from models.speech.audio import read_audio
from models.speech.samples import SAMPLE_RATE_HZ, Waveform

_PAUSE, _LEAST = 0.15, 0.2  # seconds: of a pause, and of speech on each side of it
_BANDS, _COEFFICIENTS = 24, 13
MEASURES = ("difference of median pitch, octaves", "distance of mean cepstra")


def measure(waveform: Waveform) -> tuple[float, float]:
    """The greatest of each over the pauses; 0 where there is none."""
    padded = np.pad(waveform.astype(float), (pitches.HISTORY, pitches.FRAME))
    frames = np.lib.stride_tricks.sliding_window_view(padded, pitches.HISTORY + pitches.FRAME)[:: pitches.HOP]
    levels = 10 * np.log10((frames[:, pitches.HISTORY :] ** 2).mean(axis=1) + 1e-10)
    loud = np.flatnonzero(levels > np.percentile(levels, 95) - 20)
    repeats, cepstra = pitches.repetition(frames), _cepstra(frames[:, pitches.HISTORY :])
    octaves = np.where(pitches.is_voiced(repeats), -np.log2(pitches.PERIODS[repeats.argmax(axis=1)]), np.nan)
    found = [(_pitch_step(octaves[a], octaves[b]), _distance(cepstra[a], cepstra[b])) for a, b in _sides(loud)]
    return tuple(np.max([(0.0, 0.0), *found], axis=0).tolist())  # type: ignore[return-value]


def _sides(loud: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    hop_seconds = pitches.HOP / SAMPLE_RATE_HZ
    for before, after in pairwise(loud.tolist()):
        sides = loud[loud <= before], loud[loud >= after]
        if (after - before) * hop_seconds >= _PAUSE and min(map(len, sides)) * hop_seconds >= _LEAST:
            yield sides


def _cepstra(frames: np.ndarray) -> np.ndarray:
    import librosa

    bands = librosa.filters.mel(sr=SAMPLE_RATE_HZ, n_fft=1024, n_mels=_BANDS, fmin=100)
    powers = np.abs(np.fft.rfft(frames * np.hanning(pitches.FRAME), 1024)) ** 2
    return np.asarray(dct(np.log10(powers @ bands.T + 1e-8), axis=1, norm="ortho")[:, 1 : _COEFFICIENTS + 1])


def _pitch_step(one: np.ndarray, other: np.ndarray) -> float:
    enough = min(np.isfinite(one).sum(), np.isfinite(other).sum()) >= 5
    return abs(float(np.nanmedian(one) - np.nanmedian(other))) if enough else 0.0


def _distance(one: np.ndarray, other: np.ndarray) -> float:
    """Of the means, beside what chance would make of so few frames."""
    spread = np.sqrt(one.var(axis=0) / len(one) + other.var(axis=0) / len(other))
    return float(np.abs((one.mean(axis=0) - other.mean(axis=0)) / (spread + 1e-6)).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_dir", type=Path, help="a folder of the competition's layout, with train_source.csv")
    parser.add_argument("--clips", type=positive, default=300, help="of the training clips (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the draws (default: %(default)s)")
    options = parser.parse_args()
    table = read_training_table(options.data_dir)
    table = table.sample(min(options.clips, len(table)), random_state=options.seed)
    clips = [read_audio(path) for path in clip_paths(options.data_dir, table["filename"])]
    speakers: Sequence[str] = read_groups(options.data_dir / "train_source.csv", "speaker", table["filename"])
    voices, rng = OtherVoices(clips, speakers), np.random.default_rng(options.seed)
    alone = np.array([measure(clip) for clip in clips])
    thresholds = np.quantile(alone, 0.99, axis=0)
    for name, change in (
        ("another child's clip after it", voices.after(0, same=False)),
        ("the same child's clip after it", voices.after(0, same=True)),
    ):
        shares = (np.array([measure(change(clip, rng)) for clip in clips]) > thresholds).mean(axis=0)
        print(f"{name}: {', '.join(f'{what} {share:.1%}' for what, share in zip(MEASURES, shares, strict=True))}")


if __name__ == "__main__":
    run(main)
