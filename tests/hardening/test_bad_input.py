"""Bad input, given to the scripts as a user runs them: a clear error, before any long work, and nothing is written.

Run: .venv/bin/python -m pytest tests/hardening/test_bad_input.py
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from fakes import (
    AUDIO_DAMAGE,
    INFER,
    ROOT,
    TRAIN,
    Script,
    read_rows,
    reference,
    set_cell,
    set_line,
    snapshot,
    write_rows,
)

from models.recipe import PUBLISHED
from models.speech.pronunciation import utterance_of

SCRIPTS = ("preprocess.py", "train.py", "check_models.py", "get_config.py", INFER)
PARTS = {"train": TRAIN, "test": INFER}  # which script reads which part of the data
ROW = 5  # where the tests put a wrong value, the header being row 1


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


# Help and usage


@pytest.mark.parametrize("name", [*SCRIPTS, *(f"train_{model}.py" for model in PUBLISHED)])
def test_help(name: str, script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = script(name, "--help")
    assert outcome.code == 0
    common = "--data_dir --tts_dir"
    training = f"{common} --n_folds --output_dir --group_by --groups --overwrite --device --precision --num_workers"
    training += (
        " --encoder --joint --epochs --batch_size --learning_rate --max_seconds --dropout --head --pooling --seed"
    )
    training += " --augment"
    options = {
        "preprocess.py": f"{common} --voice --speed --jobs",
        "train.py": f"{training} --models --folds",
        "check_models.py": "--assets_dir",
        "get_config.py": "--assets_dir --data_dir --output --blend --no_item_prior --models",
        INFER: f"{common} --config --checkpoints --output --folds_per_model --device --precision --num_workers --voice",
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


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("how", AUDIO_DAMAGE)
def test_broken_audio(part: str, how: str, work: Path, refused: Callable[..., str]) -> None:
    (work / "data" / f"{part}3.wav").unlink()
    AUDIO_DAMAGE[how](work / "data" / f"{part}3.wav")
    strict = [] if part == "train" else ["--strict"]
    refused(PARTS[part], *strict, mentions=(f"{part}3.wav",))


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
    strict = [] if part == "train" else ["--strict"]
    refused(PARTS[part], *strict, mentions=(name,))


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
    _, task, text, _ = read_rows(work / "data" / f"{part}_metadata.csv")[ROW - 1]
    file = reference(work / "tts_data", utterance_of(task, text)).name
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
    for name in ("lengths.check_audio_files", "fold.pretrained_network"):
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
