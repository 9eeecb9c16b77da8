"""What a change of the recordings' level does to the scores, in float32: nothing is rounded or clipped."""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from models import Answer, Scorer
from models.clips.tables import read_test_table
from models.ensemble.metrics import clip_losses
from models.speech.audio import SAMPLE_RATE_HZ, Waveform, read_audio

CHANGES_DB = (-24, -12, -6, -3, 3, 6)
_FRAME = SAMPLE_RATE_HZ // 50


def speech_level(waveform: Waveform) -> float:
    """Root mean square of the frames that are at most 30 dB below the loudest."""
    power = (np.pad(waveform, (0, -len(waveform) % _FRAME)).reshape(-1, _FRAME) ** 2).mean(axis=1)
    return float(np.sqrt(power[power > power.max() * 1e-3].mean()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="of get_config.py")
    parser.add_argument("--data_dir", type=Path, default=Path("demo/data"), help="(default: %(default)s)")
    parser.add_argument("--tts_dir", type=Path, default=Path("demo/tts_data"), help="(default: %(default)s)")
    arguments = parser.parse_args()
    table = read_test_table(arguments.data_dir)
    labels = pd.read_csv(arguments.data_dir / "test_labels.csv").set_index("filename")["score"]
    right = labels.loc[table["filename"]].to_numpy(float)
    waveforms = [read_audio(arguments.data_dir / name) for name in table["filename"]]
    scorer = Scorer.from_config(arguments.config, arguments.tts_dir, device="cpu", precision="fp32")

    def score(factors: np.ndarray) -> np.ndarray:
        rows = zip(waveforms, factors, table["expected_text"], table["task"], table["grade"], strict=True)
        return scorer.score_batch([Answer(np.float32(factor) * one, *rest) for one, factor, *rest in rows])

    ones = np.ones(len(waveforms))
    levels = np.array([speech_level(one) for one in waveforms])
    before = score(ones)
    print(f"as recorded: log loss {clip_losses(right, before).mean():.4f}")
    ways = {f"{change:+} dB": 10 ** (change / 20) * ones for change in CHANGES_DB}
    for name, factors in {**ways, "all to the median level": np.median(levels) / levels}.items():
        after = score(factors)
        moved, loss = np.abs(after - before), clip_losses(right, after).mean()
        print(f"{name}: log loss {loss:.4f}, moved by {moved.mean():.4f} on average, by {moved.max():.3f} at most")


if __name__ == "__main__":
    main()
