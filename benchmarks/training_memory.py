"""Memory of training: does it rise with the number of clips? Prints a table in Markdown.

    python benchmarks/training_memory.py --clips 600 1200 2400 4800

Each run trains one fold of two for one epoch, on the encoder that the project ships, with two loading processes and one thread,
as a process of its own. Clips are noise of the lengths of the competition's, hard links to a few files.
"""

import argparse
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import psutil

from benchmarks.material import ROOT, noise
from models.base.cli import positive, run
from models.clips.groups import GRADES, TASKS
from models.clips.tables import utterances
from models.speech.audio import write_wav
from models.speech.identity import Identity
from models.speech.references import VOICE_FILE, reference_path

DISTINCT_CLIPS, DISTINCT_TEXTS = 256, 200
VOICE: Identity = {"engine": "espeak", "speed": 1.0, "source": "noise"}
TRAINING = "--fold 0 --n_folds 2 --epochs 1 --schedule_epochs 1 --device cpu --num_workers 2 --max_tries 1".split()
JOINT = ["--joint", "matched", "--encoder", str(ROOT / "assets" / "encoders" / "phonetic-tiny")]
SCRIPTS = {"train_aligntiny.py": [], "train_model3mcp.py": JOINT}
LOOK_SECONDS, LOOKS_PER_PSS = 0.1, 10
LOADS_GB = 0.05  # of the processes that training starts: more than any but those that load


@dataclass(frozen=True)
class Use:
    """Memory of a run in GB, and the seconds that all its processes computed.

    Attributes
    ----------
    everything
        The most of all its processes together; pages that several share are counted once (PSS).
    own
        The most of the process that trains (RSS).
    swing
        Of the process that trains, between its lowest and its highest once it trains.
    loading
        The most of the loading processes together (PSS).
    """

    everything: float
    own: float
    swing: float
    loading: float
    seconds: float


def make_corpus(folder: Path, n_clips: int, mean_seconds: float) -> None:
    """Tables, clips and references, as the competition's."""
    rng = np.random.default_rng(0)
    data, distinct = folder / "data", folder / "distinct"
    data.mkdir(parents=True)
    for index in range(DISTINCT_CLIPS):
        write_wav(distinct / f"{index}.wav", noise(mean_seconds * float(rng.gamma(4, 1 / 4)), rng))
    rows = [
        (f"{row}.wav", TASKS[row % 4], f"text {row % DISTINCT_TEXTS}", GRADES[row // 4 % 4]) for row in range(n_clips)
    ]
    for row in range(n_clips):
        os.link(distinct / f"{row % DISTINCT_CLIPS}.wav", data / f"{row}.wav")
    table = pd.DataFrame(rows, columns=["filename", "task", "expected_text", "grade"])
    table.to_csv(data / "train_metadata.csv", index=False)
    table.assign(score=rng.integers(0, 2, n_clips))[["filename", "score"]].to_csv(
        data / "train_labels.csv", index=False
    )
    for text in dict.fromkeys(utterances(table)):
        write_wav(
            reference_path(folder / "tts_data", VOICE, text),
            noise(0.4 * mean_seconds * float(rng.gamma(9, 1 / 9)), rng),
        )
    (folder / "tts_data" / VOICE_FILE).write_text(json.dumps(VOICE))


def looks(process: psutil.Process) -> Iterator[tuple[float, float, float]]:
    """Now and then until it ends, in GB: PSS of it and of all that it started, its own RSS, PSS of those that it started."""
    everything = loading = 0.0
    for look in itertools.count():
        with suppress(psutil.Error):
            if look % LOOKS_PER_PSS == 0:  # which takes long to count
                loading = sum(_pss(child) for child in process.children(recursive=True)) / 2**30
                everything = loading + process.memory_full_info().pss / 2**30
            if process.status() == psutil.STATUS_ZOMBIE:
                return
            yield everything, process.memory_info().rss / 2**30, loading
        time.sleep(LOOK_SECONDS)


def _pss(process: psutil.Process) -> int:
    with suppress(psutil.Error):  # it has ended
        return int(process.memory_full_info().pss)
    return 0


def measure(script: str, folder: Path) -> Use:
    """Train a fold in `folder`.

    Raises
    ------
    RuntimeError
        Where that does not end well.
    """
    command = [sys.executable, str(ROOT / script), *SCRIPTS[script], *TRAINING, "--output_dir", f"of-{script}"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with open(folder / "output.log", "w+", encoding="utf-8") as log:
        surroundings = {**os.environ, "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(command, cwd=folder, env=surroundings, stdout=log, stderr=log)
        found = np.array(list(looks(psutil.Process(process.pid))))
        code = process.wait()
    printed = (folder / "output.log").read_text(encoding="utf-8")
    if code:
        raise RuntimeError(f"{script} ended with {code}: {printed[-500:]}")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    everything, own, loading = found.max(axis=0).tolist()
    trains = found[found[:, 2] > LOADS_GB, 1]
    within = trains[len(trains) // 10 : -len(trains) // 10]
    return Use(everything, own, float(np.ptp(within)), loading, seconds)


def table(scripts: Sequence[str], sizes: Sequence[int], mean_seconds: float) -> Iterator[str]:
    """Lines of Markdown, as they are measured."""
    yield "| script | clips | all processes, GB | training process, GB | its rise and fall | loading processes | core seconds |"
    yield "|---" * 7 + "|"
    for script in scripts:
        for n_clips in sizes:
            with tempfile.TemporaryDirectory() as name:
                make_corpus(Path(name), n_clips, mean_seconds)
                use = measure(script, Path(name))
            memory = " | ".join(f"{part:.2f}" for part in (use.everything, use.own, use.swing, use.loading))
            yield f"| {script} | {n_clips} | {memory} | {use.seconds:.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=positive, nargs="+", default=[600, 1200, 2400, 4800])
    parser.add_argument("--seconds", type=float, default=2.0, help="of a clip, on average (default: %(default)s)")
    parser.add_argument("--scripts", choices=SCRIPTS, nargs="+", default=list(SCRIPTS))
    options = parser.parse_args()
    for line in table(options.scripts, options.clips, options.seconds):
        print(line, flush=True)


if __name__ == "__main__":
    run(main)
