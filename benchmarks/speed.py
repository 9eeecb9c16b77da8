"""How fast is every step, beside a plain implementation of the same? How does cost grow? Prints tables in Markdown.

Ours and the plain one (`benchmarks/plain.py`) take turns within one run; medians over the turns. Clips are noise in FLAC
with the lengths of children's sentences, or those of --data_dir. Weights are random, but for those of --encoder.

    python benchmarks/speed.py --record        # appends to benchmarks/history.json, and to the table in benchmarks/README.md
    python benchmarks/speed.py --check         # what is more than 15 % slower than the last entry? ends with 1 where anything is
"""

import argparse
import functools
import platform
import tempfile
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import date
from pathlib import Path

import torch

from benchmarks.aligned import time_aligned
from benchmarks.blending import time_checks, time_weights
from benchmarks.comparison import Measure, compare, last_of_kind, loads, measured_again, report
from benchmarks.growth import growth_table
from benchmarks.history import README, TOLERANCE, Entry, read_history, record, with_table, write_json
from benchmarks.inference import time_inference
from benchmarks.loading import time_loader, time_samples
from benchmarks.machine import Machine, commit, load, this_machine
from benchmarks.material import made_clips, read_clips
from benchmarks.options import DECIDING, PARTS, parse_arguments
from benchmarks.rows import HEAD, Row
from benchmarks.setting import Setting
from benchmarks.training import time_training
from benchmarks.verifier import time_verifier
from models.base.cli import run
from models.base.compute import resolve_device


def measurements(setting: Setting, folder: Path) -> dict[str, Callable[[], list[Row]]]:
    """What measures each part; files are written to `folder`."""
    steps = {
        "samples": time_samples, "loader": time_loader, "inference": time_inference, "aligned": time_aligned,
        "training": time_training, "weights": time_weights,
        "verifier": functools.partial(time_verifier, folder=folder / "whisper"),
        "checks": functools.partial(time_checks, folder=folder / "assets"),
    }  # fmt: skip
    return {part: functools.partial(steps[part], setting) for part in PARTS}


def measure(steps: dict[str, Callable[[], list[Row]]], parts: Collection[str]) -> list[Row]:
    """The rows of some parts, printed as they come."""
    print(HEAD)
    rows = []
    for part in (part for part in PARTS if part in parts):
        found = steps[part]()
        print("\n".join(row.text for row in found), flush=True)
        rows += found
    return rows


def make_setting(options: argparse.Namespace, device: torch.device, folder: Path) -> Setting:
    if options.data_dir is None:
        clips = made_clips(folder, options.clips, options.seconds)
    else:
        clips = read_clips(options.data_dir, options.tts_dir, folder, options.clips)
    return Setting(clips, options.size, options.turns, device, options.processes, options.encoder)


def heading(setting: Setting, machine: Machine) -> str:
    clips = setting.clips
    return (
        f"{len(clips.table)} clips of {clips.mean_seconds:.1f} s with their references; {machine}; {setting.device}, "
        f"threads of torch: {torch.get_num_threads()}; medians of {setting.turns} turns\n"
    )


def empty_entry(options: argparse.Namespace, device: torch.device) -> Entry:
    """All that is known before anything is measured."""
    settings = {name: getattr(options, name) for name in DECIDING} | {"device": device.type}
    settings["material"] = "noise" if options.data_dir is None else options.data_dir.resolve().name
    settings["weights"] = "random" if options.encoder is None else Path(options.encoder).name
    python = platform.python_version()
    return Entry(
        date.today().isoformat(), commit(), this_machine(device), python, torch.__version__, load(), settings, []
    )


def check(now: Entry, before: Entry, difference: str, measure_again: Measure) -> int:
    """Tell what has become slower or faster: 1 where anything is slower."""
    rows = measured_again(before.rows, now.rows, measure_again)
    print(f"\nCompared with {before.name}{difference and ', '}{difference}; {loads(before, now)}")
    print("\n".join(report(before.rows, rows) or [f"nothing is {TOLERANCE:.0%} slower or faster"]))
    return int(bool(compare(before.rows, rows).slower))


def main() -> int:
    options = parse_arguments(__doc__ or "")
    torch.set_num_threads(options.threads)
    device = resolve_device(options.device)
    entry, history, code = empty_entry(options, device), read_history(), 0
    before = last_of_kind(history, entry) if options.check else None
    if options.record:
        with_table(README, history)  # whether there is a place for it
    with tempfile.TemporaryDirectory() as name:
        setting = make_setting(options, device, Path(name))
        print(heading(setting, entry.machine))
        steps = measurements(setting, Path(name))
        entry = replace(entry, rows=measure(steps, options.only))
        if options.json:
            write_json(options.json, entry.to_dict())
        if before is not None:
            code = check(entry, *before, functools.partial(measure, steps))
    if options.record:
        record(entry)
    if options.growth:
        print("\n" + "\n".join(growth_table("nano", options.shrink)))
    return code


if __name__ == "__main__":
    run(main)
