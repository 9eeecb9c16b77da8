"""Bad input, given to the scripts as a user runs them: a clear error, before any long work, and nothing is written.

Run: .venv/bin/python -m pytest tests/test_bad_input.py
"""

import csv
import hashlib
import json
import os
import pickle
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from conftest import ROOT, write_part
from simulate import trained_checkpoint

from models.checkpoint import save_checkpoint
from models.config_file import EnsembleConfig, ModelEntry, write_config
from models.files import sha256_of_file
from models.recipe import PUBLISHED
from models.references import read_identity

TRAIN, INFER = "train_model2s.py", "infer.py"
SCRIPTS = ("preprocess.py", "train.py", "check_models.py", "get_config.py", INFER)
PARTS = {"train": TRAIN, "test": INFER}  # which script reads which part of the data
ROW = 5  # where the tests put a wrong value, the header being row 1
OLD_TORCH = tuple(int(part) for part in torch.__version__.split(".")[:2]) < (2, 6)


@dataclass(frozen=True)
class Outcome:
    code: int
    output: str
    error: str


Script = Callable[..., Outcome]


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, encoder_dir: Path) -> Path:
    """A folder in which everything is right: data, references, two checkpoints and their configuration."""
    folder = tmp_path_factory.mktemp("prepared")
    (folder / "data").mkdir()
    for part, n_clips in (("train", 24), ("test", 8)):
        write_part(folder / "data", part, n_clips, np.random.default_rng(0))
    command = [sys.executable, str(ROOT / "preprocess.py"), "--jobs", "1"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    shutil.copytree(encoder_dir, folder / "encoder")
    voice, sha256 = read_identity(folder / "tts_data"), []
    paths = [folder / "assets" / f"model2s_{fold}.pth" for fold in range(2)]
    for fold, path in enumerate(paths):
        save_checkpoint(path, replace(trained_checkpoint(encoder_dir, fold=fold), voice=voice, n_folds=2))
        sha256.append(sha256_of_file(path))
    names = [path.relative_to(folder).as_posix() for path in paths]
    entry = ModelEntry("model2s", 1.0, names, [0, 1], sha256, max_seconds=4.0, batch_size=4)
    write_config(folder / "model_configs.pkl", EnsembleConfig(2, voice, "data", [entry]))
    return folder


@pytest.fixture
def work(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to damage, and the current folder."""
    folder = tmp_path / "work"
    shutil.copytree(prepared, folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Script:
    """Run a script as `python NAME …` would, but in this process, which has imported torch already."""
    monkeypatch.syspath_prepend(str(ROOT))

    def call(name: str, *arguments: object) -> Outcome:
        usual = {TRAIN: TRAINING, INFER: ["--num_workers", "0"]}.get(name, [])
        monkeypatch.setattr(sys, "argv", [name, *usual, *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(ROOT / name), run_name="__main__")
        code, (output, error) = ended.value.code, capfd.readouterr()
        return Outcome(1, output, f"{error}{code}") if isinstance(code, str) else Outcome(int(code or 0), output, error)

    return call


TRAINING = "--n_folds 2 --encoder encoder --epochs 1 --max_seconds 4 --batch_size 4 --num_workers 0".split()


@pytest.fixture
def refused(script: Script, monkeypatch: pytest.MonkeyPatch, work: Path) -> Callable[..., str]:
    """Run a script that must stop with exit code 1 before it trains or scores, with nothing written; returns its message."""

    def long_work(*_: object, **__: object) -> None:
        pytest.fail("the long work has begun")

    def call(name: str, *arguments: object, mentions: tuple[object, ...] = ()) -> str:
        monkeypatch.setattr("models.training.FoldTrainer.train", long_work)
        monkeypatch.setattr("models.inference.score_clips", long_work)
        before = snapshot(work)
        outcome = script(name, *arguments)
        assert outcome.code == 1, outcome.error
        assert "error: " in outcome.error
        for text in mentions:
            assert str(text) in outcome.error
        assert snapshot(work) == before
        return outcome.error

    return call


def snapshot(folder: Path) -> dict[str, str]:
    """Every file and folder, with a checksum of its content."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in folder.rglob("*")
    }


def read_rows(file: Path) -> list[list[str]]:
    with open(file, newline="", encoding="utf-8") as stream:
        return list(csv.reader(stream))


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


# The prepared folder is right: what the other tests see is due to their damage alone


def test_the_prepared_folder_trains(script: Script, work: Path) -> None:
    pytest.importorskip("tensorboard")
    outcome = script(TRAIN, "--fold", 1)
    assert outcome.code == 0, outcome.error
    assert (work / "model2s_1.pth").is_file()


def test_the_prepared_folder_is_scored(script: Script, work: Path) -> None:
    outcome = script(INFER)
    assert outcome.code == 0, outcome.error
    names = [row[0] for row in read_rows(work / "submission.csv")]
    assert names == [row[0] for row in read_rows(work / "data" / "submission_format.csv")]


# As a process of its own


@pytest.mark.parametrize("name", [TRAIN, INFER, "train.py"])
def test_exit_code_and_message_of_a_process(name: str, work: Path) -> None:
    part = "test" if name == INFER else "train"
    set_cell(work / "data" / f"{part}_metadata.csv", ROW, "grade", "9")
    before = snapshot(work)
    command = [
        sys.executable,
        str(ROOT / name),
        *(["--models", "model2s", "--folds", "0"] if name == "train.py" else []),
    ]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"{part}_metadata.csv, row {ROW}:" in done.stderr
    assert "'9'" in done.stderr
    assert "Traceback" not in done.stderr
    assert snapshot(work) == before


def test_a_payload_in_the_configuration_of_a_process(work: Path) -> None:
    (work / "model_configs.pkl").write_bytes(pickle.dumps(Payload(work / "ran")))
    done = subprocess.run([sys.executable, str(ROOT / INFER)], cwd=work, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "model_configs.pkl" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (work / "ran").exists()


# Help and usage


@pytest.mark.parametrize("name", [*SCRIPTS, *(f"train_{model}.py" for model in PUBLISHED)])
def test_help(name: str, script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = script(name, "--help")
    assert outcome.code == 0
    common = "--data_dir --tts_dir"
    training = f"{common} --n_folds --output_dir --group_by --groups --overwrite --device --precision --num_workers"
    training += (
        " --encoder --epochs --batch_size --learning_rate --max_seconds --dropout --head --pooling --seed --augment"
    )
    options = {
        "preprocess.py": f"{common} --voice --speed --jobs",
        "train.py": f"{training} --models --folds",
        "check_models.py": "--assets_dir",
        "get_config.py": "--assets_dir --output",
        INFER: f"{common} --config --output --folds_per_model --device --precision --num_workers --voice",
    }
    for option in options.get(name, f"{training} --fold").split():
        assert f"{option} " in outcome.output
    assert f"python {name}" in outcome.output  # an example
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        (TRAIN, "--n_folds 0"),
        (TRAIN, "--fold first"),
        (TRAIN, "--learning_rate fast"),
        (TRAIN, "--epochs 1.5"),
        (TRAIN, "--pooling sum"),
        (TRAIN, "--augment pitch"),
        (TRAIN, "--precision int8"),
        (TRAIN, "--num_workers -1"),
        (TRAIN, "--gradient_accumulation_steps 0"),
        (TRAIN, "--batchsize 4"),
        (INFER, "--folds_per_model 0"),
        (INFER, "--num_workers two"),
        ("preprocess.py", "--jobs 0"),
        ("preprocess.py", "--speed slow"),
    ],
)
def test_usage_errors(name: str, arguments: str, script: Script, work: Path) -> None:
    before = snapshot(work)
    outcome = script(name, *arguments.split())
    assert outcome.code == 2
    assert arguments.split()[0] in outcome.error
    assert snapshot(work) == before


# Tables


@pytest.mark.parametrize(
    ("name", "file"),
    [
        (TRAIN, "train_metadata.csv"),
        (TRAIN, "train_labels.csv"),
        (INFER, "test_metadata.csv"),
        (INFER, "submission_format.csv"),
        ("preprocess.py", "train_metadata.csv"),
    ],
)
@pytest.mark.parametrize("how", ["missing", "folder", "empty", "header only", "other columns", "latin-1"])
def test_broken_tables(name: str, file: str, how: str, work: Path, refused: Callable[..., str]) -> None:
    path = work / "data" / file
    lines = path.read_bytes().splitlines(keepends=True)
    path.unlink()
    if how == "folder":
        path.mkdir()
    elif how != "missing":
        content = {
            "empty": b"",
            "header only": lines[0],
            "other columns": b"".join([lines[0].replace(b"filename", b"file"), *lines[1:]]),
            "latin-1": b"".join([*lines[: ROW - 1], "é".encode("latin-1"), *lines[ROW - 1 :]]),
        }
        path.write_bytes(content[how])
    details = {"other columns": ("'filename'",), "latin-1": (f"line {ROW}", "UTF-8")}
    refused(name, mentions=(file, *details.get(how, ())))


def test_missing_data_folder(work: Path, refused: Callable[..., str]) -> None:
    for name in (TRAIN, INFER, "preprocess.py"):
        refused(name, "--data_dir", work / "nowhere", mentions=(work / "nowhere",))


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("task", "reading"),
        ("task", ""),
        ("grade", "4"),
        ("grade", ""),
        ("expected_text", " "),
        ("filename", ""),
        ("filename", "/etc/passwd"),
        ("filename", "../secret.wav"),
    ],
)
def test_wrong_metadata(part: str, column: str, value: str, work: Path, refused: Callable[..., str]) -> None:
    set_cell(work / "data" / f"{part}_metadata.csv", ROW, column, value)
    refused(PARTS[part], mentions=(f"{part}_metadata.csv, row {ROW}:", column, repr(value)))


@pytest.mark.parametrize("value", ["2", "1.5", "", "nan", "yes"])
def test_wrong_labels(value: str, work: Path, refused: Callable[..., str]) -> None:
    set_cell(work / "data" / "train_labels.csv", ROW, "score", value)
    refused(TRAIN, mentions=(f"train_labels.csv, row {ROW}:", "score", repr(value)))


@pytest.mark.parametrize(
    "file", ["train_metadata.csv", "train_labels.csv", "test_metadata.csv", "submission_format.csv"]
)
def test_duplicate_filename(file: str, work: Path, refused: Callable[..., str]) -> None:
    path = work / "data" / file
    name = read_rows(path)[2][0]
    set_cell(path, ROW, "filename", name)
    refused(TRAIN if file.startswith("train") else INFER, mentions=(f"{file}, row {ROW}:", repr(name)))


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("line", ["a.wav,deletion,one, two,KG", "a.wav,deletion,old"])
def test_rows_of_another_length(part: str, line: str, work: Path, refused: Callable[..., str]) -> None:
    set_line(work / "data" / f"{part}_metadata.csv", ROW, line)
    refused(PARTS[part], mentions=(f"{part}_metadata.csv, row {ROW}:", line))


@pytest.mark.parametrize("part", PARTS)
def test_nul_in_a_filename(part: str, work: Path, refused: Callable[..., str]) -> None:
    set_line(work / "data" / f"{part}_metadata.csv", ROW, "odd\0.wav,deletion,old,KG")
    refused(PARTS[part], mentions=(f"{part}_metadata.csv, line {ROW}:", "odd"))


@pytest.mark.parametrize(
    ("shorter", "longer"),
    [
        ("train_metadata.csv", "train_labels.csv"),
        ("train_labels.csv", "train_metadata.csv"),
        ("test_metadata.csv", "submission_format.csv"),
        ("submission_format.csv", "test_metadata.csv"),
    ],
)
def test_tables_that_disagree(shorter: str, longer: str, work: Path, refused: Callable[..., str]) -> None:
    rows = read_rows(work / "data" / shorter)
    missing = rows.pop(ROW - 1)[0]
    write_rows(work / "data" / shorter, rows)
    row = 1 + [row[0] for row in read_rows(work / "data" / longer)].index(missing)
    name = TRAIN if shorter.startswith("train") else INFER
    refused(name, mentions=(f"{longer}, row {row}:", shorter, repr(missing)))


# Audio


def nan_audio(path: Path) -> None:
    samples = np.zeros(1000)
    samples[7] = np.nan
    soundfile.write(path, samples, 16000, subtype="FLOAT")


AUDIO_DAMAGE: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: None,
    "folder": lambda path: path.mkdir(),
    "random bytes": lambda path: path.write_bytes(np.random.default_rng(0).bytes(1000)),
    "truncated header": lambda path: path.write_bytes(b"RIFF\x00\x00\x00\x00WAVEfmt "),
    "no bytes": lambda path: path.write_bytes(b""),
    "no samples": lambda path: soundfile.write(path, np.zeros(0), 16000),
    "NaN": nan_audio,
    "infinite": lambda path: soundfile.write(path, np.array([0, np.inf]), 16000, subtype="DOUBLE"),
    "circle of links": lambda path: path.symlink_to(path.name),
}


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("how", AUDIO_DAMAGE)
def test_broken_audio(part: str, how: str, work: Path, refused: Callable[..., str]) -> None:
    (work / "data" / f"{part}3.wav").unlink()
    AUDIO_DAMAGE[how](work / "data" / f"{part}3.wav")
    refused(PARTS[part], mentions=(f"{part}3.wav",))


@pytest.mark.parametrize("part", PARTS)
def test_a_link_out_of_the_data_folder(part: str, work: Path, refused: Callable[..., str]) -> None:
    clip = work / "data" / f"{part}3.wav"
    clip.rename(work / "secret.wav")
    clip.symlink_to(work / "secret.wav")
    refused(PARTS[part], mentions=(f"{part}3.wav", "data folder"))


@pytest.mark.parametrize("part", PARTS)
def test_a_name_that_is_too_long(part: str, work: Path, refused: Callable[..., str]) -> None:
    name = "a" * 300 + ".wav"
    files = (
        ("train_metadata.csv", "train_labels.csv")
        if part == "train"
        else ("test_metadata.csv", "submission_format.csv")
    )
    old = read_rows(work / "data" / files[0])[1][0]
    for file in files:
        row = 1 + [row[0] for row in read_rows(work / "data" / file)].index(old)
        set_cell(work / "data" / file, row, "filename", name)
    refused(PARTS[part], mentions=(name,))


# References


def test_a_text_without_reference(work: Path, refused: Callable[..., str]) -> None:
    set_cell(work / "data" / "train_metadata.csv", ROW, "expected_text", "never spoken")
    refused(TRAIN, mentions=("tts_data", "'never spoken'", "preprocess.py"))


def test_no_references(work: Path, refused: Callable[..., str]) -> None:
    shutil.rmtree(work / "tts_data")
    refused(TRAIN, mentions=("tts_data", "preprocess.py"))


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("content", [b"RIFF", b""])
def test_a_broken_reference(part: str, content: bytes, work: Path, refused: Callable[..., str]) -> None:
    text = read_rows(work / "data" / f"{part}_metadata.csv")[ROW - 1][2]
    file = next(row[0] for row in read_rows(work / "tts_data" / "data_paths.csv") if row[1] == text)
    (work / "tts_data" / file).write_bytes(content)
    refused(PARTS[part], mentions=(file,))


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("content", ["", "{", "[]", "{}"])
def test_a_broken_voice_file(part: str, content: str, work: Path, refused: Callable[..., str]) -> None:
    (work / "tts_data" / "voice.json").write_text(content)
    refused(PARTS[part], mentions=("voice.json",))


def test_references_by_another_voice_than_the_models(work: Path, refused: Callable[..., str]) -> None:
    file = work / "tts_data" / "voice.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"speed": 1.25}))
    refused(INFER, mentions=("tts_data", "1.25", "0.7"))


# Options of training


@pytest.mark.parametrize(
    ("arguments", "mentions"),
    [
        ("--fold 2", "2 0..1"),
        ("--fold -1", "-1 0..1"),
        ("--n_folds 1", "--n_folds 1"),
        ("--n_folds 25", "25 24"),
        ("--batch_size 13", "--batch_size 13 12"),
        ("--batch_size 0", "batch_size 0"),
        ("--dropout 2", "dropout 2"),
        ("--dropout nan", "dropout nan"),
        ("--learning_rate 0", "learning_rate 0"),
        ("--learning_rate nan", "learning_rate nan"),
        ("--weight_decay -1", "weight_decay -1"),
        ("--epochs 0", "epochs 0"),
        ("--max_seconds 0", "max_seconds 0"),
        ("--max_seconds 31", "max_seconds 31"),
        ("--max_seconds 0.6", "max_seconds 0.6"),
        ("--seed -1", "seed -1"),
        ("--head foo", "head foo"),
        ("--head hidden-0", "head hidden-0"),
        ("--gradient_accumulation_steps 3", "--batch_size 4"),
        ("--device tpu", "--device tpu cpu cuda"),
        ("--device cuda:99", "--device cuda:99"),
        ("--precision fp16 --device cpu", "--precision fp16"),
        ("--groups data/train_source.csv", "--groups --group_by"),
        ("--group_by school", "train_metadata.csv 'school' filename"),
        ("--groups data/train_source.csv --group_by school", "train_source.csv 'school' speaker"),
        ("--groups nowhere.csv --group_by speaker", "nowhere.csv"),
        ("--groups data/train_source.csv --group_by speaker --n_folds 7", "7 6"),
    ],
)
def test_options_out_of_range(arguments: str, mentions: str, refused: Callable[..., str]) -> None:
    refused(TRAIN, *arguments.split(), mentions=tuple(mentions.split()))


@pytest.mark.parametrize("arguments", ["--precision fp16 --device cpu", "--gradient_accumulation_steps 3"])
def test_options_are_checked_before_audio_and_encoder_are_read(
    arguments: str, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("check_audio_files", "pretrained_network"):
        monkeypatch.setattr(f"models.training.{name}", lambda *_: pytest.fail("the long work has begun"))
    refused(TRAIN, *arguments.split())


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize("name", [TRAIN, INFER])
def test_no_gpu(name: str, refused: Callable[..., str]) -> None:
    refused(name, "--device", "cuda", mentions=("--device cuda",))


def test_a_clip_without_group(work: Path, refused: Callable[..., str]) -> None:
    rows = read_rows(work / "data" / "train_source.csv")
    missing = rows.pop(ROW - 1)[0]
    write_rows(work / "data" / "train_source.csv", rows)
    arguments = ("--groups", "data/train_source.csv", "--group_by", "speaker")
    refused(TRAIN, *arguments, mentions=("train_source.csv", repr(missing)))


@pytest.mark.parametrize("source", ["openai/whisper-small", "nowhere", "./nowhere", "/nowhere/encoder", "data"])
def test_an_encoder_that_is_not_there(source: str, refused: Callable[..., str]) -> None:
    message = refused(TRAIN, "--encoder", source, mentions=(f"--encoder {source}",))
    if source == "openai/whisper-small":
        assert "without network" in message.lower()
        assert "download openai/whisper-small" in message


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.json", b""),
        ("config.json", b'{"model_type": "bert"}'),
        ("model.safetensors", b""),
        ("model.safetensors", b"\x08\x00\x00\x00\x00\x00\x00\x00{}      truncated"),
        ("model.safetensors", None),
    ],
)
def test_a_broken_encoder_folder(file: str, content: bytes | None, work: Path, refused: Callable[..., str]) -> None:
    if content is None:
        content = (work / "encoder" / file).read_bytes()[:-1000]
    (work / "encoder" / file).write_bytes(content)
    refused(TRAIN, mentions=("--encoder encoder",))


@pytest.mark.parametrize("output", ["file", "file/folder"])
def test_an_output_folder_that_is_a_file(output: str, work: Path, refused: Callable[..., str]) -> None:
    (work / "file").write_text("kept")
    refused(TRAIN, "--output_dir", output, mentions=(f"--output_dir {output}",))


def test_train_py_names_an_unknown_model_and_goes_on_after_a_bad_fold(work: Path, refused: Callable[..., str]) -> None:
    refused("train.py", "--models", "model9", mentions=("model9", "model3mapd"))
    refused("train.py", "--models", "model2s", "--folds", 5, 6, "--n_folds", 2, mentions=("--fold 5", "--fold 6"))


# Checkpoints


class Payload:
    """Unpickling this leaves a file behind."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.marker),)


def damage_checkpoint(path: Path, how: str, marker: Path) -> None:
    whole = path.read_bytes()
    changed: dict[str, Callable[[], object]] = {
        "truncated": lambda: path.write_bytes(whole[: len(whole) // 2]),
        "last bytes missing": lambda: path.write_bytes(whole[:-10]),
        "no bytes": lambda: path.write_bytes(b""),
        "random bytes": lambda: path.write_bytes(np.random.default_rng(0).bytes(10_000)),
        "pickle with a payload": lambda: path.write_bytes(pickle.dumps(Payload(marker))),
        "torch.save of a payload": lambda: torch.save({"weights": Payload(marker)}, path),
        "torch.save of a list": lambda: torch.save([1, 2], path),
        "torch.save of a tensor": lambda: torch.save(torch.zeros(3), path),
        "torch.save of other weights": lambda: torch.save({"weight": torch.zeros(3)}, path),
        "a field is missing": lambda: torch.save(without(torch.load(path, weights_only=True), "oof"), path),
    }
    changed[how]()


def without(content: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in content.items() if key != name}


CHECKPOINT_DAMAGE = (
    "truncated",
    "last bytes missing",
    "no bytes",
    "random bytes",
    "pickle with a payload",
    "torch.save of a payload",
    "torch.save of a list",
    "torch.save of a tensor",
    "torch.save of other weights",
    "a field is missing",
)


def test_the_payloads_work(tmp_path: Path) -> None:
    """Or the tests that they don't run could not fail."""
    pickle.loads(pickle.dumps(Payload(tmp_path / "ran")))
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("how", CHECKPOINT_DAMAGE)
def test_training_does_not_touch_a_checkpoint_that_it_can_not_read(
    how: str, work: Path, refused: Callable[..., str]
) -> None:
    damage_checkpoint(work / "assets" / "model2s_0.pth", how, work / "ran")
    refused(TRAIN, "--output_dir", "assets", mentions=("model2s_0.pth",))
    assert not (work / "ran").exists()


@pytest.mark.skipif(OLD_TORCH, reason="needs torch 2.6 to read a checkpoint without its checksum")
def test_training_does_not_touch_a_checkpoint_of_other_data(work: Path, refused: Callable[..., str]) -> None:
    refused(TRAIN, "--output_dir", "assets", mentions=("model2s_0.pth", "data", "--overwrite"))


@pytest.mark.parametrize("how", CHECKPOINT_DAMAGE)
def test_other_scripts_name_a_broken_checkpoint(
    how: str, work: Path, script: Script, refused: Callable[..., str]
) -> None:
    damage_checkpoint(work / "assets" / "model2s_1.pth", how, work / "ran")
    before = snapshot(work)
    outcome = script("check_models.py")
    assert outcome.code == 1
    assert "model2s_1.pth" in outcome.output
    assert snapshot(work) == before
    refused("get_config.py", mentions=("model2s_0.pth" if OLD_TORCH else "model2s_1.pth",))
    assert not (work / "ran").exists()


def test_no_checkpoints(work: Path, refused: Callable[..., str]) -> None:
    for name in ("check_models.py", "get_config.py"):
        refused(name, "--assets_dir", "data", mentions=("data",))
        refused(name, "--assets_dir", "nowhere", mentions=("nowhere",))


@pytest.mark.parametrize("how", CHECKPOINT_DAMAGE)
def test_inference_with_a_broken_checkpoint(how: str, work: Path, refused: Callable[..., str]) -> None:
    """Once with the checksum of the sound file, once with that of the broken one."""
    path = work / "assets" / "model2s_1.pth"
    damage_checkpoint(path, how, work / "ran")
    refused(INFER, mentions=("model2s_1.pth", "checksum"))
    change_config(work, sha256=[sha256_of_file(work / "assets" / "model2s_0.pth"), sha256_of_file(path)])
    refused(INFER, mentions=("model2s_1.pth",))
    assert not (work / "ran").exists()


def test_a_checkpoint_with_weights_of_another_network(work: Path, refused: Callable[..., str]) -> None:
    path = work / "assets" / "model2s_1.pth"
    content = torch.load(path, weights_only=True)
    content["weights"]["head.0.weight"] = torch.zeros(1, 7)
    torch.save(content, path)
    change_config(work, sha256=[sha256_of_file(work / "assets" / "model2s_0.pth"), sha256_of_file(path)])
    refused(INFER, mentions=("model2s_1.pth",))


# The ensemble's configuration


def change_config(work: Path, **entry: object) -> None:
    """Change fields of the configuration's only model."""
    content = pickle.loads((work / "model_configs.pkl").read_bytes())
    content["models"][0] |= entry
    (work / "model_configs.pkl").write_bytes(pickle.dumps(content))


@pytest.mark.parametrize(
    "content", [b"", b"PK", np.random.default_rng(0).bytes(1000), pickle.dumps([1, 2]), pickle.dumps({"models": []})]
)
def test_a_file_that_is_no_configuration(content: bytes, work: Path, refused: Callable[..., str]) -> None:
    (work / "model_configs.pkl").write_bytes(content)
    refused(INFER, mentions=("model_configs.pkl",))


@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_a_truncated_configuration(share: float, work: Path, refused: Callable[..., str]) -> None:
    content = (work / "model_configs.pkl").read_bytes()
    (work / "model_configs.pkl").write_bytes(content[: int(share * len(content))])
    refused(INFER, mentions=("model_configs.pkl",))


def test_a_configuration_with_a_payload(work: Path, refused: Callable[..., str]) -> None:
    content = pickle.loads((work / "model_configs.pkl").read_bytes())
    (work / "model_configs.pkl").write_bytes(pickle.dumps(content | {"voice": Payload(work / "ran")}))
    refused(INFER, mentions=("model_configs.pkl",))
    assert not (work / "ran").exists()


def test_no_configuration(work: Path, refused: Callable[..., str]) -> None:
    refused(INFER, "--config", "nowhere.pkl", mentions=("nowhere.pkl", "get_config.py"))
    refused(INFER, "--config", "data", mentions=("data",))


@pytest.mark.parametrize(
    "entry",
    [
        {"weight": 0.5},
        {"weight": "1"},
        {"weight": None},
        {"paths": []},
        {"paths": [1, 2]},
        {"paths": None},
        {"paths": ["assets/model2s_0.pth"]},
        {"folds": [1, 0]},
        {"folds": ["0", "1"]},
        {"sha256": [None, None]},
        {"sha256": [1, 2]},
        {"batch_size": 0},
        {"batch_size": 2.5},
        {"max_seconds": "4"},
        {"name": "model2m"},
        {"surplus": 1},
    ],
    ids=str,
)
def test_a_configuration_with_a_wrong_model(entry: dict[str, object], work: Path, refused: Callable[..., str]) -> None:
    change_config(work, **entry)
    refused(INFER, mentions=("get_config.py",))


@pytest.mark.parametrize(
    "change",
    [
        {"models": {}},
        {"models": None},
        {"models": [1]},
        {"n_folds": 6},
        {"n_folds": "2"},
        {"voice": None},
        {"voice": {}},
        {"data_fingerprint": "other"},
        {"surplus": 1},
    ],
    ids=str,
)
def test_a_configuration_of_a_wrong_structure(
    change: dict[str, object], work: Path, refused: Callable[..., str]
) -> None:
    content = pickle.loads((work / "model_configs.pkl").read_bytes())
    (work / "model_configs.pkl").write_bytes(pickle.dumps(content | change))
    refused(INFER, mentions=("get_config.py",))


def test_a_configuration_with_a_changed_checksum(work: Path, refused: Callable[..., str]) -> None:
    change_config(work, sha256=["0" * 64, "0" * 64])
    refused(INFER, mentions=("model2s_0.pth", "checksum"))


def test_a_configuration_whose_checkpoint_is_missing(work: Path, refused: Callable[..., str]) -> None:
    (work / "assets" / "model2s_1.pth").unlink()
    refused(INFER, mentions=("model2s_1.pth",))


# Options of inference and of the other scripts


@pytest.mark.parametrize(
    ("arguments", "mentions"),
    [
        ("--folds_per_model 3", "--folds_per_model 3"),
        ("--device tpu", "--device tpu"),
        ("--device cuda:99", "--device cuda:99"),
        ("--precision fp16 --device cpu", "--precision fp16"),
        ("--tts_dir nowhere --voice nowhere", "nowhere"),
    ],
)
def test_options_of_inference(arguments: str, mentions: str, refused: Callable[..., str]) -> None:
    refused(INFER, *arguments.split(), mentions=tuple(mentions.split()))


@pytest.mark.parametrize("output", ["data", "model_configs.pkl/submission.csv"])
def test_an_output_that_can_not_be_written(output: str, refused: Callable[..., str]) -> None:
    refused(INFER, "--output", output, mentions=(Path(output).parts[0],))


@pytest.mark.parametrize(
    "arguments",
    ["--device cuda:99", "--precision fp16 --device cpu", "--folds_per_model 3"],
)
def test_nothing_is_spoken_before_the_options_are_checked(
    arguments: str, work: Path, refused: Callable[..., str]
) -> None:
    set_cell(work / "data" / "test_metadata.csv", ROW, "expected_text", "never spoken")
    refused(INFER, *arguments.split(), mentions=tuple(arguments.split()[:2]))


@pytest.mark.parametrize(
    ("speed", "voice"), [("0", "espeak"), ("nan", "espeak"), ("9", "espeak"), ("0.7", "./nowhere")]
)
def test_options_of_preprocessing(speed: str, voice: str, work: Path, refused: Callable[..., str]) -> None:
    shutil.rmtree(work / "tts_data")
    refused("preprocess.py", "--speed", speed, "--voice", voice, mentions=(voice if voice != "espeak" else speed,))


@pytest.mark.parametrize(
    ("name", "option"), [("preprocess.py", "--tts_dir"), ("get_config.py", "--output"), (TRAIN, "--tts_dir")]
)
def test_a_path_that_leads_through_a_file(name: str, option: str, work: Path, refused: Callable[..., str]) -> None:
    if name == "get_config.py" and OLD_TORCH:
        pytest.skip("needs torch 2.6 to read checkpoints without their checksums")
    refused(name, option, "model_configs.pkl/there", mentions=("model_configs.pkl",))


def test_preprocessing_into_the_references_of_another_voice(work: Path, refused: Callable[..., str]) -> None:
    refused("preprocess.py", "--speed", "1.25", mentions=("tts_data", "1.25", "0.7"))
