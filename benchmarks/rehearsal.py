"""The whole chain on a large corpus at several sizes: does time grow with the clips, and memory not?

    python tools/make_spoken_corpus.py train_metadata.csv train_labels.csv rehearsal/data
    python benchmarks/rehearsal.py rehearsal --sizes 4762 9524 19048 38095

At each size: preprocess.py, two recipes × two folds on the encoder that the project ships, one epoch each, both folds of a
recipe side by side, check_models.py, get_config.py, and infer.py over all clips with all four checkpoints. Each size has a
folder of its own, in which the clips are hard links. A step that has been measured is not measured again.
"""

import argparse
import csv
import os
import resource
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import pandas as pd
import psutil

from models.base.cli import positive, run
from models.base.files import replace_when_done
from models.errors import InputError
from tools.chain import ROOT

TABLES = ("train_metadata.csv", "test_metadata.csv", "train_labels.csv", "train_source.csv", "submission_format.csv")
JOINT = "--joint matched --augment none --dropout 0.1 --learning_rate 3e-4"
FOLDS = "--n_folds 2 --group_by voice --groups data/train_source.csv --output_dir assets --epochs 1 --schedule_epochs 1"
ENCODER = f"--encoder {ROOT / 'assets' / 'encoders' / 'phonetic-tiny'}"
CHAIN = {  # the commands of a step run at the same time
    "preprocess.py": ["preprocess.py"],
    "train_aligntiny.py": [f"train_aligntiny.py --fold {fold} --learning_rate 1.5e-4 {FOLDS}" for fold in (0, 1)],
    "train_model3mcp.py": [f"train_model3mcp.py --fold {fold} {JOINT} {ENCODER} {FOLDS}" for fold in (0, 1)],
    "check_models.py": ["check_models.py"],
    "get_config.py": ["get_config.py"],
    "infer.py": ["infer.py"],
}
MAY_COMPLAIN = ("check_models.py",)  # of the weaker model
LOOK_SECONDS = 2.0  # between two looks at memory and disk


@dataclass
class Use:
    """What a step took: seconds, those of all cores, and at the most so many GB of memory and of disk beside the clips."""

    clips: int
    step: str
    seconds: float = 0.0
    core_seconds: float = 0.0
    memory_gb: float = 0.0
    disk_gb: float = 0.0


def core_seconds() -> float:
    """What all processes have computed that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def proportional_gb() -> float:
    """Memory of all processes that this one started, and they; pages that several share are counted once."""
    total = 0
    for one in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it has ended
            total += one.memory_full_info().pss
    return total / 2**30


def written_gb(folder: Path) -> float:
    """What lies in a folder, but for its `data`."""
    total = 0
    for path, folders, files in os.walk(folder):
        if Path(path) == folder:
            folders[:] = [name for name in folders if name != "data"]
        for name in files:
            with suppress(FileNotFoundError):
                total += os.stat(os.path.join(path, name)).st_size
    return total / 2**30


@contextmanager
def watched(folder: Path, use: Use) -> Iterator[None]:
    """Note the largest memory and disk in `use` meanwhile."""
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(LOOK_SECONDS):
            use.memory_gb = max(use.memory_gb, proportional_gb())
            use.disk_gb = max(use.disk_gb, written_gb(folder))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def measure(step: str, commands: Sequence[str], clips: int, folder: Path) -> Use:
    """Run scripts in `folder` at the same time, the cores shared out, their output going to `output.log` there."""
    use, started, before = Use(clips, step), time.perf_counter(), core_seconds()
    threads = max(1, (os.cpu_count() or 1) // len(commands))
    surroundings = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    with open(folder / "output.log", "ab") as log, watched(folder, use):
        scripts = [shlex.split(command) for command in commands]
        processes = [
            subprocess.Popen(
                [sys.executable, str(ROOT / script), *options], cwd=folder, env=surroundings, stdout=log, stderr=log
            )
            for script, *options in scripts
        ]
        codes = [process.wait() for process in processes]
    failures = [code for code in codes if code]
    if failures and step not in MAY_COMPLAIN:
        raise InputError(f"{step}: ended with {failures[0]}; {folder / 'output.log'} says why")
    use.seconds, use.core_seconds = time.perf_counter() - started, core_seconds() - before
    use.disk_gb = max(use.disk_gb, written_gb(folder))
    return use


def take_part(corpus: Path, clips: int, folder: Path) -> None:
    """The first `clips` rows of a corpus as a corpus of its own: its tables, and hard links to its audio."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = pd.read_csv(corpus / TABLES[0], dtype=str, keep_default_na=False)["filename"][:clips]
    for name in TABLES:
        table = pd.read_csv(corpus / name, dtype=str, keep_default_na=False)
        table[table["filename"].isin(set(wanted))].to_csv(folder / name, index=False)
    for name in wanted:
        with suppress(FileExistsError):
            os.link(corpus / name, folder / name)


def read_measured(file: Path) -> list[Use]:
    if not file.is_file():
        return []
    with open(file, newline="", encoding="utf-8") as stream:
        return [
            Use(int(row.pop("clips")), row.pop("step"), **{name: float(value) for name, value in row.items()})
            for row in csv.DictReader(stream)
        ]


def write_measured(file: Path, measured: Sequence[Use]) -> None:
    with replace_when_done(file) as temporary, open(temporary, "w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, [field.name for field in fields(Use)])
        writer.writeheader()
        writer.writerows(asdict(use) for use in measured)


def markdown(measured: Sequence[Use]) -> list[str]:
    """A table: a row for each step, a column for each size. Other jobs change the seconds, and less so those of all cores."""
    sizes = sorted({use.clips for use in measured})
    found = {(use.clips, use.step): use for use in measured}
    lines = [
        "| seconds (of all cores); peak memory, GB; disk, GB | " + " | ".join(f"{size:,}" for size in sizes) + " |"
    ]
    lines.append("|---" * (len(sizes) + 1) + "|")
    for step in CHAIN:
        cells = [found.get((size, step)) for size in sizes]
        shown = [
            f"{use.seconds:.0f} ({use.core_seconds:.0f}); {use.memory_gb:.2f}; {use.disk_gb:.2f}" if use else ""
            for use in cells
        ]
        lines.append(f"| {step} | {' | '.join(shown)} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="holds the corpus in its folder data/")
    parser.add_argument("--sizes", type=positive, nargs="+", required=True, help="numbers of clips")
    arguments = parser.parse_args()
    corpus, file = arguments.folder / "data", arguments.folder / "measured.csv"
    if not (corpus / TABLES[0]).is_file():
        raise InputError(f"{corpus / TABLES[0]}: missing; make the corpus: tools/make_spoken_corpus.py")
    measured = read_measured(file)
    for clips in arguments.sizes:
        folder = arguments.folder / f"clips_{clips}"
        take_part(corpus, clips, folder / "data")
        for step, commands in CHAIN.items():
            if any((use.clips, use.step) == (clips, step) for use in measured):
                continue
            measured.append(measure(step, commands, clips, folder))
            write_measured(file, measured)
            print(f"{clips} clips, {step}: {measured[-1].seconds:.0f} s", flush=True)
    print("\n".join(markdown(measured)))


if __name__ == "__main__":
    run(main)
