"""Where an ensemble is had from: the folder or the hub, a configuration, checkpoints."""

import os
from collections.abc import Sequence
from pathlib import Path

from models.base.files import PROJECT_DIR, SHIPPED_MODEL
from models.ensemble.source import EnsembleSource
from models.errors import InputError
from models.inference.published import CONFIG_FILE, REFERENCES_FOLDER, Published, read_published
from models.inference.scoring import load_members
from models.speech.pronunciation_table import Given, given_beside

DEFAULT_CONFIG = Path("model_configs.pkl")


def choose_source(config: Path | None, checkpoints: Sequence[Path], model: str | None) -> EnsembleSource:
    """What was asked for; where nothing was, the configuration that lies here, or else the model that comes with the project."""
    if not (config or checkpoints or model or DEFAULT_CONFIG.is_file()):
        model = SHIPPED_MODEL
    return EnsembleSource(config or DEFAULT_CONFIG, tuple(checkpoints), locate(model) if model else None)


def read_ensemble(source: EnsembleSource, tts_dir: Path | None = None, folds_per_model: int | None = None) -> Published:
    """What a folder holds, or would hold, of an ensemble, and all that scoring with it takes.

    Parameters
    ----------
    tts_dir
        Holds references; of a published model those that came with it are known.
    folds_per_model
        Of each model, spread evenly; None, and of a published model always: all.
    """
    if source.model is not None:
        return read_published(source.model)
    config = source.read()
    members = load_members(config, source.folder, folds_per_model)
    return Published(
        members,
        config.voice,
        config.priors,
        references=tts_dir if tts_dir is not None and tts_dir.is_dir() else None,
        trained_with=config.references,
        correction=config.correction,
        fitted=config.fitted,
    )


def given_pronunciations(source: EnsembleSource, tts_dir: Path) -> Given:
    """What was given as references were spoken: a published model's own, and those in `tts_dir`, which come first."""
    published = {} if source.model is None else given_beside(source.model / REFERENCES_FOLDER)
    return {**published, **given_beside(tts_dir)}


def locate(source: str, revision: str | None = None) -> Path:
    """The folder of a model: itself, the one that comes with the project, or as downloaded from the hub.

    HF_HUB_OFFLINE is respected.

    Raises
    ------
    InputError
        Saying how to get it where it can't be had.
    """
    if os.path.isdir(source):
        return Path(source)
    if source == SHIPPED_MODEL:
        shipped = PROJECT_DIR / source
        if not shipped.is_dir():
            raise InputError(f"{shipped}: the model that comes with the project is not there; git checkout -- {source}")
        return shipped
    if source.count("/") != 1 or source.startswith((".", "/", "~")):
        raise InputError(f"{source}: no such folder (a hub id is written as owner/name)")
    from huggingface_hub import snapshot_download

    try:
        patterns = [CONFIG_FILE, "*.safetensors", "references/*"]
        return Path(snapshot_download(source, revision=revision, allow_patterns=patterns))
    except (OSError, ValueError) as error:  # the hub's errors are of these kinds
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"{source}: no such folder here, and it could not be had from the Hugging Face hub ({reason}).\n"
            f"Without network, run on another machine: hf download {source} --local-dir {source.split('/')[1]}\n"
            "copy the folder here, and give its path."
        ) from error
