"""Runs that stop learning are noticed early, begun again with another seed, and remembered.

Run: .venv/bin/python -m pytest tests/training/test_collapse.py
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from fakes import Script, same_weights

from models.ensemble.checkpoint import load_checkpoint, save_checkpoint
from models.ensemble.metrics import log_loss
from models.errors import InputError
from models.speech.references import References
from models.training.fold import train_fold
from models.training.job import TrainingJob
from models.training.run_state import past_tries
from models.training.trainer import SEEDS_APART, Collapse, FoldTrainer, check_learnt

Step = Callable[..., torch.Tensor]


def spoil_loss(trainer: FoldTrainer, loss: torch.Tensor, value: float) -> torch.Tensor:
    return loss * value


def spoil_gradients(trainer: FoldTrainer, loss: torch.Tensor, value: float) -> torch.Tensor:
    for parameter in trainer.model.parameters():
        if parameter.grad is not None:
            parameter.grad.mul_(value)
    return loss


INJURIES = {
    "NaN": (spoil_loss, float("nan"), "loss was nan"),
    "infinite": (spoil_loss, float("inf"), "loss was inf"),
    "vanishing": (spoil_gradients, 0.0, "gradients vanished"),
}


@pytest.fixture
def injure(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[int]]:
    """Spoil every step after the third in runs of the given seeds; returns the seed of each step that was made."""

    def call(how: str, seeds: set[int]) -> list[int]:
        steps: list[int] = []
        original = FoldTrainer.training_step
        spoil, value, _ = INJURIES[how]

        def step(self: FoldTrainer, *arguments: object, **more: object) -> torch.Tensor:
            steps.append(self.args.seed)
            loss = original(self, *arguments, **more)
            return spoil(self, loss, value) if self.args.seed in seeds and steps.count(self.args.seed) > 3 else loss

        monkeypatch.setattr(FoldTrainer, "training_step", step)
        return steps

    return call


def learnable(job: TrainingJob) -> Iterator[Path]:
    """Right answers stay tones, wrong ones become noise."""
    rng = np.random.default_rng(0)
    for part in (job.train, job.validation):
        for name in part.loc[part["score"] == 0, "filename"]:
            soundfile.write(job.options.data_dir / name, np.clip(rng.normal(0, 0.3, 4800), -1, 1), 16000)
            yield job.options.data_dir / name


LEARNING = {"epochs": 10, "schedule_epochs": 10, "learning_rate": 3e-3, "dropout": 0.0, "augment": "none"}


@pytest.mark.slow
@pytest.mark.parametrize("how", INJURIES)
def test_a_collapsed_run_is_begun_again_with_another_seed(
    how: str,
    make_job: Callable[..., TrainingJob],
    injure: Callable[..., list[int]],
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Noticed within the first epochs; the second try's result is that of a run that had its seed from the start."""
    job = make_job(max_tries=2, **LEARNING)
    assert list(learnable(job))
    first, second = job.recipe.seed, job.recipe.seed + SEEDS_APART
    steps = injure(how, {first})
    found = load_checkpoint(train_fold(job))
    assert steps.count(first) < 10  # of 60
    assert steps.count(second) == 60
    assert [item["seed"] for item in found.tries] == [first]
    assert INJURIES[how][2] in found.tries[0]["outcome"]
    assert "try 1 of 2" in capfd.readouterr().out
    assert log_loss(found.oof.labels, found.oof.predictions) < 0.6
    undisturbed = make_job(**LEARNING, seed=second, output_dir=job.options.output_dir / "undisturbed")
    assert same_weights(found, load_checkpoint(train_fold(undisturbed)))


@pytest.mark.slow
def test_tries_have_a_limit_and_nothing_is_shipped(
    make_job: Callable[..., TrainingJob],
    injure: Callable[..., list[int]],
) -> None:
    job = make_job(max_tries=3, **LEARNING)
    steps = injure("NaN", {job.recipe.seed + SEEDS_APART * tried for tried in range(3)})
    with pytest.raises(InputError, match="3 tries"):
        train_fold(job)
    assert len(set(steps)) == 3
    assert not job.checkpoint_path.exists()
    assert not list(job.run_dir.glob("checkpoint-*"))


@pytest.fixture
def stay_at_the_prior(monkeypatch: pytest.MonkeyPatch) -> Callable[[TrainingJob, set[int]], None]:
    """Runs of these seeds always answer with the base rate, and don't learn."""

    def call(job: TrainingJob, seeds: set[int]) -> None:
        original = FoldTrainer.create_optimizer
        logit = torch.tensor(job.train["score"].mean()).logit()

        def create(self: FoldTrainer, *arguments: object) -> torch.optim.Optimizer:
            optimizer = original(self, *arguments)
            if self.args.seed in seeds:
                with torch.no_grad():
                    for layer in self.model.head:
                        layer.weight.zero_()
                        layer.bias.fill_(logit)
                for group in optimizer.param_groups:
                    group["lr"] = 0.0
            return optimizer

        monkeypatch.setattr(FoldTrainer, "create_optimizer", create)

    return call


@pytest.mark.slow
def test_a_run_that_ended_at_the_prior_is_begun_again(
    make_job: Callable[..., TrainingJob],
    stay_at_the_prior: Callable[[TrainingJob, set[int]], None],
) -> None:
    job = make_job(max_tries=2, **LEARNING)
    assert list(learnable(job))
    stay_at_the_prior(job, {job.recipe.seed})
    found = load_checkpoint(train_fold(job))
    assert [item["seed"] for item in found.tries] == [job.recipe.seed]
    assert "prior" in found.tries[0]["outcome"]
    assert log_loss(found.oof.labels, found.oof.predictions) < 0.6


@pytest.mark.slow
def test_what_can_not_be_learnt_is_written_with_its_tries(
    make_job: Callable[..., TrainingJob],
    stay_at_the_prior: Callable[[TrainingJob, set[int]], None],
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A baseline that ends at the prior every time is a result; the checkpoint says so."""
    job = make_job(max_tries=2, epochs=1)
    stay_at_the_prior(job, {job.recipe.seed, job.recipe.seed + SEEDS_APART})
    found = load_checkpoint(train_fold(job))
    assert len(found.tries) == 2
    assert all("prior" in item["outcome"] for item in found.tries)
    assert "try 2 of 2" in capfd.readouterr().out


@pytest.mark.slow
def test_a_try_that_was_cut_off_goes_on(
    make_job: Callable[..., TrainingJob],
    injure: Callable[..., list[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The collapsed try is not made again, and the result is that of an undisturbed run."""
    job = make_job(max_tries=2, **LEARNING)
    assert list(learnable(job))
    first, second = job.recipe.seed, job.recipe.seed + SEEDS_APART
    steps = injure("NaN", {first})
    whole = load_checkpoint(train_fold(job))
    job.checkpoint_path.unlink()
    shutil.rmtree(job.run_dir)
    steps.clear()
    injured = FoldTrainer.training_step

    def stop(self: FoldTrainer, *arguments: object, **more: object) -> torch.Tensor:
        if steps.count(second) == 20:
            raise KeyboardInterrupt
        return injured(self, *arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(FoldTrainer, "training_step", stop)
        with pytest.raises(KeyboardInterrupt):
            train_fold(job)
    assert [item["seed"] for item in past_tries(job, References(job.options.tts_dir), restart=False)] == [first]
    steps.clear()
    resumed = load_checkpoint(train_fold(job))
    assert first not in steps
    assert len(steps) == 40  # of 60: a state is saved every five steps
    assert resumed.tries == whole.tries
    assert same_weights(resumed, whole)


@pytest.mark.slow
def test_vanished_gradients_are_counted_across_a_cut(
    make_job: Callable[..., TrainingJob],
    injure: Callable[..., list[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Gradients vanish from the fourth step on, and a state is saved after the fifth: the run ends at the same step."""
    job = make_job(max_tries=2, epochs=2)
    steps = injure("vanishing", {job.recipe.seed})
    whole = load_checkpoint(train_fold(job)).tries
    assert len(whole) == 1
    job.checkpoint_path.unlink()
    shutil.rmtree(job.run_dir)
    steps.clear()
    injured = FoldTrainer.training_step

    def stop(self: FoldTrainer, *arguments: object, **more: object) -> torch.Tensor:
        if len(steps) == 5:
            raise KeyboardInterrupt
        return injured(self, *arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(FoldTrainer, "training_step", stop)
        with pytest.raises(KeyboardInterrupt):
            train_fold(job)
    assert [folder.name for folder in job.run_dir.glob("checkpoint-*")] == ["checkpoint-5"]
    assert load_checkpoint(train_fold(job)).tries == whole


def test_the_prior_is_that_of_the_training_labels() -> None:
    train, labels = np.array([1.0, 1.0, 1.0, 0.0]), np.array([1.0, 0.0])
    prior = -(np.log(0.75) + np.log(0.25)) / 2
    check_learnt(0.98 * prior, train, labels)
    with pytest.raises(Collapse, match="prior"):
        check_learnt(0.999 * prior, train, labels)


def test_check_models_tells_of_collapsed_tries(work: Path, script: Script) -> None:
    path = work / "assets" / "model2s_1.pth"
    tries = [{"seed": 334, "outcome": "the gradients vanished"}, {"seed": 1334, "outcome": "the training loss was nan"}]
    save_checkpoint(path, replace(load_checkpoint(path), tries=tries))
    outcome = script("check_models.py")
    told = [line for line in outcome.output.splitlines() if line.startswith("model2s_1.pth: with seed")]
    assert told == [
        "model2s_1.pth: with seed 334 the gradients vanished",
        "model2s_1.pth: with seed 1334 the training loss was nan",
    ]
