"""Training a fold: optimiser and schedule of the recipe, the best epoch kept, runs that go on, precision.

Run: .venv/bin/python -m pytest tests/training/test_training.py
"""

import multiprocessing
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import ROOT, forget, same_weights, with_options

from models.clips.features import frames_for_seconds
from models.clips.tables import read_training_table, utterances
from models.ensemble.checkpoint import load_checkpoint
from models.ensemble.metrics import log_loss, sigmoid
from models.ensemble.rebuild import rebuild_network
from models.errors import InputError
from models.speech.options import VoiceOptions
from models.speech.references import References
from models.speech.speaking import speak_references
from models.training.fold import prepare, train_fold
from models.training.job import TrainingJob
from models.training.trainer import FoldTrainer, schedule_steps


@pytest.mark.slow
def test_a_verifier_needs_no_references(make_job: Callable[..., TrainingJob]) -> None:
    job, other = make_job("verifytiny"), make_job("model2s")
    for reference in job.options.tts_dir.glob("*.wav"):
        reference.unlink()
    assert job.utterances == []
    assert len(prepare(job, restart=False).clip_seconds) == len(job.train)
    with pytest.raises(InputError, match="no reference"):
        prepare(other, restart=False)


def test_checkpoint_holds_what_the_rest_needs(make_job: Callable[..., TrainingJob]) -> None:
    job = make_job("model3mapd", epochs=3)
    found = load_checkpoint(train_fold(job))
    assert found.recipe == job.recipe
    assert (found.fold, found.n_folds, found.data_fingerprint) == (0, 3, "data")
    held_out = job.validation.set_index("filename").loc[found.oof.filenames]
    assert len(found.oof.filenames) == len(job.validation)
    assert found.oof.tasks == held_out["task"].tolist()
    np.testing.assert_array_equal(found.oof.labels, held_out["score"])
    assert len(found.history) == 3
    losses = [row["validation_log_loss"] for row in found.history]
    assert log_loss(found.oof.labels, found.oof.predictions) == pytest.approx(min(losses), abs=2e-3)
    assert not list(job.run_dir.glob("checkpoint-*"))
    assert list(job.run_dir.rglob("events.out.tfevents*"))


@pytest.mark.slow
@pytest.mark.parametrize("padding", ["batch", "fixed"])
def test_oof_predictions_are_those_of_the_saved_weights(make_job: Callable[..., TrainingJob], padding: str) -> None:
    from models.clips.dataset import ComparisonDataset

    job = make_job(padding=padding)
    found = load_checkpoint(train_fold(job))
    table = job.validation.set_index("filename").loc[found.oof.filenames].reset_index()
    references = References(job.options.tts_dir).load(utterances(table))
    n_frames = frames_for_seconds(job.recipe.max_seconds)
    dataset = ComparisonDataset(table, job.options.data_dir, references, 80, n_frames, padding=padding)
    batch = dataset.collate([dataset[row] for row in range(len(dataset))])
    with torch.no_grad():
        logits = rebuild_network(found)(**batch)["logits"]
    np.testing.assert_allclose(found.oof.predictions, sigmoid(logits.numpy()), atol=1e-6)


@pytest.mark.slow
def test_best_epoch_is_kept(make_job: Callable[..., TrainingJob], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the losses are, the weights kept are those of the epoch with the lowest."""
    kept, evaluated = [], []
    evaluate = FoldTrainer.evaluate

    def spoil(self: FoldTrainer, *arguments: object, **more: object) -> dict[str, float]:
        metrics = evaluate(self, *arguments, **more)
        evaluated.append({name: tensor.clone() for name, tensor in self.model.state_dict().items()})
        metrics["eval_log_loss"] = [0.5, 0.3, 0.4][len(evaluated) - 1]
        return metrics

    monkeypatch.setattr(FoldTrainer, "evaluate", spoil)
    kept = load_checkpoint(train_fold(make_job(epochs=3))).weights
    assert all(torch.equal(tensor, evaluated[1][name].half()) for name, tensor in kept.items())
    assert not all(torch.equal(tensor, evaluated[2][name].half()) for name, tensor in kept.items())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["model3mapd", "model2m", "verifytiny"])
def test_optimiser_and_schedule_are_the_recipes(make_job: Callable[..., TrainingJob], name: str) -> None:
    rates, optimizers = [], []

    def watch(self: FoldTrainer, *arguments: object, **more: object) -> torch.Tensor:
        rates.append(self.optimizer.param_groups[0]["lr"])
        optimizers.append(self.optimizer)
        return original(self, *arguments, **more)

    original = FoldTrainer.training_step
    job = make_job(name, n_train=23, epochs=2, learning_rate=0.01)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FoldTrainer, "training_step", watch)
        train_fold(job)
    recipe = job.recipe
    total = int(23 / 4 * recipe.schedule_epochs)
    assert schedule_steps(23, recipe) == total
    assert len(rates) == 2 * 5  # 23 clips in batches of 4: the incomplete one is dropped
    rising = round(recipe.warmup * total)
    falling = np.cos(2 * np.pi * recipe.schedule_cycles * (np.arange(10) - rising) / (total - rising))
    expected = [0.01 * (step / rising if step < rising else 0.5 + 0.5 * falling[step]) for step in range(10)]
    np.testing.assert_allclose(rates, expected, rtol=1e-6)
    defaults = optimizers[0].optimizer.defaults
    assert (defaults["betas"], defaults["eps"]) == ((0.9, 0.999), 1e-6)


@pytest.mark.slow
def test_accumulation_changes_nothing(make_job: Callable[..., TrainingJob], tmp_path: Path) -> None:
    """The same batch in parts gives the same step, up to rounding; dropout would draw otherwise, so it is off."""
    checkpoints = [
        load_checkpoint(
            train_fold(make_job(dropout=0.0, gradient_accumulation_steps=parts, output_dir=tmp_path / str(parts)))
        )
        for parts in (1, 4)
    ]
    np.testing.assert_allclose(checkpoints[0].oof.predictions, checkpoints[1].oof.predictions, atol=2e-3)


@pytest.fixture
def start_processes() -> Iterator[Callable[[str], None]]:
    """Sets how processes are started, as another system or Python would."""
    before = multiprocessing.get_start_method(allow_none=True)
    yield lambda method: multiprocessing.set_start_method(method, force=True)
    multiprocessing.set_start_method(before, force=True)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["aligntiny", "verifytiny"])
def test_loading_processes_give_the_same_bytes_however_they_are_started(
    make_job: Callable[..., TrainingJob], tmp_path: Path, start_processes: Callable[[str], None], model: str
) -> None:
    job = make_job(model, epochs=1)
    here = load_checkpoint(train_fold(job))
    for method in multiprocessing.get_all_start_methods():
        start_processes(method)
        other = load_checkpoint(train_fold(with_options(job, output_dir=tmp_path / method, num_workers=1)))
        assert same_weights(here, other), method
        assert here.history == other.history, method


@pytest.mark.slow
@pytest.mark.parametrize("model", ["model2s", "verifytiny"])
def test_the_same_seed_gives_the_same_bytes(make_job: Callable[..., TrainingJob], tmp_path: Path, model: str) -> None:
    one, other = (load_checkpoint(train_fold(make_job(model, output_dir=tmp_path / name))) for name in "ab")
    assert same_weights(one, other)
    workers = load_checkpoint(train_fold(make_job(model, output_dir=tmp_path / "c", num_workers=2)))
    assert same_weights(one, workers)
    different = load_checkpoint(train_fold(make_job(model, output_dir=tmp_path / "d", seed=1)))
    assert not same_weights(one, different)


@pytest.mark.slow
@pytest.mark.parametrize(("model", "known"), [("model2s", 12), ("verifytiny", 0)])
def test_a_checkpoint_knows_the_references_that_it_heard(
    make_job: Callable[..., TrainingJob], model: str, known: int
) -> None:
    assert len(load_checkpoint(train_fold(make_job(model))).references) == known


def test_a_text_that_can_not_be_fed_is_named_before_anything_is_written(make_job: Callable[..., TrainingJob]) -> None:
    job = make_job("verifytiny")
    long = " ".join(["word"] * 100)
    texts = [long, *job.train["expected_text"][1:]]
    job = replace(job, train=job.train.assign(expected_text=texts))
    speak_references(job.options.tts_dir, [long], VoiceOptions())
    with pytest.raises(InputError, match=r"'word word .*takes 504 tokens"):
        train_fold(with_options(job))
    assert not job.run_dir.exists()


Resume = Callable[[TrainingJob, int, TrainingJob], tuple[Path, int]]


@pytest.fixture
def cut_and_resume(monkeypatch: pytest.MonkeyPatch) -> Resume:
    """Break a run off before its n-th step, then run a job that goes on; returns its checkpoint and the steps it made."""

    def call(job: TrainingJob, before_step: int, then: TrainingJob) -> tuple[Path, int]:
        steps: list[int] = []
        original = FoldTrainer.training_step

        def step(self: FoldTrainer, *arguments: object, **more: object) -> torch.Tensor:
            steps.append(1)
            if len(steps) == before_step:
                raise KeyboardInterrupt
            return original(self, *arguments, **more)

        monkeypatch.setattr(FoldTrainer, "training_step", step)
        with pytest.raises(KeyboardInterrupt):
            train_fold(job)
        assert not job.checkpoint_path.exists()
        return train_fold(then), len(steps) - before_step

    return call


@pytest.mark.slow
def test_a_run_that_was_cut_off_goes_on(make_job: Callable[..., TrainingJob], cut_and_resume: Resume) -> None:
    whole = load_checkpoint(train_fold(make_job(epochs=3)))
    job = forget(make_job(epochs=3))
    path, n_steps = cut_and_resume(job, 9, job)
    resumed = load_checkpoint(path)
    assert n_steps == 12  # two of three epochs of six steps
    assert same_weights(resumed, whole)
    assert [row["epoch"] for row in resumed.history] == [1, 2, 3]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_goes_on_within_an_epoch(
    workers: int, make_job: Callable[..., TrainingJob], cut_and_resume: Resume
) -> None:
    """With other loading processes than before, and with dropout and augmentation: the same bytes."""
    whole = train_fold(make_job("model3mcp", epochs=3)).read_bytes()
    job = forget(make_job("model3mcp", epochs=3))
    path, n_steps = cut_and_resume(job, 12, with_options(job, num_workers=workers))
    assert n_steps == 8  # 18 in all, of which 10 are kept
    assert path.read_bytes() == whole


@pytest.mark.slow
def test_another_recipe_does_not_go_on_from_the_old_run(make_job: Callable[..., TrainingJob]) -> None:
    job = make_job(epochs=1)
    train_fold(job)
    (job.run_dir / "checkpoint-3").mkdir()
    (job.run_dir / "checkpoint-3" / "trainer_state.json").write_text("{}")
    changed = make_job(epochs=1, dropout=0.1)
    expected = load_checkpoint(train_fold(with_options(changed, output_dir=changed.options.output_dir / "fresh")))
    assert same_weights(load_checkpoint(train_fold(changed)), expected)


SHIPPED = str(ROOT / "assets" / "encoders" / "phonetic-tiny")


@pytest.fixture
def two_threads() -> Iterator[None]:
    """As a user's machine has them; and torch as it was."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.use_deterministic_algorithms(False)
    yield
    torch.set_num_threads(before)
    torch.use_deterministic_algorithms(False)


@pytest.mark.slow
@pytest.mark.usefixtures("two_threads")
def test_the_same_seed_gives_the_same_bytes_with_several_threads(make_job: Callable[..., TrainingJob]) -> None:
    """Where clips of a batch share a reference, their gradients for it are added up by threads."""
    job = make_job("aligntiny", encoder=SHIPPED, batch_size=24, epochs=3, max_tries=1)  # smaller ones need no threads
    job = replace(job, train=job.train.assign(expected_text="she has a red hat", task="sentence_repetition"))
    written = {
        train_fold(with_options(job, output_dir=job.options.output_dir / str(run))).read_bytes() for run in range(4)
    }
    assert len(written) == 1


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [5, 16])
def test_every_held_out_clip_is_predicted(make_job: Callable[..., TrainingJob], batch_size: int) -> None:
    """Also those of the last batch, which is not whole, and where there is no whole batch at all. Training drops its own."""
    job = make_job(epochs=1, batch_size=batch_size)
    found = load_checkpoint(train_fold(job))
    assert len(found.oof.predictions) == len(found.oof.filenames) == 12
    assert found.history[-1]["validation_log_loss"] == pytest.approx(
        log_loss(found.oof.labels, found.oof.predictions), abs=2e-3
    )


@pytest.mark.slow
def test_bf16_runs_on_the_cpu(make_job: Callable[..., TrainingJob]) -> None:
    found = load_checkpoint(train_fold(make_job("model3mcp", precision="bf16", epochs=1)))
    assert np.isfinite(found.oof.predictions).all()


@pytest.mark.slow
def test_a_learnable_difference_is_learnt(make_job: Callable[..., TrainingJob]) -> None:
    """Right answers are tones, wrong ones noise: even a random encoder can be trained to hear that."""
    import soundfile

    job = make_job(epochs=30, schedule_epochs=30, learning_rate=3e-3, dropout=0.0, augment="none", weight_decay=0.0)
    table = read_training_table(job.options.data_dir)
    for name, score in zip(table["filename"], table["score"], strict=True):
        wave, _ = soundfile.read(job.options.data_dir / name)
        soundfile.write(
            job.options.data_dir / name,
            wave if score else np.clip(np.random.default_rng(0).normal(0, 0.3, 4800), -1, 1),
            16000,
        )
    found = load_checkpoint(train_fold(job))
    assert log_loss(found.oof.labels, found.oof.predictions) < 0.3
