"""Folders of strangers for the fuzzer: names that lead elsewhere, and links, devices and pipes where files should be.

Outside the folder lies a recording that nothing may read or copy.
"""

import functools
import os
import socket
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import ClassVar
from unittest import mock

import numpy as np
import soundfile

import models.speech.speaking
from models.clips.groups import GRADES, TASKS
from models.clips.tables import clip_paths, read_test_table, read_training_table
from models.ensemble.config import EnsembleConfig, ModelEntry, read_config
from models.errors import InputError
from models.inference.published import copy_references
from models.packing.archive import submission_files, write_zip
from models.speech.audio import SAMPLE_RATE_HZ, Waveform, read_audio
from models.speech.identity import Identity
from models.speech.options import VoiceOptions
from models.speech.references import PATHS_FILE, VOICE_FILE, References, reference_path
from models.speech.speaking import complete_references, speak_references
from tools.fuzz_changes import change_bytes

SECRET = "secret.wav"  # outside of the folder that is read
SECRET_SAMPLES = 4321  # by which it is known
HUGE_BYTES = 1 << 40  # of a file that takes no room
SAMPLES = 800

Read = Callable[[], object]


class ReadOutside(Exception):
    """What lies outside of a folder came in."""


def write_tone(path: Path, n_samples: int, frequency_hz: float) -> None:
    samples = 0.3 * np.sin(2 * np.pi * frequency_hz * np.arange(n_samples) / SAMPLE_RATE_HZ)
    soundfile.write(path, samples, SAMPLE_RATE_HZ, subtype="PCM_16")


def put_odd_thing(path: Path, secret: Path, rng: np.random.Generator) -> None:
    """In the place of the file `path` something that is none, or that is another's."""
    loop = path.with_name(f"{path.name}.loop")
    things: list[Callable[[], object]] = [
        lambda: path.symlink_to(secret),
        lambda: path.symlink_to(os.path.relpath(secret, path.parent)),
        lambda: path.symlink_to(path.name),
        lambda: (path.symlink_to(loop.name), loop.symlink_to(path.name)),
        lambda: path.symlink_to("nowhere"),
        lambda: path.symlink_to(path.parent),
        lambda: path.symlink_to("/"),
        lambda: os.mkfifo(path),
        lambda: (os.mkfifo(loop), path.symlink_to(loop.name)),
        lambda: (path.symlink_to(loop.name), loop.symlink_to(secret)),
        lambda: listen(path),
        lambda: (path.mkdir(), (path / "file").touch()),
        lambda: (path.touch(), os.truncate(path, HUGE_BYTES)),
        lambda: (path.write_bytes(content), os.truncate(path, HUGE_BYTES)),
        *(
            lambda name=name: path.symlink_to(name)
            for name in (
                "/dev/zero",
                "/dev/null",
                "/dev/random",
                "/dev/full",
                "/dev/tty",
                "/proc/self/mem",
                "/dev/stdin",
            )
        ),
    ]
    content = path.read_bytes()
    path.unlink()
    things[rng.integers(len(things))]()


def listen(path: Path) -> None:
    """A socket."""
    with socket.socket(socket.AF_UNIX) as end, suppress(OSError):  # of a path that is too long for one
        end.bind(str(path))


def make_data(folder: Path) -> Path:
    """A data folder with six clips of each part; the secret beside it."""
    data = folder / "data"
    data.mkdir()
    for index in range(6):
        write_tone(data / f"clip{index}.wav", SAMPLES, 200 + 50 * index)
    write_tone(folder / SECRET, SECRET_SAMPLES, 1000)
    write_tables(data, [f"clip{index}.wav" for index in range(6)])
    return data


def write_tables(data: Path, names: list[str]) -> None:
    quoted = ['"' + name.replace('"', '""') + '"' for name in names]
    rows = [f"{name},{TASKS[index % 4]},text {index},{GRADES[index % 4]}\n" for index, name in enumerate(quoted)]
    scores = [f"{name},{index % 2}.0\n" for index, name in enumerate(quoted)]
    for part, other in (("train", "train_labels"), ("test", "submission_format")):
        (data / f"{part}_metadata.csv").write_text("filename,task,expected_text,grade\n" + "".join(rows), "utf-8")
        (data / f"{other}.csv").write_text("filename,score\n" + "".join(scores), "utf-8")


def read_clips(data: Path, part: str) -> int:
    """As infer.py and training do it: the tables, the places, the clips; returns how many clips can be read."""
    table = read_training_table(data) if part == "train" else read_test_table(data)
    lengths = []
    for path in clip_paths(data, table["filename"]):
        if not path.resolve().is_relative_to(data.resolve()):
            raise ReadOutside(str(path))
        with suppress(InputError):
            lengths.append(len(read_audio(path)))
    if SECRET_SAMPLES in lengths:
        raise ReadOutside("a clip")
    return len(lengths)


def odd_names(folder: Path, rng: np.random.Generator) -> Path:
    """A data folder whose tables name files elsewhere."""
    data = make_data(folder)
    (data / "sub").mkdir()
    (data / "out").symlink_to(folder)
    (data / "in").symlink_to("sub")
    (data / "round").symlink_to(data)
    names = [f"clip{index}.wav" for index in range(6)]
    steps = ["..", ".", "sub", "out", "in", "round", "", "clip1.wav", "...", "~", "%2e%2e", "..\\..", "nowhere", "‥"]
    ends = [
        SECRET,
        "clip0.wav",
        f"data/{SECRET}",
        "data/clip0.wav",
        "",
        "..",
        "x" * 255,
        "x" * 300,
        "\u202egnp.wav",
        "a\nb.wav",
    ]
    whole = [
        str(folder / SECRET),
        f"/{folder / SECRET}",
        str(data / "clip0.wav"),
        "/dev/zero",
        "/dev/stdin",
        "/proc/self/mem",
    ]
    whole += [
        "C:\\secret.wav",
        "\\\\server\\secret.wav",
        "..\\secret.wav",
        "a\0b.wav",
        "x/" * 3000,
        f"file://{folder / SECRET}",
        "-",
    ]
    for index in rng.choice(6, rng.integers(1, 4), replace=False):
        parts = [steps[step] for step in rng.integers(len(steps), size=rng.integers(1, 5))]
        separator = "/" if rng.random() < 0.9 else "\\"
        mixed = separator.join([*parts, ends[rng.integers(len(ends))]])
        names[index] = whole[rng.integers(len(whole))] if rng.random() < 0.3 else mixed
    write_tables(data, names)
    return data


def paths_case(folder: Path, rng: np.random.Generator) -> Read:
    data, part = odd_names(folder, rng), str(rng.choice(["train", "test"]))
    return lambda: read_clips(data, part)


def links_case(folder: Path, rng: np.random.Generator) -> Read:
    """Odd things for clips, for a table, or for what else is read whole."""
    data, part = make_data(folder), str(rng.choice(["train", "test"]))
    if rng.random() < 0.1:
        config = data / "model_configs.pkl"
        config.touch()
        put_odd_thing(config, folder / SECRET, rng)
        return lambda: read_config(config)
    tables = ["train_metadata.csv", "train_labels.csv", "test_metadata.csv", "submission_format.csv"]
    if rng.random() < 0.3:
        put_odd_thing(data / str(rng.choice(tables)), folder / SECRET, rng)
    for index in rng.choice(6, rng.integers(1, 4), replace=False):
        put_odd_thing(data / f"clip{index}.wav", folder / SECRET, rng)
    return lambda: read_clips(data, part)


class ToneVoice:
    """Speaks every text as a tone of its own."""

    identity: ClassVar[Identity] = {"engine": "tone", "speed": 1.0, "source": "here"}

    def speak(self, text: str) -> Waveform:
        return (0.3 * np.sin(0.1 * (1 + sum(text.encode()) % 7) * np.arange(SAMPLES))).astype(np.float32)


in_tones = mock.patch.object(models.speech.speaking, "make_voice", return_value=ToneVoice())
TEXTS = ("cat", "old", "we like to play", "teevog", "it's cold", "naïve")


@functools.cache
def sound_references() -> dict[str, bytes]:
    """The files of a folder in which all is right."""
    with tempfile.TemporaryDirectory() as folder, in_tones:
        speak_references(Path(folder) / "tts_data", list(TEXTS), VoiceOptions())
        return {path.name: path.read_bytes() for path in (Path(folder) / "tts_data").iterdir()}


def references_case(folder: Path, rng: np.random.Generator) -> Read:
    """A folder of references in which one to three files are damaged or something else."""
    write_tone(folder / SECRET, SECRET_SAMPLES, 1000)
    tts_dir, voice = folder / "tts_data", ToneVoice.identity
    tts_dir.mkdir()
    for name, content in sound_references().items():
        (tts_dir / name).write_bytes(content)
    known = References(tts_dir).checksums(TEXTS)
    spoken = References(tts_dir).load(TEXTS)
    files = [reference_path(tts_dir, voice, text) for text in TEXTS]
    others = [tts_dir / VOICE_FILE, tts_dir / PATHS_FILE, tts_dir / ".left.wav.1.tmp"]
    others[2].touch()
    spoilt: set[Path] = set()
    for _ in range(rng.integers(1, 4)):
        path = files[rng.integers(len(files))] if rng.random() < 0.6 else others[rng.integers(3)]
        if path in spoilt:
            continue
        spoilt.add(path)
        if rng.random() < 0.5:
            put_odd_thing(path, folder / SECRET, rng)
        else:
            path.write_bytes(change_bytes(path.read_bytes(), rng))
    return _ask_for_references(folder, tts_dir, known if rng.random() < 0.7 else {}, spoken, rng)


def _ask_for_references(
    folder: Path, tts_dir: Path, known: dict[str, str], spoken: dict[str, Waveform], rng: np.random.Generator
) -> Read:
    """One of the ways in which references are read: loaded, completed and loaded, published, packed."""

    def load() -> None:
        check(References(tts_dir, known).load(TEXTS))

    def complete() -> None:
        with in_tones:
            complete_references(tts_dir, list(TEXTS), ToneVoice.identity, VoiceOptions(), known)
        check(References(tts_dir, known).load(TEXTS))

    def publish() -> None:
        copy_references(tts_dir, folder / "published", ToneVoice.identity, known)
        check_copies([path.read_bytes() for path in (folder / "published").iterdir()])

    def pack() -> None:
        entry = ModelEntry("model2s", 1.0, ["a.pth"], [0], ["0" * 64], 16.0, 16)
        (folder / "a.pth").touch()
        config = EnsembleConfig(1, ToneVoice.identity, "data", {}, [entry], known)
        write_zip(folder / "packed.zip", submission_files(config, folder, tts_dir, "MeloTTS"))
        with zipfile.ZipFile(folder / "packed.zip") as archive:
            names = [name for name in archive.namelist() if name.startswith("tts_data/")]
            check_copies([archive.read(name) for name in names])

    def check(found: dict[str, Waveform]) -> None:
        if any(len(waveform) == SECRET_SAMPLES for waveform in found.values()):
            raise ReadOutside("a reference")
        if known and not all(np.array_equal(waveform, spoken[text]) for text, waveform in found.items()):
            raise ReadOutside("another reference than the models were trained with")

    def check_copies(contents: list[bytes]) -> None:
        if (folder / SECRET).read_bytes() in contents:
            raise ReadOutside("a copy of what the references link to")

    return (load, complete, publish, pack)[rng.integers(4)]
