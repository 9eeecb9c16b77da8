"""What tests build instead of the real thing: small data folders, recordings, jobs, voices, checkpoints with made-up predictions;
and how they look at folders and tables before and after a script."""

import csv
import hashlib
import importlib
import os
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from models.base.files import sha256_of_file
from models.clips.groups import GRADES, TASKS
from models.clips.tables import read_training_table
from models.ensemble.calibration import Calibration
from models.ensemble.checkpoint import Checkpoint, OutOfFold, save_checkpoint
from models.ensemble.config import EnsembleConfig, ModelEntry, write_config
from models.ensemble.correction import Correction
from models.ensemble.items import fit_items, item_keys
from models.ensemble.stack import Stack
from models.localize.model import LoadedModel
from models.network.build import make_network, network_settings
from models.network.comparison import half_weights
from models.network.pretrained import load_decoder, load_encoder, pretrained_network
from models.recipe import Recipe
from models.speech.options import VoiceOptions
from models.speech.pronunciation import utterance_of
from models.speech.references import read_identity, reference_path
from models.speech.speaking import speak_references
from models.training.job import TrainingJob
from models.training.options import TrainingOptions

VOICE = {"engine": "espeak-ng", "version": "1.52.0", "language": "en-us", "speed": 0.7, "source": "espeak"}


def recipe(name: str = "model2s", max_seconds: float = 4.0) -> Recipe:
    """Named align… for an aligned model, matched… for a matched one, verify… for a verifier, taught… for one that is trained with
    drawn texts; others are plain joint ones."""
    kinds = {"align": "alignment", "verify": "tokens", "taught": "tokens"}
    pooling = next((pooling for start, pooling in kinds.items() if name.startswith(start)), "mean")
    joint = "matched" if name.startswith("matched") else "plain"
    settings = {"pooling": pooling, "joint": joint, "seed": 1, "data_seed": 1, "batch_size": 4}
    if name.startswith("taught"):
        settings |= {"drawn_texts": 1, "token_loss": 0.5}
    return Recipe(name=name, encoder="somewhere", max_seconds=max_seconds, **settings)


def noisy_predictions(labels: np.ndarray, noise: float, rng: np.random.Generator) -> np.ndarray:
    """Probabilities from logits that know the label, more or less."""
    logits = (2 * labels - 1) * 1.5 + rng.normal(0, noise, len(labels))
    return 1 / (1 + np.exp(-logits))


def checkpoints(
    name: str = "model2s",
    n_folds: int = 6,
    clips_per_fold: int = 200,
    noise: float = 1.0,
    seed: int = 0,
    weights: dict[str, torch.Tensor] | None = None,
    encoder: dict[str, object] | None = None,
) -> list[Checkpoint]:
    """All folds of a model: the same clips and labels for every name and seed, other predictions."""
    labels = np.random.default_rng(123).integers(0, 2, n_folds * clips_per_fold).astype(float)
    rng = np.random.default_rng(seed)
    found = []
    for fold in range(n_folds):
        rows = np.arange(fold, n_folds * clips_per_fold, n_folds)
        oof = OutOfFold(
            filenames=[f"{row}.wav" for row in rows],
            tasks=[TASKS[row % 4] for row in rows],
            grades=[GRADES[row // 4 % 4] for row in rows],
            labels=labels[rows],
            predictions=noisy_predictions(labels[rows], noise, rng),
        )
        found.append(
            Checkpoint(
                recipe=recipe(name),
                fold=fold,
                n_folds=n_folds,
                weights=weights or {"w": torch.zeros(1, dtype=torch.float16)},
                encoder=encoder or {},
                oof=oof,
                voice=VOICE,
                data_fingerprint="data",
                options={"encoder": "some where", "epochs": 2},
                history=[],
                versions={},
            )
        )
    return found


def made_correction(models: list[str], table: pd.DataFrame) -> Correction:
    """Of a blend of these models; it knows the item of every second row."""
    keys = [item_keys(*row) for row in zip(table["task"], table["grade"], table["expected_text"], strict=True)][::2]
    flat = {task: dict.fromkeys(GRADES, 0.1) for task in TASKS}
    sound, item = Stack(dict.fromkeys(models, 0.2), flat, 0.0), Stack(dict.fromkeys(models, 0.3), flat, 1.0)
    calibration = Calibration(dict.fromkeys(TASKS, 1.1), dict.fromkeys(TASKS, 0.2), 0.01)
    items = fit_items(keys, np.arange(len(keys)) % 2.0)
    return Correction(sound, item, items, calibration, {"mean": 0.3, "taken": 0.2})


def trained_checkpoint(encoder_dir: Path, name: str = "model2s", fold: int = 0, max_seconds: float = 4.0) -> Checkpoint:
    """A checkpoint with a real, small network of random weights."""
    torch.manual_seed(fold)
    own = recipe(name, max_seconds)
    text = load_decoder(str(encoder_dir)) if own.layout == "text" else ()
    network = make_network(load_encoder(str(encoder_dir), round(max_seconds * 100)), own, 0, *text)
    blank = checkpoints(name, weights=half_weights(network), encoder=network_settings(network))[fold]
    return replace(blank, recipe=own)


def shipped_model(pooling: str = "alignment", **options: object) -> LoadedModel:
    """The shipped encoder as it is before any fine-tuning."""
    recipe = Recipe(
        name="shipped",
        encoder="assets/encoders/phonetic-tiny",
        pooling=pooling,
        seed=0,
        data_seed=0,
        max_seconds=8.0,
        **options,
    )
    torch.manual_seed(0)
    return LoadedModel("shipped", pretrained_network(recipe).eval(), recipe, torch.device("cpu"))


def priors() -> dict[str, dict[str, float]]:
    """Another for each task and grade."""
    return {
        task: {grade: 0.1 + 0.2 * column + 0.01 * row for column, grade in enumerate(GRADES)}
        for row, task in enumerate(TASKS)
    }


class Payload:
    """Unpickling this leaves a file behind."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.marker),)


LETTERS = " abcdefghijklmnopqrstuvwxyz'"


def save_wheel(
    folder: Path, tag: str = "cp312-cp312-manylinux_2_28_x86_64", name: str = "onnxruntime", code: str = ""
) -> Path:
    """A wheel with modules, a library, its tools and what pip needs."""
    folder.mkdir(exist_ok=True)
    file, info = folder / f"{name}-1.0-{tag}.whl", f"{name}-1.0.dist-info"
    content = {
        f"{name}/__init__.py": code,
        f"{name}/LICENSE": "MIT",
        f"{name}/capi/__init__.py": "",
        f"{name}/capi/state.cpython-312-x86_64-linux-gnu.so": "a library",
        f"{name}/tools/convert.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nTag: {tag}\n",
    }
    content[f"{info}/RECORD"] = "".join(f"{each},,\n" for each in content)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(f"{name}/capi/", "")
        for each, text in content.items():
            archive.writestr(each, text)
    return file


def use_model(folder: Path, encoder_dir: Path, name: str) -> None:
    """Make two folds of a model, of random weights, and their configuration the ensemble of a folder that has references."""
    voice = read_identity(folder / "tts_data")
    paths = [folder / "assets" / f"{name}_{fold}.pth" for fold in range(2)]
    for fold, path in enumerate(paths):
        save_checkpoint(path, replace(trained_checkpoint(encoder_dir, name, fold), voice=voice, n_folds=2))
    names, sha256 = [path.relative_to(folder).as_posix() for path in paths], [sha256_of_file(path) for path in paths]
    entry = ModelEntry(name, 1.0, names, [0, 1], sha256, max_seconds=4.0, batch_size=4)
    write_config(folder / "model_configs.pkl", EnsembleConfig(2, voice, "data", priors(), [entry]))


def written_tokens() -> list[str]:
    """The tokens of the tests' Whisper: marks, then letters, digits and the full stop."""
    marks = ["<pad>", "<bos>", "<|endoftext|>", "<|startoftranscript|>", "<|notimestamps|>"]
    return [*marks, *dict.fromkeys([*LETTERS, *"0123456789.", *LETTERS[1:27].upper()])]


def save_tokenizer(folder: Path) -> None:
    """The tokenizer.json of the tests' Whisper: each letter is a token."""
    from tokenizers import Tokenizer, decoders, models

    vocabulary = {token: index for index, token in enumerate(written_tokens())}
    marks = list(vocabulary)[:5]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens(marks)
    tokenizer.add_tokens(["<|0.00|>"])  # as Whisper's time stamps, which count as no special ones
    tokenizer.save(str(folder / "tokenizer.json"))


CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)

MEDIUM, SMALL = "openai/whisper-medium", "openai/whisper-small"
DISTIL_MEDIUM, DISTIL_SMALL = "distil-whisper/distil-medium.en", "distil-whisper/distil-small.en"


# The design's table: encoder, pooling, head, initialisation, dropout, where, batch, epochs, schedule epochs, cycles,
# learning rate, weight decay, seed, data seed, augmentation.
DESIGN = {
    "model3mapd": (MEDIUM, "attention", "linear", None, 0.4, "pooled", 16, 4, 4, 0.5, 1e-5, 0.001, 88, 88, "both"),
    "model3mcp": (MEDIUM, "attention+mean", "hidden-d", None, 0.4, "frames", 16, 4, 4, 0.5, 1e-5, 0.001, 1, 1, "both"),
    "model3mb": (MEDIUM, "mean", "linear", None, 0.4, "frames", 8, 4, 4, 0.5, 1e-5, 0.001, 321, 321, "both"),
    "model3scp": (SMALL, "attention+mean", "hidden-d", None, 0.4, "frames", 16, 4, 4, 0.5, 1e-5, 0.001, 897, 897, "both"),
    "model3dsap": (DISTIL_SMALL, "attention", "linear", None, 0.4, "frames", 16, 4, 4, 0.5, 1e-5, 0.001, 1124, 1124, "both"),
    "model2m": (MEDIUM, "mean", "linear", None, 0.4, "frames", 16, 4, 5, 0.25, 1e-5, 0.001, 42, 55, "response"),
    "model2dm": (DISTIL_MEDIUM, "mean", "hidden-128", 0.02, 0.4, "frames", 16, 4, 5, 0.25, 1e-5, 0.001, 4221, 4221, "response"),
    "model2s": (SMALL, "mean", "hidden-128", 0.02, 0.2, "frames", 16, 5, 5, 0.25, 2e-5, 1e-6, 333, 333, "response"),
    "model2ds": (DISTIL_SMALL, "mean", "linear", None, 0.2, "frames", 16, 5, 5, 0.25, 2e-5, 1e-6, 666, 666, "response"),
    "model1m": (MEDIUM, "mean", "linear", None, 0.4, "frames", 16, 4, 5, 0.25, 1e-5, 0.001, 42, 42, "response"),
}  # fmt: skip


def load(name: str) -> Recipe:
    return importlib.import_module(f"train_{name}").recipe


def jobs_on_tones(data_dir: Path, encoder_dir: Path, folder: Path) -> Callable[..., TrainingJob]:
    """Makes jobs on the 36 clips of a data folder, whose references are spoken into `folder`."""
    tts_dir = folder / "tts_data"
    speak_references(tts_dir, SAID, VoiceOptions())
    table = read_training_table(data_dir)

    def make(name: str = "model2s", n_train: int = 24, **changes: object) -> TrainingJob:
        settings = {
            "encoder": str(encoder_dir),
            "max_seconds": 2.5,
            "batch_size": 4,
            "epochs": 2,
            "learning_rate": 1e-3,
        }
        options = TrainingOptions(
            data_dir=data_dir,
            tts_dir=tts_dir,
            output_dir=folder / "out",
            n_folds=3,
            device="cpu",
            precision="fp32",
            max_tries=1,
        )
        own = {key: changes.pop(key) for key in list(changes) if key in TrainingOptions.__dataclass_fields__}
        grouping = str(changes.pop("grouping", ""))
        job = TrainingJob(
            recipe=replace(load(name), **{**settings, **changes}),  # type: ignore[arg-type]
            fold=0,
            train=table.iloc[:n_train].reset_index(drop=True),
            validation=table.iloc[24:].reset_index(drop=True),
            data_fingerprint="data",
            grouping=grouping,
            options=options,
        )
        return with_options(job, **own)

    return make


def with_options(job: TrainingJob, **changes: Any) -> TrainingJob:
    return replace(job, options=replace(job.options, **changes))


def same_weights(one: Checkpoint, other: Checkpoint) -> bool:
    return all(torch.equal(tensor, other.weights[name]) for name, tensor in one.weights.items())


def forget(job: TrainingJob) -> TrainingJob:
    """The same job, as if it had never been run."""
    job.checkpoint_path.unlink()
    shutil.rmtree(job.run_dir)
    return job


def reference(tts_dir: Path, text: str) -> Path:
    return reference_path(tts_dir, read_identity(tts_dir), text)


def change(path: Path) -> None:
    """It still decodes, and sounds a little softer."""
    samples, rate_hz = soundfile.read(path, dtype="float32")
    soundfile.write(path, 0.9 * samples, rate_hz, subtype="PCM_16")


def nan_audio(path: Path) -> None:
    samples = np.zeros(1000)
    samples[7] = np.nan
    soundfile.write(path, samples, 16000, subtype="FLOAT")


def broken_off(path: Path) -> None:
    soundfile.write(path, 0.1 * np.sin(np.arange(8000)), 16000)
    path.write_bytes(path.read_bytes()[:6000])


AUDIO_DAMAGE: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: None,
    "folder": lambda path: path.mkdir(),
    "random bytes": lambda path: path.write_bytes(np.random.default_rng(0).bytes(1000)),
    "truncated header": lambda path: path.write_bytes(b"RIFF\x00\x00\x00\x00WAVEfmt "),
    "no bytes": lambda path: path.write_bytes(b""),
    "no samples": lambda path: soundfile.write(path, np.zeros(0), 16000),
    "NaN": nan_audio,
    "infinite": lambda path: soundfile.write(path, np.array([0, np.inf]), 16000, subtype="DOUBLE"),
    "breaks off": broken_off,
    "not scaled": lambda path: soundfile.write(path, 9000 * np.sin(np.arange(8000)), 16000, subtype="FLOAT"),
    "circle of links": lambda path: path.symlink_to(path.name),
}

# Recordings in which nothing can be heard: float32 at 16 kHz.
NO_ANSWERS = {
    "silence": np.zeros(16000, np.float32),
    "inaudible": np.random.default_rng(0).uniform(-5e-5, 5e-5, 16000).astype(np.float32),
    "silence beside zero": np.full(16000, 0.1, np.float32),
    "10 ms": np.sin(np.arange(160, dtype=np.float32)),
}


OLD_TORCH = tuple(int(part) for part in torch.__version__.split(".")[:2]) < (2, 6)


ROOT = Path(__file__).resolve().parent.parent


TRAIN, INFER = "train_model2s.py", "infer.py"


TEXTS = {
    "deletion": ("old", "eat", "lap"),
    "blending": ("cat", "fox", "desk"),
    "nonword_repetition": ("teevog", "huhmeyf", "kerbohfim"),
    "sentence_repetition": ("we like to play", "she has a red hat", "it is cold"),
}
SAID = [utterance_of(task, text) for task, texts in TEXTS.items() for text in texts]


def write_part(folder: Path, part: str, n_clips: int, rng: np.random.Generator) -> None:
    rows = []
    for index in range(n_clips):
        task = list(TEXTS)[index % 4]
        text = TEXTS[task][index // 4 % 3]
        rows.append(
            (
                f"{part}{index}.wav",
                task,
                text,
                ("KG", "1", "2", "3")[index // 2 % 4],
                float(index % 2),
                f"s{index // 2 % 6}",
            )
        )
        soundfile.write(folder / rows[-1][0], tone(0.3, 200 + 50 * index, rng), 16000)
    table = pd.DataFrame(rows, columns=["filename", "task", "expected_text", "grade", "score", "speaker"])
    table = table.sample(frac=1, random_state=1)
    table[["filename", "task", "expected_text", "grade"]].to_csv(folder / f"{part}_metadata.csv", index=False)
    table[["filename", "score"]].to_csv(folder / f"{part}_labels.csv", index=False)
    table[["filename", "speaker"]].to_csv(folder / f"{part}_source.csv", index=False)
    if part == "test":
        table[["filename"]].sample(frac=1, random_state=2).assign(score=0.5).to_csv(
            folder / "submission_format.csv", index=False
        )


def tone(seconds: float, frequency_hz: float, rng: np.random.Generator) -> np.ndarray:
    """A tone in noise, float32 at 16 kHz."""
    times = np.arange(int(seconds * 16000)) / 16000
    return (0.3 * np.sin(2 * np.pi * frequency_hz * times) + 0.01 * rng.standard_normal(len(times))).astype(np.float32)


def tones(*tones_hz: float, seconds: float = 0.5) -> np.ndarray:
    """An answer in several attempts: tones with pauses of 0.6 s between, in a quiet room."""
    rng = np.random.default_rng(0)
    quiet = (1e-4 * rng.standard_normal(9_600)).astype(np.float32)
    return np.concatenate([quiet, *(part for hz in tones_hz for part in (tone(seconds, hz, rng), quiet))])


@dataclass(frozen=True)
class Outcome:
    code: int
    output: str
    error: str


Script = Callable[..., Outcome]


TRAINING = "--n_folds 2 --encoder encoder --epochs 1 --max_seconds 4 --batch_size 4 --num_workers 0".split()


def snapshot(folder: Path) -> dict[str, str]:
    """Every file and folder, with a checksum of its content."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in folder.rglob("*")
    }


def read_rows(file: Path) -> list[list[str]]:
    with open(file, newline="", encoding="utf-8") as stream:
        return list(csv.reader(stream))


def read_reasons(file: Path) -> list[list[str]]:
    """filename, score, reason of the clips of a `.problems.csv` that have a reason; tones are poor recordings too, and listed."""
    return [row[:3] for row in read_rows(file)[1:] if row[2]]


def write_rows(file: Path, rows: list[list[str]]) -> None:
    with open(file, "w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, lineterminator="\n").writerows(rows)


def set_cell(file: Path, row: int, column: str, value: str) -> None:
    rows = read_rows(file)
    rows[row - 1][rows[0].index(column)] = value
    write_rows(file, rows)


def set_line(file: Path, row: int, line: str) -> None:
    lines = file.read_text(encoding="utf-8").splitlines()
    lines[row - 1] = line
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def outside_data(name: str) -> Path:
    """A folder of recordings or tables that is no part of the project; the test is skipped where it is not there."""
    folder = Path(os.environ.get("SPEECH_TEXT_COMPARISON_DATA", "not set")) / name
    if not folder.is_dir():
        pytest.skip(f"needs {name} in the folder that SPEECH_TEXT_COMPARISON_DATA names")
    return folder


def times_of_references(folder: Path) -> dict[str, int]:
    """When each was written."""
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.wav")}


def listed_references(folder: Path) -> dict[str, str]:
    """Text -> file of `data_paths.csv`, read by Python's own csv module."""
    with open(folder / "data_paths.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["path", "text"]
    assert len({text for _, text in rows[1:]}) == len(rows) - 1
    return {text: path for path, text in rows[1:]}
