"""`model_configs.pkl`: which checkpoints make the ensemble, with which weights. A pickle of plain values.

It is read only if all its opcodes are those of plain values, and through an unpickler that refuses every global, so reading a
stranger's file runs nothing. (Of an extension code that some library has loaded before, the unpickler asks nobody.)
"""

import io
import itertools
import os
import pickle
import pickletools
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from models.base.files import read_whole, replace_when_done
from models.clips.groups import GRADES, TASKS
from models.ensemble.correction import SIMPLEX, Correction, read_correction
from models.errors import InputError
from models.speech.checksums import check_checksums
from models.speech.identity import Identity, check_identity

CONFIG_FORMAT = "speech-text-comparison ensemble 1"
MOST_CONFIG_BYTES = 20_000_000  # a hundred times an ensemble of ten models

# Without those that call something, look something up, or set a place of the memo, which could be asked to grow by any amount.
_PLAIN_OPCODES = frozenset(
    "PROTO FRAME STOP MARK MEMOIZE BINGET LONG_BINGET NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINFLOAT "
    "SHORT_BINUNICODE BINUNICODE EMPTY_LIST EMPTY_DICT APPEND APPENDS SETITEM SETITEMS".split()
)


@dataclass(frozen=True)
class ModelEntry:
    """One model of the ensemble; `paths` are relative to the configuration's folder and lie beside `folds` and `sha256`."""

    name: str
    weight: float
    paths: list[str]
    folds: list[int]
    sha256: list[str]
    max_seconds: float
    batch_size: int


@dataclass(frozen=True)
class EnsembleConfig:
    """An ensemble: its models, and what they were trained with.

    Attributes
    ----------
    priors
        The probability of a right answer by task and grade, for clips that can't be read.
    references
        The checksum of each reference that the models were trained with, by text; empty where that is not known.
    correction
        Of the weighted mean; older configurations have none.
    fitted
        Whether the weights are; else all checkpoints have the same.
    """

    n_folds: int
    voice: Identity
    data_fingerprint: str
    priors: dict[str, dict[str, float]]
    models: list[ModelEntry]
    references: dict[str, str] = field(default_factory=dict)
    correction: Correction = SIMPLEX
    fitted: bool = True


def write_config(path: Path, config: EnsembleConfig) -> None:
    with replace_when_done(path) as temporary:
        temporary.write_bytes(config_bytes(config))


def config_bytes(config: EnsembleConfig) -> bytes:
    content = {"format": CONFIG_FORMAT, **asdict(config)}
    # Without what an older version would not know and does not need.
    usual = {"correction": config.correction == SIMPLEX, "fitted": config.fitted}
    return pickle.dumps({name: value for name, value in content.items() if not usual.get(name)}, protocol=4)


def read_config(path: Path) -> EnsembleConfig:
    """Read and check a configuration.

    Raises
    ------
    InputError
        Where the file is missing, not plain values, or not an ensemble of this project.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such configuration; make it: python get_config.py --output {path}")
    try:
        content = _load_plain(read_whole(path, MOST_CONFIG_BYTES))
    except (InputError, OSError) as error:
        raise InputError(f"{path}: {error}") from error
    except Exception as error:  # a damaged pickle can fail in almost any way
        raise InputError(
            f"{path}: truncated, or not a configuration ({type(error).__name__}: {error}); run get_config.py again"
        ) from error
    if not isinstance(content, dict) or content.pop("format", None) != CONFIG_FORMAT:
        raise InputError(
            f"{path}: not an ensemble of this project (expected '{CONFIG_FORMAT}'); run get_config.py again"
        )
    try:
        models = [ModelEntry(**entry) for entry in content.pop("models")]
        correction = read_correction(content.pop("correction", None), [entry.name for entry in models])
        config = EnsembleConfig(models=models, correction=correction, **content)
        _check(config)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: its content is not complete ({error}); run get_config.py again") from error
    return config


def relative_path(checkpoint: Path, config_path: Path) -> str:
    """How a configuration names a checkpoint: from its own folder, with forward slashes."""
    return Path(os.path.relpath(checkpoint, config_path.parent)).as_posix()


def _load_plain(content: bytes) -> Any:
    for opcode, _, _ in pickletools.genops(content):
        if opcode.name not in _PLAIN_OPCODES:
            raise InputError(f"refused: it holds the opcode {opcode.name}, but a configuration holds plain values only")
    return _PlainUnpickler(io.BytesIO(content)).load()


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str) -> Any:
        raise InputError(
            f"refused: it asks for {module_name}.{global_name}, but a configuration holds plain values only"
        )

    def persistent_load(self, pid: Any) -> Any:
        raise InputError("refused: it refers to outside objects, but a configuration holds plain values only")


def _check_kinds(entry: ModelEntry) -> None:
    texts, numbers = [entry.name, *entry.paths, *entry.sha256], [*entry.folds, entry.batch_size]
    if not all(isinstance(text, str) for text in texts) or not all(isinstance(number, int) for number in numbers):
        raise ValueError(f"{entry.name}: a name, path or checksum is no text, or a fold or batch_size no whole number")


def _check(config: EnsembleConfig) -> None:
    check_identity(config.voice)
    if not isinstance(config.fitted, bool):
        raise ValueError(f"fitted is {config.fitted!r:.100}, not True or False")
    for task, grade in itertools.product(TASKS, GRADES):
        if not 0.0 < config.priors[task][grade] < 1.0:
            raise ValueError(f"prior {config.priors[task][grade]} of {task}, grade {grade}, outside (0, 1)")
    if not config.models:
        raise ValueError("no models")
    for entry in config.models:
        _check_kinds(entry)
        if not len(entry.paths) == len(entry.folds) == len(entry.sha256) > 0:
            raise ValueError(f"{entry.name}: paths, folds and checksums differ in number")
        if not 0.0 <= entry.weight <= 1.0:
            raise ValueError(f"{entry.name}: weight {entry.weight} outside [0, 1]")
        if entry.batch_size < 1 or entry.max_seconds <= 0:
            raise ValueError(f"{entry.name}: batch_size {entry.batch_size}, max_seconds {entry.max_seconds}")
    check_checksums(config.references)
    if abs(sum(entry.weight for entry in config.models) - 1.0) > 1e-6:
        raise ValueError("the weights do not sum to 1")
