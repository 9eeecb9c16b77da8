"""Damaged files by the thousand, with a fixed seed: each must be read, or refused with an error of our own that names it.

    python tools/fuzz.py --cases 1000          # of each kind; `make fuzz`

Good files of each kind are changed at random: bytes replaced, cut out, doubled, or set to what often breaks readers, and CSV
cells and pickles in ways of their own. Each kind runs in a process of its own that may take two more gigabytes, and ten seconds
for a case, so that a crash of the interpreter, a hang or a flood of memory is seen too.
"""

import argparse
import pickle
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from models.audio import read_audio
from models.checkpoint import Checkpoint, OutOfFold, load_checkpoint, save_checkpoint
from models.config_file import EnsembleConfig, ModelEntry, read_config, write_config
from models.errors import InputError
from models.recipe import Recipe
from models.tables import GRADES, TASKS, clip_paths, read_test_table, read_training_table
from tools.chain import ROOT

SECONDS_PER_CASE = 10
MORE_MEMORY = 2 * 2**30
TOUCHY_BYTES = [b"\x00", b"\xff", b"\x7f", b"\x80", b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\xff\xff\xff\x7f"]
TOUCHY_TEXT = ["\0", '"', "'", ",", "\n", "\r\n", "\ufeff", "é", "\ud83d".encode("utf-8", "replace").decode(), "=1+1"]
TOUCHY_TEXT += [
    "../../etc/passwd",
    "/etc/passwd",
    "a" * 200_000,
    "nan",
    "NaN",
    "inf",
    "1e400",
    "-1",
    "",
    " ",
    "KG",
    "0.5",
]

Files = list[Path]
Change = Callable[[bytes, np.random.Generator], bytes]


def change_bytes(content: bytes, rng: np.random.Generator) -> bytes:
    """One to four changes, most of them where headers are."""
    changed = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        at = int(rng.integers(0, min(len(changed), 200) if rng.random() < 0.7 else len(changed)) if changed else 0)
        kind = rng.integers(5)
        if kind == 0:
            changed[at : at + 1] = rng.bytes(1)
        elif kind == 1:
            touchy = TOUCHY_BYTES[rng.integers(len(TOUCHY_BYTES))]
            changed[at : at + len(touchy)] = touchy
        elif kind == 2:
            del changed[at : at + int(rng.integers(1, 50))]
        elif kind == 3:
            changed[at:at] = changed[at : at + int(rng.integers(1, 50))]
        else:
            del changed[max(at, 1) :]
    return bytes(changed)


def change_table(content: bytes, rng: np.random.Generator) -> bytes:
    """Text put into cells and between them; lines dropped, doubled or exchanged; other encodings and line ends; or bytes."""
    if rng.random() < 0.2:
        return change_bytes(content, rng)
    lines = content.decode().split("\n")
    for _ in range(rng.integers(1, 4)):
        line, touchy = int(rng.integers(len(lines))), TOUCHY_TEXT[rng.integers(len(TOUCHY_TEXT))]
        kind = rng.integers(5)
        if kind == 0:
            cells = lines[line].split(",")
            cells[rng.integers(len(cells))] = touchy
            lines[line] = ",".join(cells)
        elif kind == 1:
            at = int(rng.integers(len(lines[line]) + 1))
            lines[line] = lines[line][:at] + touchy + lines[line][at:]
        elif kind == 2:
            lines[line] = ",".join(lines[line].split(",")[: int(rng.integers(1, 5))])
        elif kind == 3:
            lines.insert(line, lines[rng.integers(len(lines))])
        else:
            del lines[line]
            lines = lines or [""]
    encoding = ("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1")[rng.integers(6)]
    return ("\r\n" if rng.random() < 0.2 else "\n").join(lines).encode(encoding, "replace")


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


def make_tables(folder: Path) -> Files:
    names = [f"clip{index}.wav" for index in range(12)]
    metadata = "filename,task,expected_text,grade\n" + "".join(
        f'{name},{TASKS[index % 4]},"well, text {index}",{GRADES[index % 4]}\n' for index, name in enumerate(names)
    )
    scores = "filename,score\n" + "".join(f"{name},{index % 2}.0\n" for index, name in enumerate(names))
    contents = {
        "train_metadata.csv": metadata,
        "test_metadata.csv": metadata,
        "train_labels.csv": scores,
        "submission_format.csv": scores,
    }
    for name, content in contents.items():
        (folder / name).write_text(content, encoding="utf-8")
    return [folder / name for name in contents]


def make_config(folder: Path) -> Files:
    entry = ModelEntry("model2s", 1.0, ["assets/model2s_0.pth"], [0], ["0" * 64], 16.0, 16)
    priors = {task: dict.fromkeys(GRADES, 0.5) for task in TASKS}
    voice = {"engine": "espeak-ng", "speed": 1.0, "source": "espeak"}
    write_config(folder / "model_configs.pkl", EnsembleConfig(1, voice, "data", priors, [entry]))
    return [folder / "model_configs.pkl"]


def make_checkpoint(folder: Path) -> Files:
    recipe = Recipe(name="model2s", encoder="somewhere", pooling="mean", dropout=0.1, seed=0, data_seed=0)
    oof = OutOfFold(["a", "b"], ["deletion"] * 2, ["KG"] * 2, np.array([0.0, 1.0]), np.array([0.2, 0.8]))
    weights = {"w": torch.zeros(4, 4, dtype=torch.float16)}
    save_checkpoint(folder / "model2s_0.pth", Checkpoint(recipe, 0, 6, weights, {}, oof, {}, "data", {}, [], {}))
    return [folder / "model2s_0.pth"]


def read_tables(path: Path) -> None:
    read = read_training_table if path.name.startswith("train") else read_test_table
    table = read(path.parent)
    clip_paths(path.parent, table["filename"])


KINDS: dict[str, tuple[Callable[[Path], Files], Change, Callable[[Path], object]]] = {
    "audio": (make_audio, change_bytes, read_audio),
    "tables": (make_tables, change_table, read_tables),
    "configurations": (make_config, change_pickle, read_config),
    "checkpoints": (make_checkpoint, change_bytes, load_checkpoint),
}


def limit_memory() -> None:
    with open("/proc/self/statm", encoding="ascii") as file:
        held = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + MORE_MEMORY, held + MORE_MEMORY))


def too_long(*_: object) -> None:
    raise TimeoutError(f"more than {SECONDS_PER_CASE} s")


def fuzz(kind: str, cases: int, seed: int, folder: Path) -> tuple[int, list[str]]:
    """How many damaged files were read all the same, and what went wrong with the others."""
    make, change, read = KINDS[kind]
    sound = {path: path.read_bytes() for path in make(folder)}
    accepted, wrong = 0, []
    signal.signal(signal.SIGALRM, too_long)
    for case in range(cases):
        rng = np.random.default_rng([seed, case])
        path = list(sound)[case % len(sound)]
        path.write_bytes(change(sound[path], rng))
        signal.alarm(SECONDS_PER_CASE)
        try:
            read(path)
            accepted += 1
        except InputError as error:
            if str(path.parent) not in str(error) and path.name not in str(error):
                wrong.append(f"case {case} ({path.name}): names no file: {str(error)[:200]}")
        except Exception as error:
            wrong.append(f"case {case} ({path.name}): {type(error).__name__}: {str(error)[:200]}")
        finally:
            signal.alarm(0)
        path.write_bytes(sound[path])
    return accepted, wrong


def run_kind(kind: str, cases: int, seed: int) -> tuple[int, str]:
    """In a process of its own; returns its exit status and what it printed."""
    command = [sys.executable, __file__, "--only", kind, "--cases", str(cases), "--seed", str(seed)]
    limit_seconds = 60 + SECONDS_PER_CASE * cases
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=limit_seconds, check=False)
    return done.returncode, done.stdout + (done.stderr[-2000:] if done.returncode not in (0, 1) else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=1000, help="of each kind (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    parser.add_argument("--only", choices=KINDS, help="one kind, in this process")
    options = parser.parse_args()
    if options.only is None:
        outcomes = [run_kind(kind, options.cases, options.seed) for kind in KINDS]
        print("".join(printed for _, printed in outcomes), end="")
        sys.exit(int(any(code for code, _ in outcomes)))
    limit_memory()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        accepted, wrong = fuzz(options.only, options.cases, options.seed, Path(folder))
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{options.only}: {options.cases} damaged, {accepted} read, {options.cases - accepted - len(wrong)} refused, "
        f"{len(wrong)} wrong; {time.monotonic() - started:.0f} s, peak memory {peak_gb:.2f} GB"
    )
    print("".join(f"    {line}\n" for line in wrong[:20]), end="")
    sys.exit(int(bool(wrong)))


if __name__ == "__main__":
    main()
