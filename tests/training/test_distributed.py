"""One fold on several processes under torchrun (here two on the CPU, with gloo) is the fold of one process.

Run: .venv/bin/python -m pytest tests/training/test_distributed.py
"""

import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from fakes import ROOT, jobs_on_tones, same_weights, with_options, write_part

from models.base.files import sole_writer
from models.ensemble.checkpoint import load_checkpoint
from models.training.fold import train_fold
from models.training.job import TrainingJob
from models.training.run_state import last_state
from models.training.trainer import SEEDS_APART

pytestmark = pytest.mark.slow

# Losses of one process and of two at the same global batch differ by rounding alone: float32 sums in another order.
TOLERANCE = 1e-5
AFTER_STEPS = 3e-4  # of a loss: Adam makes a whole step of a gradient that is rounded to either side of nothing
TINY = str(ROOT / "assets" / "encoders" / "phonetic-tiny")
# No dropout: each process draws its own. 12 held-out clips are an uneven number of batches of 5, and none but part of one of 16.
SAME = {"dropout": 0.0, "max_tries": 1}
LAYOUTS: dict[str, dict[str, object]] = {
    "joined": {"name": "model3mcp", **SAME},
    "fixed": {"name": "model2s", "padding": "fixed", "batch_size": 10, "epochs": 1, **SAME},
    "accumulated": {"name": "model3mapd", "batch_size": 8, "gradient_accumulation_steps": 2, **SAME},
    "uneven": {"name": "model2s", "batch_size": 24, "epochs": 1, **SAME},
    "apart": {"name": "aligntiny", "encoder": TINY, "epochs": 1, "learning_rate": 1e-4, **SAME},
    "matched": {
        "name": "model3mcp", "joint": "matched", "encoder": TINY, "epochs": 1, "learning_rate": 1e-4, **SAME
    },
}  # fmt: skip


def torchrun(*command: object) -> subprocess.CompletedProcess[str]:
    """On two processes of this machine. A process that waits for one that is gone waits for half an hour: that is too long."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    # Two processes write into one pipe: line by line, or what one says is torn by the other.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [*launch, *map(str, command)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        timeout=900,
    )


def train(folder: Path, jobs: Sequence[tuple[TrainingJob, str | None]]) -> subprocess.CompletedProcess[str]:
    (folder / "jobs.pickle").write_bytes(pickle.dumps(jobs))
    return torchrun("tests/training/one_of_several.py", folder / "jobs.pickle")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("distributed")


@pytest.fixture(scope="module")
def make_job(folder: Path, encoder_dir: Path) -> Callable[..., TrainingJob]:
    (folder / "data").mkdir()
    write_part(folder / "data", "train", 36, np.random.default_rng(0))
    return jobs_on_tones(folder / "data", encoder_dir, folder)


@pytest.fixture(scope="module")
def runs(folder: Path, make_job: Callable[..., TrainingJob]) -> dict[str, TrainingJob]:
    """Jobs that two processes have trained, all in one start: one of each layout, and those that other tests need."""
    jobs = {name: make_job(**settings, output_dir=folder / name) for name, settings in LAYOUTS.items()}
    dropping = {"name": "model3mcp", "epochs": 3, "max_tries": 2}
    jobs["whole"] = make_job(**dropping, output_dir=folder / "whole")
    jobs["collapsing"] = make_job(**dropping, output_dir=folder / "collapsing")
    second = jobs["collapsing"].recipe.seed + SEEDS_APART
    jobs["second try"] = make_job(**dropping, seed=second, output_dir=folder / "second")
    done = train(folder, [(job, "NaN" if name == "collapsing" else None) for name, job in jobs.items()])
    assert done.returncode == 0, done.stderr[-3000:]
    told = done.stdout.count("wrote "), done.stdout.count(" training and ")
    assert told == (len(jobs), len(jobs)), done.stdout  # one process speaks for both
    seeds = [set(re.findall(rf"process {rank} drops out with seed (\d+)", done.stdout)) for rank in range(2)]
    assert seeds[0]
    assert seeds[0].isdisjoint(seeds[1])
    return jobs


@pytest.mark.parametrize("layout", LAYOUTS)
def test_two_processes_have_the_loss_curve_of_one(layout: str, runs: dict[str, TrainingJob], tmp_path: Path) -> None:
    """The same global batch, each held-out clip once and in order, one checkpoint."""
    job = runs[layout]
    two = load_checkpoint(job.checkpoint_path)
    one = load_checkpoint(train_fold(with_options(job, output_dir=tmp_path)))
    assert two.oof.filenames == one.oof.filenames
    assert len(set(two.oof.filenames)) == len(two.oof.filenames) == len(two.oof.predictions) == 12
    for name, tolerance in (
        ("train_loss", TOLERANCE),
        ("validation_log_loss", AFTER_STEPS),
        ("validation_auc", TOLERANCE),
    ):
        curves = [[row[name] for row in checkpoint.history] for checkpoint in (one, two)]
        np.testing.assert_allclose(curves[1], curves[0], rtol=tolerance, atol=TOLERANCE)
    np.testing.assert_allclose(two.oof.predictions, one.oof.predictions, atol=1e-4)  # of weights rounded to float16
    assert [path.name for path in job.options.output_dir.glob("*.pth")] == [job.checkpoint_path.name]


def test_a_collapse_in_one_process_restarts_all(runs: dict[str, TrainingJob]) -> None:
    found, expected = (load_checkpoint(runs[name].checkpoint_path) for name in ("collapsing", "second try"))
    assert [item["seed"] for item in found.tries] == [runs["collapsing"].recipe.seed]
    assert "loss was nan" in found.tries[0]["outcome"]
    assert same_weights(found, expected)


def test_a_killed_process_ends_all_and_the_run_goes_on_to_the_same_bytes(
    runs: dict[str, TrainingJob], folder: Path
) -> None:
    """Killed while a state is being saved, which then is not whole: it lacks a part. The one before was saved in mid-epoch."""
    job = with_options(runs["whole"], output_dir=folder / "killed")
    assert train(folder, [(job, "kill")]).returncode != 0
    assert not job.checkpoint_path.exists()
    assert Path(str(last_state(job.run_dir))).name == "checkpoint-10"
    done = train(folder, [(job, None)])
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("going on from") == 1
    assert job.checkpoint_path.read_bytes() == runs["whole"].checkpoint_path.read_bytes()


def test_an_error_of_one_process_ends_all_with_one_message(make_job: Callable[..., TrainingJob], folder: Path) -> None:
    done = train(folder, [(make_job(output_dir=folder / "failing"), "fail")])
    assert done.returncode != 0
    assert done.stderr.count("this process alone has a fault") == 1


def test_a_second_run_is_refused_with_one_message(runs: dict[str, TrainingJob], folder: Path) -> None:
    job = with_options(runs["whole"], output_dir=folder / "held")
    with sole_writer(job.run_dir):
        done = train(folder, [(job, None)])
    assert done.returncode != 0
    assert done.stderr.count("another run is making it") == 1
    assert not job.checkpoint_path.exists()


def test_an_error_of_all_is_told_once(folder: Path) -> None:
    done = torchrun("train_model2s.py", "--data_dir", folder / "nowhere")
    assert done.returncode != 0
    assert done.stderr.count("error: ") == 1
    assert "nowhere" in done.stderr
