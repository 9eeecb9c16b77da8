"""Training remembers which references it had, and does not go on with others.

Run: .venv/bin/python -m pytest tests/training/test_training_references.py
"""

from collections.abc import Callable
from pathlib import Path

import pytest
from fakes import TRAIN, change, forget, reference, same_weights, with_options

from models.base.files import sha256_of_file
from models.ensemble.checkpoint import load_checkpoint
from models.errors import InputError
from models.speech.checksums import differing_texts
from models.training.fold import train_fold
from models.training.job import TrainingJob, is_finished
from models.training.trainer import FoldTrainer


@pytest.mark.slow
def test_a_checkpoint_knows_its_references(make_job: Callable[..., TrainingJob]) -> None:
    job = make_job(epochs=1, grouping="1f")
    found = load_checkpoint(train_fold(job))
    assert found.grouping == "1f"
    said = job.utterances
    assert found.references == {one: sha256_of_file(reference(job.options.tts_dir, one)) for one in said}
    assert len(set(found.references.values())) == len(said)


@pytest.mark.slow
def test_a_run_that_was_cut_off_does_not_go_on_with_other_references(
    make_job: Callable[..., TrainingJob],
) -> None:
    """It is begun anew, and what it was trained with is what is there then."""
    job = make_job(epochs=2)
    first = load_checkpoint(train_fold(job))
    forget(job)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("models.training.trainer.FoldTrainer._save_checkpoint", interrupt_after_saving())
        with pytest.raises(KeyboardInterrupt):
            train_fold(job)
    assert list(job.run_dir.glob("checkpoint-*"))
    change(reference(job.options.tts_dir, "old"))
    resumed = load_checkpoint(train_fold(job))
    assert differing_texts(resumed.references, first.references) == ["old"]
    fresh = load_checkpoint(train_fold(with_options(job, output_dir=job.options.output_dir / "fresh")))
    assert same_weights(resumed, fresh)
    assert not same_weights(resumed, first)


def interrupt_after_saving() -> Callable[..., None]:
    original = FoldTrainer._save_checkpoint

    def save(self: FoldTrainer, *arguments: object, **more: object) -> None:
        original(self, *arguments, **more)
        raise KeyboardInterrupt

    return save


@pytest.mark.slow
def test_a_finished_fold_of_other_references_is_no_finished_one(
    make_job: Callable[..., TrainingJob],
) -> None:
    job = make_job(epochs=1)
    train_fold(job)
    assert is_finished(job)
    change(reference(job.options.tts_dir, "cat"))
    with pytest.raises(InputError, match=r"model2s_0\.pth.*another reference of 'cat'; .*--overwrite"):
        is_finished(job)
    reference(job.options.tts_dir, "cat").unlink()
    assert is_finished(job)  # it would be spoken again


def test_a_reference_that_lies_elsewhere_is_refused(
    work: Path,
    linked: Path,
    refused: Callable[..., str],
) -> None:
    for path in (work / "assets").glob("*.pth"):
        path.unlink()
    refused(TRAIN, mentions=(linked.name, "link"))
