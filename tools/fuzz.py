"""Damaged files by the thousand, with a fixed seed: each must be read, or refused with an error of our own that names it.

    python tools/fuzz.py --cases 1000          # of each kind; `make fuzz`

Good files of each kind are changed at random: bytes replaced, cut out, doubled, or set to what often breaks readers, and the
values of configurations. Folders are spoilt by names that lead elsewhere, by links, devices and pipes. Checkpoints get payloads
that leave a mark if they run; it is looked for after each case, and that they do run under pickle.load is shown before.
(Tables are tested in tests/clips/test_any_table.py, the opcodes of configurations in tests/ensemble/test_checkpoint.py.)
Each kind runs in a process of its own that may take two more gigabytes, and ten seconds for a case, so that a crash of the
interpreter, a hang or a flood of memory is seen too.
"""

import argparse
import errno
import faulthandler
import functools
import pickle
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import soundfile
import torch

from models.base.cli import explain
from models.clips.groups import GRADES, TASKS
from models.ensemble.checkpoint import Checkpoint, OutOfFold, load_checkpoint, load_without_weights, save_checkpoint
from models.ensemble.config import EnsembleConfig, ModelEntry, read_config, write_config
from models.recipe import Recipe
from models.speech.audio import read_audio
from tools.chain import ROOT
from tools.fuzz_changes import change_bytes
from tools.fuzz_payloads import checkpoints_case, embed, run_freely, ways
from tools.fuzz_places import links_case, paths_case, references_case

SECONDS_PER_CASE = 10
MORE_MEMORY = 2 * 2**30
LARGEST_FILE = 2**26
MARK = "the payload ran"
VOICE = {"engine": "espeak-ng", "speed": 1.0, "source": "espeak"}
Files = list[Path]
Change = Callable[[bytes, np.random.Generator], bytes]
Read = Callable[[], object]


def change_pickle(content: bytes, rng: np.random.Generator) -> bytes:
    """Values of a configuration exchanged for others, or bytes."""
    if rng.random() < 0.5:
        return change_bytes(content, rng)
    values = pickle.loads(content)
    others = [
        None,
        -1,
        2**70,
        float("nan"),
        float("inf"),
        "",
        "../../../etc/passwd",
        b"\0",
        [],
        {},
        [[[]]],
        True,
        "x" * 10**6,
    ]
    place = values if rng.random() < 0.5 else values["models"][0]
    key = list(place)[rng.integers(len(place))]
    if rng.random() < 0.2:
        del place[key]
    else:
        place[key] = others[rng.integers(len(others))]
    return pickle.dumps(values)


def make_audio(folder: Path) -> Files:
    rng, paths = np.random.default_rng(0), []
    for extension, subtype, rate_hz, channels in (
        ("wav", "PCM_16", 16000, 1), ("wav", "FLOAT", 44100, 2), ("wav", "MS_ADPCM", 8000, 1), ("flac", "PCM_16", 16000, 1),
        ("flac", "PCM_24", 48000, 2), ("ogg", "VORBIS", 16000, 1), ("ogg", "OPUS", 48000, 1), ("mp3", "MPEG_LAYER_III", 16000, 1),
        ("aiff", "PCM_16", 22050, 1),
    ):  # fmt: skip
        paths.append(folder / f"{len(paths)}.{extension}")
        soundfile.write(paths[-1], 0.1 * rng.standard_normal((4000, channels)), rate_hz, subtype=subtype)
    return paths


def make_config(folder: Path) -> Files:
    entry = ModelEntry("model2s", 1.0, ["assets/model2s_0.pth"], [0], ["0" * 64], 16.0, 16)
    priors = {task: dict.fromkeys(GRADES, 0.5) for task in TASKS}
    references = {"cat": "0" * 64, "old": "1" * 64}
    write_config(folder / "model_configs.pkl", EnsembleConfig(1, VOICE, "data", priors, [entry], references))
    return [folder / "model_configs.pkl"]


def make_checkpoint(folder: Path) -> Files:
    recipe = Recipe(name="model2s", encoder="somewhere", pooling="mean", dropout=0.1, seed=0, data_seed=0)
    oof = OutOfFold(["a", "b"], ["deletion"] * 2, ["KG"] * 2, np.array([0.0, 1.0]), np.array([0.2, 0.8]))
    weights = {"w": torch.zeros(4, 4, dtype=torch.float16)}
    save_checkpoint(folder / "model2s_0.pth", Checkpoint(recipe, 0, 6, weights, {}, oof, VOICE, "data", {}, [], {}))
    return [folder / "model2s_0.pth"]


KINDS: dict[str, tuple[Callable[[Path], Files], Change, Callable[[Path], object]]] = {
    "audio": (make_audio, change_bytes, read_audio),
    "configurations": (make_config, change_pickle, read_config),
    "checkpoints": (make_checkpoint, change_bytes, load_checkpoint),
    "checkpoints without weights": (make_checkpoint, change_bytes, load_without_weights),
}


def limit_memory() -> None:
    with open("/proc/self/statm", encoding="ascii") as file:
        held = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + MORE_MEMORY, held + MORE_MEMORY))


@contextmanager
def limited_files() -> Iterator[None]:
    """What is copied without a look at its size would fill the disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def too_long(*_: object) -> None:
    raise TimeoutError(f"more than {SECONDS_PER_CASE} s")


def payload_in_checkpoint(folder: Path, rng: np.random.Generator) -> Read:
    (path,) = make_checkpoint(folder)
    return checkpoints_case(path.read_bytes(), folder, folder / MARK, rng)


# Each makes a spoilt folder in an empty one; what it returns reads it.
FOLDERS: dict[str, Callable[[Path, np.random.Generator], Read]] = {
    "paths": paths_case,
    "links": links_case,
    "references": references_case,
    "payloads": payload_in_checkpoint,
}
ALL_KINDS = (*KINDS, *FOLDERS)


def damaged_files(kind: str, cases: int, seed: int, folder: Path) -> Iterator[tuple[str, Read]]:
    """A file that is damaged, and how it is read; before the next one it is sound again."""
    make, change, read = KINDS[kind]
    sound = {path: path.read_bytes() for path in make(folder)}
    for case in range(cases):
        path = list(sound)[case % len(sound)]
        path.write_bytes(change(sound[path], np.random.default_rng([seed, case])))
        yield path.name, functools.partial(read, path)
        path.write_bytes(sound[path])


def spoilt_folders(kind: str, cases: int, seed: int, folder: Path) -> Iterator[tuple[str, Read]]:
    for case in range(cases):
        inner = folder / "case"
        inner.mkdir()
        yield str(inner), FOLDERS[kind](inner, np.random.default_rng([seed, case]))
        shutil.rmtree(inner)


def fuzz(kind: str, cases: int, seed: int, folder: Path) -> tuple[int, list[str]]:
    """How many damaged files were read all the same, and what went wrong with the others."""
    accepted, wrong = 0, []
    signal.signal(signal.SIGALRM, too_long)
    damaged = damaged_files if kind in KINDS else spoilt_folders
    for case, (name, read) in enumerate(damaged(kind, cases, seed, folder)):
        faulthandler.dump_traceback_later(3 * SECONDS_PER_CASE, exit=True)  # where the alarm is not heard
        signal.alarm(SECONDS_PER_CASE)
        try:
            with limited_files():
                read()
            accepted += 1
        except Exception as error:
            if problem := what_is_wrong(error, name, folder):
                wrong.append(f"case {case} ({name}): {problem}")
        finally:
            signal.alarm(0)
            faulthandler.cancel_dump_traceback_later()
        if any(folder.rglob(MARK)):
            wrong.append(f"case {case} ({name}): the payload ran")
    return accepted, wrong


def what_is_wrong(error: Exception, name: str, folder: Path) -> str:
    """Nothing, where it is an error that a user is told in words, and that names what was given."""
    told = explain(error)
    if told is None or (isinstance(error, OSError) and error.errno in (errno.EFBIG, errno.ENOSPC)):
        return f"{type(error).__name__}: {str(error)[:200]}"
    return "" if name in told or str(folder) in told else f"names no file: {told[:200]}"


def payloads_that_do_not_run(folder: Path) -> list[str]:
    """The ways of `fuzz_payloads` that leave no mark where files are trusted: a fuzzer that uses them could find nothing."""
    silent = []
    for name, opcodes in ways(str(folder / MARK)).items():
        (folder / "file").write_bytes(embed({"a": [{"b": "c"}]}, opcodes, np.random.default_rng(0)))
        with suppress(Exception):  # what it makes need not be sound
            run_freely(folder / "file")
        if not (folder / MARK).is_dir():
            silent.append(name)
            continue
        (folder / MARK).rmdir()
    (folder / "file").unlink()
    return silent


def run_kind(kind: str, cases: int, seed: int) -> tuple[int, str]:
    """In a process of its own; returns its exit status and what it printed."""
    command = [sys.executable, "-m", "tools.fuzz", "--only", kind, "--cases", str(cases), "--seed", str(seed)]
    limit_seconds = 60 + SECONDS_PER_CASE * cases
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=limit_seconds, check=False)
    return done.returncode, done.stdout + (done.stderr[-2000:] if done.returncode else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=1000, help="of each kind (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    parser.add_argument("--only", choices=ALL_KINDS, help="one kind, in this process")
    options = parser.parse_args()
    if options.only is None:
        outcomes = [run_kind(kind, options.cases, options.seed) for kind in ALL_KINDS]
        print("".join(printed for _, printed in outcomes), end="")
        sys.exit(int(any(code for code, _ in outcomes)))
    limit_memory()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        silent = payloads_that_do_not_run(Path(folder)) if options.only == "payloads" else []
        accepted, wrong = fuzz(options.only, options.cases, options.seed, Path(folder))
    wrong = [f"a payload that never runs: {name}" for name in silent] + wrong
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{options.only}: {options.cases} damaged, {accepted} read, {options.cases - accepted - len(wrong)} refused, "
        f"{len(wrong)} wrong; {time.monotonic() - started:.0f} s, peak memory {peak_gb:.2f} GB"
    )
    print("".join(f"    {line}\n" for line in wrong[:20]), end="")
    sys.exit(int(bool(wrong)))


if __name__ == "__main__":
    main()
