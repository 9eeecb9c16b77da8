"""The options of speed.py."""

import argparse
from pathlib import Path

from benchmarks.material import MAX_SECONDS, SIZES
from benchmarks.setting import STEP_CLIPS
from models.base.cli import positive

PARTS = ("samples", "loader", "inference", "aligned", "training", "verifier", "weights", "checks")
# Those that decide what is measured.
DECIDING = ("clips", "seconds", "turns", "size", "threads", "processes", "device")


def parse_arguments(description: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", type=Path, help="take clips from this training set, references from --tts_dir")
    parser.add_argument("--tts_dir", type=Path, default=Path("tts_data"), help="(default: %(default)s)")
    parser.add_argument(
        "--clips", type=positive, default=16, help="for training a multiple of 16 (default: %(default)s)"
    )
    parser.add_argument(
        "--seconds",
        type=span,
        default=5.8,
        help="of made clips with their references, on average (default: %(default)s)",
    )
    parser.add_argument("--turns", type=positive, default=3, help="(default: %(default)s)")
    parser.add_argument("--size", choices=SIZES, default="tiny", help="of the networks (default: %(default)s)")
    parser.add_argument(
        "--encoder",
        help="weights of the networks, a Whisper with decoder and tokenizer: hub id or folder (default: random ones of --size)",
    )
    parser.add_argument("--threads", type=positive, default=1, help="of torch (default: %(default)s)")
    parser.add_argument("--processes", type=positive, default=2, help="that load (default: %(default)s)")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="measure these alone (default: all)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    parser.add_argument("--growth", action="store_true", help="measure too how cost grows")
    parser.add_argument("--shrink", type=positive, default=1, help="measure growth with so many times fewer clips")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write rows, date, commit, machine and versions")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--record", action="store_true", help="append the rows to the history")
    what.add_argument(
        "--check", action="store_true", help="compare with the history; ends with 1 where a row is slower"
    )
    options = parser.parse_args()
    if options.record and set(options.only) != set(PARTS):
        parser.error("--record takes all parts, without --only: the next run is compared with them")
    if "training" in options.only and options.clips % STEP_CLIPS:
        parser.error(f"--clips {options.clips}: training needs a multiple of {STEP_CLIPS}; or leave it out by --only")
    return options


def span(text: str) -> float:
    """Seconds of a clip with its reference."""
    value = float(text)
    if not 0.5 <= value <= MAX_SECONDS:
        raise argparse.ArgumentTypeError(f"{text} is not in [0.5, {MAX_SECONDS:g}]")
    return value
