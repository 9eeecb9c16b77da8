"""One measurement of inference: seconds for so many clips, of so many seconds, by so many models, and peak memory.

    python benchmarks/growth.py --clips 1000 --seconds 6 --models 1

`benchmarks/speed.py` runs this at several sizes, each in a process of its own, since memory never shrinks within one.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import pandas as pd
import torch

from benchmarks.material import SIZES, as_process, made_clips, member_of, recipe_of
from models.inference.scoring import score_clips

DISTINCT_CLIPS = 64  # files; their rows are repeated
STANDARD = {"clips": 1000, "seconds": 4.0, "models": 1}
GROWTH: dict[str, tuple[float, ...]] = {
    "clips": (2000, 4000, 8000, 16000),
    "seconds": (2, 4, 8, 15),
    "models": (1, 2, 4, 8),
}


def measure(n_clips: int, seconds: float, n_models: int, size: str) -> float:
    """Seconds from files to scores."""
    with tempfile.TemporaryDirectory() as folder:
        clips = made_clips(Path(folder), DISTINCT_CLIPS, seconds)
        table = pd.concat([clips.table] * -(-n_clips // DISTINCT_CLIPS), ignore_index=True)[:n_clips]
        members = [member_of(size, recipe_of(), seed) for seed in range(n_models)]
        started = time.perf_counter()
        score_clips(members, table, clips.data_dir, clips.references, torch.device("cpu"), "fp32", 0)
        return time.perf_counter() - started


def growth_table(size: str, shrink: int = 1) -> list[str]:
    """Lines of a Markdown table. shrink : divides all numbers of clips"""
    lines = ["| what grows | size | seconds | peak memory |", "|---|---|---|---|"]
    for what, values in GROWTH.items():
        for value in values:
            wanted = {**STANDARD, what: value}
            wanted["clips"] = int(wanted["clips"]) // shrink
            options = [text for name, number in wanted.items() for text in (f"--{name}", f"{number:g}")]
            printed, _, peak_gb = as_process(["benchmarks/growth.py", *options, "--size", size])
            lines.append(f"| {what} | {wanted[what]:g} | {json.loads(printed)['seconds']:.1f} s | {peak_gb:.2f} GB |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=STANDARD["clips"], help="(default: %(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=STANDARD["seconds"], help="response and reference (default: %(default)s)"
    )
    parser.add_argument("--models", type=int, default=STANDARD["models"], help="(default: %(default)s)")
    parser.add_argument("--size", choices=SIZES, default="nano", help="of the encoder (default: %(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(json.dumps({"seconds": measure(options.clips, options.seconds, options.models, options.size)}))


if __name__ == "__main__":
    main()
