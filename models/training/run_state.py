"""What an unfinished run leaves in its folder, so that it can go on: the Trainer's states, and which tries collapsed."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from models.base.files import replace_when_done
from models.clips.left_out import left_out_checksum
from models.speech.references import References
from models.training.job import TrainingJob

_RUN_FILE = "run.json"

Try = dict[str, Any]  # `seed` and `outcome` of a run that collapsed


def prepare_run_dir(job: TrainingJob, references: References, restart: bool) -> None:
    """Keep what an earlier run of the very same job left; anything else there is removed."""
    if restart or not _is_of_job(job, references):
        shutil.rmtree(job.run_dir, ignore_errors=True)
        with replace_when_done(job.run_dir / _RUN_FILE) as temporary:
            temporary.write_text(_description(job, references), encoding="utf-8")


def past_tries(job: TrainingJob, references: References, restart: bool) -> list[Try]:
    """The tries of an earlier run of the very same job that collapsed, oldest first."""
    file = _tries_file(job.run_dir)
    if restart or not _is_of_job(job, references) or not file.is_file():
        return []
    return json.loads(file.read_text(encoding="utf-8"))


def write_tries(run_dir: Path, tries: list[Try]) -> None:
    with replace_when_done(_tries_file(run_dir)) as temporary:
        temporary.write_text(json.dumps(tries), encoding="utf-8")


def trained_with(run_dir: Path) -> dict[str, str]:
    """The checksum of each reference that the run began with, by text."""
    return json.loads((run_dir / _RUN_FILE).read_text(encoding="utf-8"))["references"]


def _tries_file(run_dir: Path) -> Path:
    return run_dir / "tries.json"


def _is_of_job(job: TrainingJob, references: References) -> bool:
    file = job.run_dir / _RUN_FILE
    return file.is_file() and file.read_text(encoding="utf-8") == _description(job, references)


def _description(job: TrainingJob, references: References) -> str:
    return json.dumps(
        {
            "recipe": job.recipe.to_dict(),
            "n_folds": job.options.n_folds,
            "data": job.data_fingerprint,
            "voice": references.voice,
            "references": references.checksums(job.utterances),
            "word_labels": job.word_labels,
            **({"left_out": left_out_checksum(job.left_out)} if job.left_out else {}),
            **({"corrections": job.corrections.checksum} if job.corrections.clips else {}),  # older runs tell of none
            "held_out": hashlib.sha256("\n".join(sorted(job.validation["filename"])).encode()).hexdigest(),
        },
        indent=2,
        sort_keys=True,
    )


def last_state(run_dir: Path) -> str | None:
    """The state to resume from."""
    states = [folder for folder in run_dir.glob("checkpoint-*") if _is_whole(folder)]
    latest = max(states, key=lambda folder: int(folder.name.split("-")[1]), default=None)
    if latest is not None:
        print(f"going on from {latest}")
    return str(latest) if latest else None


def _is_whole(state_dir: Path) -> bool:
    """The Trainer writes its own state last: if that can be read, the rest is there."""
    try:
        json.loads((state_dir / "trainer_state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True


def forget_states(run_dir: Path) -> None:
    for state_dir in run_dir.glob("checkpoint-*"):
        shutil.rmtree(state_dir)
