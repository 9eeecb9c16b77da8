"""Kill every script at random moments, again and again: is the result that of an undisturbed run, and is no finished work redone?

    python tools/kill_runs.py --kills 40

Each of preprocess.py, train.py, a fold on two processes of torchrun, get_config.py and infer.py is started on a small synthetic
corpus and killed (SIGKILL, with all its processes) after a random part of the time that it needs, until it has had its share of
the kills; then it may end.
All that it made must be the same, byte for byte, as in a folder where nothing was killed.
"""

import argparse
import hashlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from tools.chain import ROOT

FOLDS = "--encoder encoder --n_folds 2 --epochs 3 --batch_size 4 --max_seconds 8 --max_tries 1"


TORCHRUN = "-m torch.distributed.run --standalone --nproc_per_node 2".split()


@dataclass(frozen=True)
class Step:
    """A script, what it makes, what of that is never made twice, and its share of the kills."""

    command: str
    makes: tuple[str, ...]
    once: tuple[str, ...]
    share: float


STEPS = (
    Step("preprocess.py --jobs 2", ("tts_data/*.wav", "tts_data/*.csv", "tts_data/*.json"), ("tts_data/*.wav",), 0.2),
    Step(f"train.py --models model2s aligntiny {FOLDS} --output_dir assets", ("assets/*.pth",), ("assets/*.pth",), 0.3),
    Step(
        f"torchrun train_model2s.py --fold 0 {FOLDS} --output_dir several", ("several/*.pth",), ("several/*.pth",), 0.2
    ),
    Step("get_config.py", ("model_configs.pkl",), (), 0.1),
    Step("infer.py --num_workers 1", ("submission.csv",), (), 0.2),
)


def start(command: str, folder: Path) -> subprocess.Popen[bytes]:
    script, *arguments = command.split()
    launcher: list[str] = []
    if script == "torchrun":
        launcher, (script, *arguments) = TORCHRUN, arguments
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with open(folder / "output.log", "ab") as log:
        return subprocess.Popen(
            [sys.executable, *launcher, str(ROOT / script), *arguments],
            cwd=folder, env=environment, stdout=log, stderr=log,
        )  # fmt: skip


def finish(command: str, folder: Path) -> float:
    """Run undisturbed; returns the seconds that it took."""
    started = time.monotonic()
    if start(command, folder).wait():
        sys.exit(f"{command} failed in {folder}:\n{(folder / 'output.log').read_text()[-2000:]}")
    return time.monotonic() - started


def checksums(folder: Path, patterns: tuple[str, ...]) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for pattern in patterns
        for path in folder.glob(pattern)
    }


def times(folder: Path, patterns: tuple[str, ...]) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for pattern in patterns for path in folder.glob(pattern)}


def kill_after(seconds: float, process: subprocess.Popen[bytes]) -> bool:
    """Whether it was still running then."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        kill_all(psutil.Process(process.pid))
        process.wait()
        return True
    return False


def kill_all(process: psutil.Process) -> None:
    """A process and all that it started. It is stopped first: what it started meanwhile would be missed."""
    process.suspend()
    started = process.children(recursive=True)
    process.kill()
    for one in started:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    psutil.wait_procs(started)


def disturb(step: Step, folder: Path, seconds: float, kills: int, rng: random.Random) -> int:
    """Kill a step so many times, then let it end. Where it ends before, it begins from nothing. Returns what was redone."""
    killed, redone = 0, 0
    while killed < kills:
        before = times(folder, step.once)
        was_killed = kill_after(rng.uniform(0.05, 1.0) * seconds, start(step.command, folder))
        killed += was_killed
        after = times(folder, step.once)
        redone += sum(after.get(path) != written for path, written in before.items())
        if not was_killed and killed < kills:
            for pattern in step.makes:
                for path in folder.glob(pattern):
                    path.unlink()
                shutil.rmtree((folder / pattern).parent / "runs", ignore_errors=True)
    before = times(folder, step.once)
    finish(step.command, folder)
    after = times(folder, step.once)
    return redone + sum(after.get(path) != written for path, written in before.items())


def prepare(folder: Path) -> None:
    for command in (
        f"tools/make_demo_corpus.py {folder}/data --train_speakers 4 --test_speakers 2 --clips_per_speaker 8",
        f"tools/make_encoder.py {folder}/encoder",
    ):
        subprocess.run([sys.executable, *command.split()], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=40, help="over all scripts (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: %(default)s)")
    options = parser.parse_args()
    rng, lost = random.Random(options.seed), 0
    with tempfile.TemporaryDirectory() as name:
        calm, killed = Path(name) / "calm", Path(name) / "killed"
        calm.mkdir()
        prepare(calm)
        shutil.copytree(calm, killed)
        for step in STEPS:
            seconds = finish(step.command, calm)
            kills = round(options.kills * step.share)
            redone = disturb(step, killed, seconds, kills, rng)
            expected, found = (checksums(folder, step.makes) for folder in (calm, killed))
            wrong = sorted(path for path in {**expected, **found} if expected.get(path) != found.get(path))
            lost += len(wrong) + redone
            print(
                f"{step.command.split()[0]}: {kills} kills, {len(expected)} files, {len(wrong)} differ, {redone} made twice "
                f"{wrong[:3] or ''}",
                flush=True,
            )
    sys.exit(1 if lost else 0)


if __name__ == "__main__":
    main()
