"""`submission.zip`: everything that scoring needs where nothing can be installed or downloaded, and nothing else.

    main.py                assets/submission/main.py
    infer.py models/       the script and the modules that it imports
    model_configs.pkl      the ensemble, of the chosen checkpoints
    assets/*.pth           these
    tts_data/              the references spoken so far
    vendor/ voice/ vocoder/    what the voice needs to speak other texts

Features are the project's own and checkpoints hold their encoder's architecture, so no processor or tokenizer of the
encoder is needed. The same inputs give the same bytes.
"""

import ast
import os
import shutil
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from models.base.files import PROJECT_DIR, replace_when_done
from models.ensemble.blend import spread_folds
from models.ensemble.checkpoint import Checkpoint, checkpoint_name, load_checkpoint
from models.ensemble.config import EnsembleConfig, ModelEntry, config_bytes
from models.errors import InputError
from models.packing.voice_files import PackedFiles
from models.speech.checksums import refuse_changed, refuse_foreign
from models.speech.identity import describe_voice, same_voice
from models.speech.references import PATHS_FILE, VOICE_FILE, read_identity, reference_path, spoken_references

MAIN = PROJECT_DIR / "assets" / "submission" / "main.py"
CONFIG_NAME, ASSETS_NAME, REFERENCES_NAME = "model_configs.pkl", "assets", "tts_data"

_STORED = {".pth", ".safetensors", ".bin"}  # weights, which hardly get smaller
_TIMESTAMP = (1980, 1, 1, 0, 0, 0)  # the earliest of the format
_BLOCK_BYTES = 1 << 20


def choose_folds(config: EnsembleConfig, folds: Mapping[str, int], weights: Mapping[str, float]) -> EnsembleConfig:
    """The configuration of so many folds of each of some models, spread evenly, with other weights."""
    chosen = [entry for entry in config.models if folds.get(entry.name)]
    return replace(
        config,
        models=[
            _pick(entry, spread_folds(index, len(entry.folds), folds[entry.name]), weights[entry.name])
            for index, entry in enumerate(chosen)
        ],
    )


def _pick(entry: ModelEntry, places: Sequence[int], weight: float) -> ModelEntry:
    return replace(
        entry,
        weight=weight,
        paths=[entry.paths[place] for place in places],
        folds=[entry.folds[place] for place in places],
        sha256=[entry.sha256[place] for place in places],
    )


def read_checkpoints(config: EnsembleConfig, config_dir: Path) -> list[Checkpoint]:
    """All checkpoints of a configuration, each checked against its checksum."""
    files = [
        (config_dir / path, sha256)
        for entry in config.models
        for path, sha256 in zip(entry.paths, entry.sha256, strict=True)
    ]
    return [load_checkpoint(path, sha256) for path, sha256 in tqdm(files, "reading", disable=None)]


def submission_files(config: EnsembleConfig, config_dir: Path, tts_dir: Path, engine: str) -> PackedFiles:
    """All files but the voice's, by their names in the submission."""
    files: PackedFiles = {"main.py": MAIN, "LICENSE": PROJECT_DIR / "LICENSE"}
    files |= {path.relative_to(PROJECT_DIR).as_posix(): path for path in imported_files("infer.py", engine)}
    packed_entries = []
    for entry in config.models:
        names = [f"{ASSETS_NAME}/{checkpoint_name(entry.name, fold)}" for fold in entry.folds]
        files |= dict(zip(names, (config_dir / path for path in entry.paths), strict=True))
        packed_entries.append(replace(entry, paths=names))
    files[CONFIG_NAME] = config_bytes(replace(config, models=packed_entries))
    return files | _reference_files(config, tts_dir)


def _reference_files(config: EnsembleConfig, tts_dir: Path) -> PackedFiles:
    identity = read_identity(tts_dir)
    if not same_voice(identity, config.voice):
        raise InputError(
            f"{tts_dir}: spoken by another voice ({describe_voice(identity)}) than the models were trained with "
            f"({describe_voice(config.voice)}); give the references of that voice as --tts_dir"
        )
    known = {text: reference_path(tts_dir, config.voice, text) for text in config.references}
    refuse_changed(known, config.references)
    others = [tts_dir / VOICE_FILE, tts_dir / PATHS_FILE, *spoken_references(tts_dir)]
    refuse_foreign(set(others) - set(known.values()))
    paths = [*others, *known.values()]
    return {f"{REFERENCES_NAME}/{path.name}": path for path in paths if path.is_file()}


def imported_files(script: str, engine: str) -> list[Path]:
    """A script and every module of the project that it imports, at once or later, as their import statements say.

    engine : of the voice; the module for Hugging Face voices is left out where it is not one
    """
    unused = {PROJECT_DIR / "models" / "speech" / "hf_voice.py"} if engine in ("espeak-ng", "MeloTTS") else set()
    found: set[Path] = set()
    coming = {PROJECT_DIR / script}
    while coming:
        path = coming.pop()
        found.add(path)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        coming |= {file for name in _imported_names(tree) for file in _module_files(name)} - found - unused
    return sorted(found)


def _imported_names(tree: ast.AST) -> Iterable[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _module_files(name: str) -> set[Path]:
    """A module of the project, with its packages; nothing for other modules and for what is no module."""
    parts = name.split(".")
    packages = [PROJECT_DIR.joinpath(*parts[:depth], "__init__.py") for depth in range(1, len(parts) + 1)]
    module = PROJECT_DIR.joinpath(*parts).with_suffix(".py")
    return {path for path in [*packages, module] if path.is_file()}


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
