"""train.py --ray: folds as tasks of a cluster, which here is two nodes of this machine. Skipped where Ray is not installed.

Run: .venv/bin/python -m pytest tests/cluster/test_ray.py
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from background import Start, add_node, output, ray_cluster, session, starting, wait_for
from fakes import ROOT, SAID, Script, load, write_part

from models.clips.tables import fingerprint, read_training_table, utterances
from models.cluster.connection import check_room
from models.cluster.fold_task import FoldTask, Home, train_here
from models.ensemble.checkpoint import load_checkpoint
from models.errors import InputError
from models.speech.options import VoiceOptions
from models.speech.references import References
from models.speech.speaking import speak_references
from models.training.options import add_training_arguments, training_options

pytestmark = pytest.mark.slow

TINY = ROOT / "assets" / "encoders" / "phonetic-tiny"
FOLDS = "--n_folds 2 --encoder encoder --batch_size 4 --max_seconds 2.5 --max_tries 1 --num_workers 0".split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, encoder_dir: Path) -> Path:
    folder = tmp_path_factory.mktemp("ray")
    (folder / "data").mkdir()
    write_part(folder / "data", "train", 24, np.random.default_rng(0))
    speak_references(folder / "tts_data", SAID, VoiceOptions())
    (folder / "encoder").symlink_to(encoder_dir)
    return folder


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with ray_cluster() as cluster:
        yield cluster


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    with starting(folder, [str(ROOT / "train.py")], {}) as start:
        yield start


def trainings() -> list[str]:
    """Processes of Ray that train a fold."""
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if line.startswith(("ray::model", "ray::align"))]


def test_a_fold_goes_on_elsewhere_when_its_node_is_killed(cluster: Any, folder: Path, start: Start) -> None:
    """The output folder is seen by both nodes: what was trained before is not lost, and the bytes are those of train.py."""
    training = ["--models", "model2s", "--folds", 0, *FOLDS, "--epochs", 20, "--output_dir"]
    plain = start(*training, "plain")
    assert plain.wait() == 0, output(folder)
    node = add_node(cluster)
    process = start(*training, "out", "--ray", cluster.address, "--cpus_per_fold", 1)
    wait_for(lambda: list(folder.glob("out/runs/model2s_0/checkpoint-*/trainer_state.json")), folder)
    cluster.remove_node(node, allow_graceful=False)
    wait_for(lambda: not trainings(), folder)
    assert not (folder / "out" / "model2s_0.pth").exists()
    add_node(cluster)
    assert process.wait(600) == 0, output(folder)
    assert output(folder).count("model2s_0: begins on") == 2
    assert "going on from" in output(folder)
    assert "1 folds trained" in output(folder)
    assert (folder / "out" / "model2s_0.pth").read_bytes() == (folder / "plain" / "model2s_0.pth").read_bytes()


def test_results_come_back_and_a_failing_fold_stops_no_other(cluster: Any, folder: Path, start: Start) -> None:
    """From nodes that train in folders of their own; the fold that is finished already is not trained again."""
    while len([node for node in cluster.list_all_nodes() if node is not cluster.head_node]) < 1:
        add_node(cluster)
    first, options = folder / "away" / "model2s_0.pth", ["--output_dir", "away", "--epochs", 1, *FOLDS]
    options += [
        "--encoder",
        TINY,
        "--head",
        "hidden-4",
    ]  # its own head does not fit the encoder's comparison: aligntiny fails
    assert start("--models", "model2s", "--folds", 0, *options).wait() == 0, output(folder)
    written = first.stat().st_mtime_ns
    process = start(
        *("--models", "aligntiny", "model2s", *options),
        *("--ray", cluster.address, "--cpus_per_fold", 1, "--local_states"),
    )
    assert process.wait(300) == 1, output(folder)
    assert "1 folds trained, 1 finished already, 2 failed" in output(folder)
    assert "failed: aligntiny fold 1" in output(folder)
    assert os.uname().nodename in output(folder)
    assert first.stat().st_mtime_ns == written
    found = load_checkpoint(folder / "away" / "model2s_1.pth")
    assert len(found.oof.predictions) == 12
    assert list((folder / "away").glob("runs/model2s_1/**/events.out.tfevents*"))
    assert not [path.name for path in (folder / "away").iterdir() if path.name.startswith(".ray-")]


def test_ctrl_c_leaves_nothing_running(folder: Path, start: Start) -> None:
    """Without an address Ray is started here, and ends with the run; the fold can go on later."""
    pytest.importorskip("ray", reason="Ray is not installed")
    process = start(
        "--models", "model2s", "--output_dir", "stopped", "--epochs", 500, *FOLDS, "--ray", "--cpus_per_fold", 1
    )
    wait_for(lambda: len(list(folder.glob("stopped/runs/model2s_*/checkpoint-*/trainer_state.json"))) > 1, folder)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(300) == 130, output(folder)
    assert output(folder).rstrip().endswith("interrupted")
    wait_for(lambda: not session(process.pid), folder)


def test_without_ray_there_is_a_way_out(script: Script, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # as if it were not installed: any import fails
    outcome = script("train.py", "--models", "model2s", *FOLDS, "--output_dir", "new", "--ray")
    assert outcome.code == 1
    assert "pip install" in outcome.error
    assert not list(work.glob("new/*.pth"))


@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9", "127.0.0.1"])
def test_an_address_where_no_cluster_is_is_told_at_once(address: str, work: Path, script: Script) -> None:
    pytest.importorskip("ray", reason="Ray is not installed")
    started = time.monotonic()
    outcome = script("train.py", "--models", "model2s", *FOLDS, "--output_dir", "new", "--ray", address)
    assert outcome.code == 1
    assert address in outcome.error
    assert time.monotonic() - started < 30


@pytest.mark.parametrize(
    "option", ["--gpus_per_fold 0.5", "--cpus_per_fold 3", "--memory_per_fold 4", "--local_states"]
)
def test_options_of_ray_without_it_are_refused(option: str, script: Script, work: Path) -> None:
    outcome = script("train.py", "--models", "model2s", *FOLDS, "--output_dir", "new", *option.split())
    assert outcome.code == 1
    assert option.split()[0] in outcome.error
    assert not list(work.glob("new/*.pth"))


def test_nothing_imports_ray_unless_it_is_asked_for() -> None:
    code = "import sys, train; sys.exit('ray' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@dataclass
class FakeRay:
    """Nodes with these resources."""

    resources: list[dict[str, float]] = field(default_factory=list)

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True, "Resources": item} for item in self.resources]


def test_a_fold_that_no_node_could_hold_is_refused() -> None:
    needs = {"CPU": 2.0, "GPU": 0.5, "memory": 8 * 2.0**30}
    room = {"CPU": 4.0, "GPU": 1.0, "memory": 16 * 2.0**30}
    check_room(FakeRay([{"CPU": 1.0}, room]), needs, "fold")
    for kind in room:
        with pytest.raises(InputError, match=r"0\.5 GPUs and 8 GB"):
            check_room(FakeRay([{**room, kind: needs[kind] / 2}]), needs, "fold")


@pytest.fixture
def task(folder: Path, tmp_path: Path) -> FoldTask:
    parser = argparse.ArgumentParser()
    add_training_arguments(parser)
    words = [*FOLDS, "--epochs", "1", "--output_dir", str(tmp_path), "--encoder", str(folder / "encoder")]
    options = training_options(parser.parse_args(words), parser)
    home = Home("headnode", tmp_path, folder, ".ray-mark", local_states=False)
    table = read_training_table(folder / "data")
    references = References(folder / "tts_data").checksums(utterances(table))
    return FoldTask(load("model2s"), 0, options, fingerprint(table), references, home, cpus=1)


@pytest.mark.parametrize(
    "missing",
    [
        *("train_metadata.csv", "other data", "other words", "other corrections", "other list", "other reference"),
        "tts_data",
    ],
)
def test_a_node_without_the_data_says_so(
    missing: str, task: FoldTask, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    if missing == "train_metadata.csv":
        task = replace(task, home=replace(task.home, directory=tmp_path / "nowhere"))
    elif missing == "other data":
        task = replace(task, fingerprint="another")
    elif missing == "other corrections":
        file = task.home.directory / "corrections.csv"
        name = read_training_table(task.home.directory / "data")["filename"][0]
        file.write_text(f"filename,score\n{name},1\n")
        task = replace(task, options=replace(task.options, corrections=file), corrections="another")
    elif missing == "other list":
        file = task.home.directory / "left_out.csv"
        file.write_text(f"filename\n{read_training_table(task.home.directory / 'data')['filename'][0]}\n")
        task = replace(task, options=replace(task.options, leave_out=file), left_out="another")
    elif missing == "other words":
        words = task.home.directory / "words.csv"
        words.write_text(
            f"filename,index,right\n{read_training_table(task.home.directory / 'data')['filename'][0]},0,1\n"
        )
        settings = {"word_labels": words, "recipe": {**task.options.recipe, "token_loss": 0.5}}
        task = replace(
            task, recipe=load("verifytiny"), options=replace(task.options, **settings), word_labels="another"
        )
    elif missing == "other reference":
        task = replace(task, references={**task.references, "old": "0" * 64})
    else:
        task = replace(task, options=replace(task.options, tts_dir=Path("no_references")))
    result = train_here(task)
    assert result.error is not None
    told = {
        "other data": "other training data",
        "other corrections": "other corrections than",
        "other list": "another list than",
        "other words": "other word labels than on headnode",
        "other reference": "another reference of",
        "tts_data": "no_references",
    }
    assert told.get(missing, missing) in result.error
    assert str(task.home.directory) in result.error
