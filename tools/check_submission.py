"""Try a submission.zip as the competition runs it: an ordinary user, no network, nothing writable but its own folder.

    python tools/check_submission.py submission.zip --data_dir data --python .venv-runtime/bin/python

It is unpacked into a fresh folder, data/ appears there read-only, and `python main.py` runs with the runtime's library versions
(`make runtime` makes the environment .venv-runtime). Checked: it ends well; submission.csv has every row in the order of
submission_format.csv; no packed file was changed and none but submission.csv and new references appeared; with --unseen, the
voice speaks texts whose references were taken away, with the same bytes; with --expected, the scores are those of another run.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from models.base.cli import non_negative, run
from models.base.files import sha256_of_file
from models.clips.tables import read_test_table, utterances
from models.errors import InputError
from models.inference.submission import check_submission
from models.speech.references import read_identity, reference_path
from tools.sandbox import NOBODY, Sandbox, can_isolate

MADE = ("submission.csv", "submission.csv.problems.csv")  # besides references


@dataclass(frozen=True)
class Trial:
    """minutes : of `python main.py`; made : files that appeared, by name; respoken : how many references were made again"""

    minutes: float
    made: list[str]
    respoken: int
    isolated: bool


def unpack(archive: Path, folder: Path) -> dict[str, str]:
    """Returns the checksum of each file."""
    with zipfile.ZipFile(archive) as content:
        content.extractall(folder)
    if os.geteuid() == 0:
        for path in [folder, *folder.rglob("*")]:
            os.chown(path, NOBODY, NOBODY)
    return checksums(folder)


def checksums(folder: Path) -> dict[str, str]:
    """Of every file but the data, by its name from the folder."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.relative_to(folder).parts[0] != "data"]
    return {path.relative_to(folder).as_posix(): sha256_of_file(path) for path in sorted(paths)}


def take_references(folder: Path, said: list[str], how_many: int) -> list[str]:
    """Delete so many of the references of these utterances; returns their names."""
    identity = read_identity(folder / "tts_data")
    paths = [reference_path(folder / "tts_data", identity, text) for text in dict.fromkeys(said)]
    taken = [path for path in paths if path.is_file()][:how_many]
    for path in taken:
        path.unlink()
    return [path.relative_to(folder).as_posix() for path in taken]


def run_main(
    folder: Path, data: Path, python: Path, arguments: list[str], isolate: bool, timeout_minutes: float
) -> float:
    """`python main.py`; returns how many minutes it took.

    raises : InputError where it fails, or where the sandbox leaks
    """
    sandbox, command = Sandbox(folder, data, python), [str(python), "main.py", *arguments]
    if isolate and (leaks := sandbox.leaks()):
        raise InputError(f"the sandbox does not hold: a command in it can write to or reach {leaks}")
    started = time.monotonic()
    if isolate:
        done = sandbox.run(command, timeout_minutes * 60)
    else:
        (folder / "data").symlink_to(data)
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False, timeout=timeout_minutes * 60
        )
    if done.returncode != 0:
        raise InputError(f"main.py ended with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return (time.monotonic() - started) / 60


def try_submission(
    archive: Path,
    data: Path,
    work: Path,
    python: Path,
    arguments: list[str],
    unseen: int = 0,
    isolate: bool = True,
    timeout_minutes: float = 600,
) -> Trial:
    """Unpack into `work`/code_execution, run, and check what was made.

    raises : InputError telling what is wrong
    """
    folder = work / "code_execution"
    packed = unpack(archive, folder)
    table = read_test_table(data)
    taken = take_references(folder, utterances(table), unseen)
    minutes = run_main(folder, data, python, arguments, isolate, timeout_minutes)
    check_submission(folder / "submission.csv", table["filename"].tolist())
    after = checksums(folder)
    changed = [
        name for name, checksum in packed.items() if after.get(name) != checksum and name != "tts_data/data_paths.csv"
    ]
    made = sorted(after.keys() - packed.keys())
    strange = [name for name in made if name not in MADE and not name.startswith("tts_data/")]
    if changed or strange:
        raise InputError(f"files of the submission were changed: {changed}, or others appeared: {strange}")
    return Trial(minutes, made, len(taken), isolate)


def compare(submission: Path, expected: Path, tolerance: float) -> float:
    """The largest difference between two submissions' scores."""
    found, wanted = (pd.read_csv(path, dtype={"filename": str}) for path in (submission, expected))
    if found["filename"].tolist() != wanted["filename"].tolist():
        raise InputError(f"{expected}: other rows than {submission}")
    largest = float(np.abs(found["score"] - wanted["score"]).max())
    if largest > tolerance:
        raise InputError(f"a score differs from {expected} by {largest:.2g}, more than {tolerance:g}")
    return largest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path, help="submission.zip")
    parser.add_argument(
        "--data_dir", type=Path, required=True, help="test_metadata.csv, submission_format.csv and the clips"
    )
    parser.add_argument(
        "--python", type=Path, default=Path(sys.executable), help="interpreter with the runtime's libraries"
    )
    parser.add_argument(
        "--unseen", type=non_negative, default=0, help="take away so many references, to be spoken again"
    )
    parser.add_argument("--expected", type=Path, help="a submission.csv of infer.py, to compare the scores with")
    parser.add_argument(
        "--tolerance", type=float, default=1e-4, help="largest difference allowed (default: %(default)s)"
    )
    parser.add_argument("--timeout_minutes", type=float, default=600, help="(default: %(default)s)")
    parser.add_argument(
        "--no_sandbox", action="store_true", help="only unpack and run, where namespaces are not permitted"
    )
    options, arguments = parser.parse_known_args()
    if not options.no_sandbox and not can_isolate():
        raise InputError(
            "this system does not permit namespaces (root on Linux can make them); give --no_sandbox to go without"
        )
    with tempfile.TemporaryDirectory(prefix="submission") as name:
        work = Path(name)
        work.chmod(0o755)
        data, python = options.data_dir.resolve(), options.python.absolute()
        trial = try_submission(
            options.archive, data, work, python, arguments,
            options.unseen, not options.no_sandbox, options.timeout_minutes,
        )  # fmt: skip
        folder = work / "code_execution"
        where = "as an ordinary user without network, all else read-only" if trial.isolated else "without a sandbox"
        print(f"passed: {trial.minutes:.1f} minutes {where}; made {', '.join(trial.made)}")
        print(f"{trial.respoken} references were spoken again, with the same bytes")
        if options.expected:
            largest = compare(folder / "submission.csv", options.expected, options.tolerance)
            print(f"largest difference to {options.expected}: {largest:.2g}")
        shutil.copy(folder / "submission.csv", options.archive.with_suffix(".csv"))


if __name__ == "__main__":
    run(main)
