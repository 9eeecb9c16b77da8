"""`submission.zip`: everything that scoring needs where nothing can be installed or downloaded, and nothing else.

    main.py                assets/submission/main.py
    infer.py models/       the script and the rooms of the package that it may use
    model_configs.pkl      the ensemble, of the chosen checkpoints
    assets/*.pth           these
    tts_data/              the references spoken so far
    vendor/ voice/ vocoder/    what the voice needs to speak other texts

Features are the project's own and checkpoints hold their encoder's architecture, so no processor or tokenizer of the
encoder is needed. The same inputs give the same bytes.
"""

import os
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from models.base.files import PROJECT_DIR, replace_when_done
from models.ensemble.blend import spread_folds
from models.ensemble.checkpoint import checkpoint_name, load_checkpoint
from models.ensemble.config import EnsembleConfig, ModelEntry, config_bytes
from models.packing.voices import PackedFiles, lexicon_files
from models.speech.pronunciation_table import GIVEN_FILE
from models.speech.references import PATHS_FILE, VOICE_FILE, References, listed_texts, refuse_foreign

MAIN = PROJECT_DIR / "assets" / "submission" / "main.py"
CONFIG_NAME, ASSETS_NAME, REFERENCES_NAME = "model_configs.pkl", "assets", "tts_data"

# What infer.py may import: these rooms, of the cluster's the options alone, and these modules of no room.
_ROOMS = ("base", "speech", "clips", "network", "ensemble", "inference")
_MODULES = ("__init__.py", "recipe.py", "errors.py", "cluster/__init__.py", "cluster/options.py")
_STORED = {".pth", ".safetensors", ".bin"}  # weights, which hardly get smaller
_TIMESTAMP = (1980, 1, 1, 0, 0, 0)  # the earliest of the format
_BLOCK_BYTES = 1 << 20


def choose_folds(config: EnsembleConfig, folds_per_model: int | None) -> EnsembleConfig:
    """The configuration of the models that have a weight, with so many folds of each, spread evenly; None means all.

    Raises
    ------
    InputError
        Where a model has fewer folds.
    """
    chosen = [entry for entry in config.models if entry.weight > 0]
    picked = [
        _pick(entry, spread_folds(index, len(entry.folds), folds_per_model or len(entry.folds)))
        for index, entry in enumerate(chosen)
    ]
    return replace(config, models=picked)


def _pick(entry: ModelEntry, places: Sequence[int]) -> ModelEntry:
    return replace(
        entry,
        paths=[entry.paths[place] for place in places],
        folds=[entry.folds[place] for place in places],
        sha256=[entry.sha256[place] for place in places],
    )


def check_checkpoints(config: EnsembleConfig, config_dir: Path) -> bool:
    """Read every checkpoint of a configuration, each checked against its checksum; whether any needs espeak-ng to read texts."""
    files = [
        (config_dir / path, sha256)
        for entry in config.models
        for path, sha256 in zip(entry.paths, entry.sha256, strict=True)
    ]
    weighs_phones = [
        load_checkpoint(path, sha256).weighs_phones for path, sha256 in tqdm(files, "reading", disable=None)
    ]
    return any(weighs_phones)


def submission_files(config: EnsembleConfig, config_dir: Path, tts_dir: Path, engine: str) -> PackedFiles:
    """All files but the voice's, by their names in the submission."""
    files: PackedFiles = {"main.py": MAIN, "LICENSE": PROJECT_DIR / "LICENSE"}
    files |= {path.relative_to(PROJECT_DIR).as_posix(): path for path in code_files(engine)}
    packed_entries = []
    for entry in config.models:
        names = [f"{ASSETS_NAME}/{checkpoint_name(entry.name, fold)}" for fold in entry.folds]
        files |= dict(zip(names, (config_dir / path for path in entry.paths), strict=True))
        packed_entries.append(replace(entry, paths=names))
    files[CONFIG_NAME] = config_bytes(replace(config, models=packed_entries))
    return files | _reference_files(config, tts_dir) | lexicon_files()


def _reference_files(config: EnsembleConfig, tts_dir: Path) -> PackedFiles:
    references = References(tts_dir, config.references, config.voice)
    references.check(config.references)
    known = [references.path(text) for text in config.references]
    others = [
        *(tts_dir / name for name in (VOICE_FILE, PATHS_FILE, GIVEN_FILE)),
        *map(references.path, listed_texts(tts_dir)),
    ]
    refuse_foreign(set(others) - set(known))
    return {f"{REFERENCES_NAME}/{path.name}": path for path in [*others, *known] if path.is_file()}


def code_files(engine: str) -> list[Path]:
    """infer.py and what of the package it may use: whole rooms, since doors import at first use.

    Parameters
    ----------
    engine
        Of the voice; the module for Hugging Face voices is left out where it is not one.
    """
    package = PROJECT_DIR / "models"
    paths = [PROJECT_DIR / "infer.py", *(package / name for name in _MODULES)]
    paths += [path for room in _ROOMS for path in (package / room).iterdir() if path.is_file()]
    unused = {package / "speech" / "hf_voice.py"} if engine in ("espeak-ng", "MeloTTS", "piper") else set()
    return sorted(set(paths) - unused)


def write_zip(output: Path, files: Mapping[str, Path | bytes]) -> int:
    """Write them sorted by name, with one and the same date; returns the size in bytes."""
    sizes = {name: len(item) if isinstance(item, bytes) else os.path.getsize(item) for name, item in files.items()}
    with (
        tqdm(total=sum(sizes.values()), desc="packing", unit="B", unit_scale=True, disable=None) as bar,
        replace_when_done(output) as temporary,
        zipfile.ZipFile(temporary, "w") as archive,
    ):
        for name in sorted(files):
            _add(archive, name, files[name], sizes[name])
            bar.update(sizes[name])
    return os.path.getsize(output)


def _add(archive: zipfile.ZipFile, name: str, content: Path | bytes, size: int) -> None:
    info = zipfile.ZipInfo(name, _TIMESTAMP)
    info.file_size = size  # tells the archive whether the 64-bit format is needed
    info.create_system = 3  # Unix
    info.external_attr = 0o644 << 16
    info.compress_type = zipfile.ZIP_STORED if Path(name).suffix in _STORED else zipfile.ZIP_DEFLATED
    with archive.open(info, "w") as target:
        if isinstance(content, bytes):
            target.write(content)
        else:
            with open(content, "rb") as source:
                shutil.copyfileobj(source, target, _BLOCK_BYTES)
