"""Checkpoints: `<model>_<fold>.pth`, tensors and plain values only, written whole or not at all.

Everything after training works from what a checkpoint holds: the recipe, the fold, float16 weights, the encoder's
architecture, the out-of-fold (OOF) predictions, the voice and the checksums of what it spoke, a fingerprint of the data,
library versions.
"""

import json
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.base.files import replace_when_done, sha256_of_file
from models.ensemble.stored import StoredTensor, read_stored
from models.errors import InputError
from models.recipe import Recipe, recipe_from_dict
from models.speech.checksums import check_checksums
from models.speech.identity import Identity, check_identity

if TYPE_CHECKING:
    from torch import Tensor  # a second to import, which who reads no weights does without

CHECKPOINT_FORMAT = "speech-text-comparison checkpoint 1"
_NUMBERS, _LISTS = ("fold", "n_folds"), ("history", "tries")
_TEXTS = ("data_fingerprint", "grouping", "word_labels", "corrections", "left_out")
_DICTS = ("encoder", "options", "versions")


@dataclass(frozen=True)
class OutOfFold:
    """Predictions for the clips that a fold held out, in one order.

    Attributes
    ----------
    labels, predictions : float64 [shape=(clips,)]
        Predictions are probabilities.
    """

    filenames: list[str]
    tasks: list[str]
    grades: list[str]
    labels: NDArray[np.float64]
    predictions: NDArray[np.float64]


@dataclass(frozen=True)
class Checkpoint:
    """One trained fold.

    Attributes
    ----------
    options
        Command-line options that differ from the defaults, to train another fold in the same way.
    tries
        `seed` and `outcome` of each run that collapsed before this one.
    history
        Per epoch, `epoch`, `train_loss`, `validation_log_loss`, `validation_auc`, `seconds`.
    references
        The checksum of each reference that it was trained with, by text; empty where that is not known.
    grouping, word_labels
        As of a TrainingJob; a grouping is empty also where it is not known.
    corrections
        The checksum of the labels by people who listened, which replaced those of the data; empty where there were none.
    left_out
        The checksum of the clips that were not trained on, held out or not; empty where there were none.
    """

    recipe: Recipe
    fold: int
    n_folds: int
    weights: "Mapping[str, Tensor]"
    encoder: dict[str, Any]
    oof: OutOfFold
    voice: Identity
    data_fingerprint: str
    options: dict[str, Any]
    history: list[dict[str, float]]
    versions: dict[str, str]
    tries: list[dict[str, Any]] = field(default_factory=list)
    references: dict[str, str] = field(default_factory=dict)
    grouping: str = ""
    word_labels: str = ""
    corrections: str = ""
    left_out: str = ""

    @property
    def weighs_phones(self) -> bool:
        """Whether scoring reads the phones of the expected text (`VerifierNetwork`)."""
        return bool(self.encoder.get("weighs_phones"))

    @property
    def file_name(self) -> str:
        return checkpoint_name(self.recipe.name, self.fold)


def checkpoint_name(model: str, fold: int) -> str:
    return f"{model}_{fold}.pth"


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    import torch

    broken = [name for name, tensor in checkpoint.weights.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise InputError(
            f"{path}: not written, since {len(broken)} weights are not finite in float16, such as {broken[0]}"
        )
    _check_oof(path, checkpoint.oof)
    content = {item.name: getattr(checkpoint, item.name) for item in fields(Checkpoint)}
    content |= {"format": CHECKPOINT_FORMAT, "recipe": checkpoint.recipe.to_dict(), "oof": _pack_oof(checkpoint.oof)}
    content["references"] = json.dumps(
        checkpoint.references, sort_keys=True
    )  # safe unpicklers are slow over long dicts
    # Given a name, torch would write it into the file, and the same run would not give the same bytes.
    with replace_when_done(path) as temporary, open(temporary, "wb") as file:
        torch.save(_with_one_string_each(content), file)


def _with_one_string_each(value: Any) -> Any:
    """The same content, in which equal strings are one object.

    A pickle notes which objects are the same; options that have travelled to another machine would leave their trace in the file.
    """
    if isinstance(value, str):
        return sys.intern(value)
    if isinstance(value, dict):
        return {_with_one_string_each(key): _with_one_string_each(item) for key, item in value.items()}
    return [_with_one_string_each(item) for item in value] if isinstance(value, list) else value


def load_checkpoint(path: Path, sha256: str | None = None) -> Checkpoint:
    """Read and check a checkpoint; the weights stay on disk until they are used. Needs torch.

    Parameters
    ----------
    sha256
        What the file's checksum must be. torch before 2.6 can be made to run code by a crafted file even with
        `weights_only=True` (CVE-2025-32434), so there it is required.

    Raises
    ------
    InputError
        Where the file is missing, truncated, not ours or not as the checksum says.
    """
    import torch

    _check_there(path)
    _check_trust(path, sha256)
    return _load(path, lambda: torch.load(path, map_location="cpu", weights_only=True, mmap=True), torch.Tensor)


def load_without_weights(path: Path) -> Checkpoint:
    """Read and check all of a checkpoint but the numbers of its weights; who asks for those gets an error. Needs no torch.

    Raises
    ------
    InputError
        As `load_checkpoint`.
    """
    _check_there(path)
    return replace(_load(path, lambda: read_stored(path), StoredTensor), weights=_NotRead())


class _NotRead(Mapping[str, Any]):
    """In place of weights that were not read, and are never taken for none."""

    def __getitem__(self, name: str) -> Any:
        raise RuntimeError("this checkpoint was read without its weights; read it with load_checkpoint")

    def __len__(self) -> int:
        return len(self[""])

    def __iter__(self) -> Iterator[str]:
        return iter(self[""])


def _check_there(path: Path) -> None:
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint")


def _load(path: Path, read: Callable[[], Any], tensor: type) -> Checkpoint:
    """tensor : what a weight is, as `read` reads it"""
    _check_archive(path)
    try:
        content = read()
    except Exception as error:  # a damaged pickle can fail in almost any way
        raise InputError(
            f"{path}: truncated, or not a checkpoint of this project ({_first_line(error)}); train it again"
        ) from error
    if not isinstance(content, dict) or content.pop("format", None) != CHECKPOINT_FORMAT:
        raise InputError(f"{path}: not a checkpoint of this project (expected '{CHECKPOINT_FORMAT}'); train it again")
    return _from_content(path, content, tensor)


def _from_content(path: Path, content: dict[str, Any], tensor: type) -> Checkpoint:
    try:
        recipe, oof = recipe_from_dict(content.pop("recipe")), _unpack_oof(content.pop("oof"))
        references = check_checksums(json.loads(content.pop("references", "{}")))  # older ones have none: not known
        checkpoint = Checkpoint(recipe=recipe, oof=oof, references=references, **content)
        _check_types(checkpoint, tensor)
        check_identity(checkpoint.voice)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, zipfile.BadZipFile, InputError) as error:
        raise InputError(
            f"{path}: a checkpoint of this project, but its content is not complete ({error}); train it again"
        ) from error
    _check_oof(path, checkpoint.oof)
    return checkpoint


def _check_types(checkpoint: Checkpoint, tensor: type) -> None:
    """Raises ValueError naming the first field of another type; what is in the dicts is checked where it is used."""
    for names, kind in ((_NUMBERS, int), (_TEXTS, str), (_DICTS, dict), (_LISTS, list)):
        for name in names:
            if not isinstance(getattr(checkpoint, name), kind):
                raise ValueError(f"{name} is no {kind.__name__}")
    if not isinstance(checkpoint.weights, dict):
        raise ValueError("weights is no dict")
    if not all(isinstance(weight, tensor) for weight in checkpoint.weights.values()):
        raise ValueError("a weight is no tensor")
    if not all(isinstance(item, dict) for item in [*checkpoint.history, *checkpoint.tries]):
        raise ValueError("history or tries hold something else than dicts")


def _pack_oof(oof: OutOfFold) -> dict[str, Any]:
    """The columns of text as JSON: torch's safe unpickler is slow over long lists."""
    import torch

    columns = {name: json.dumps(getattr(oof, name)) for name in ("filenames", "tasks", "grades")}
    return {**columns, "labels": torch.tensor(oof.labels), "predictions": torch.tensor(oof.predictions)}


def _unpack_oof(packed: dict[str, Any]) -> OutOfFold:
    columns = {name: json.loads(packed[name]) for name in ("filenames", "tasks", "grades")}
    return OutOfFold(**columns, labels=packed["labels"].numpy(), predictions=packed["predictions"].numpy())


def _check_oof(path: Path, oof: OutOfFold) -> None:
    lengths = {len(values) for values in (oof.filenames, oof.tasks, oof.grades, oof.labels, oof.predictions)}
    if len(lengths) != 1 or not np.isfinite(oof.predictions).all():
        raise InputError(f"{path}: its out-of-fold predictions are not complete or not finite; train it again")


def _check_trust(path: Path, sha256: str | None) -> None:
    import torch

    if sha256 is not None:
        found = sha256_of_file(path)
        if found != sha256:
            raise InputError(
                f"{path}: its checksum {found[:12]}… is not the configuration's {sha256[:12]}…; "
                "the file is damaged or another one: copy it again, or run get_config.py again"
            )
    elif tuple(int(part) for part in torch.__version__.split(".")[:2]) < (2, 6):
        raise InputError(
            f"{path}: torch {torch.__version__} can't read it safely without a checksum; use torch 2.6 or newer"
        )


def _check_archive(path: Path) -> None:
    """torch.save compresses nothing; what is compressed could fill the memory. What is no archive at all is torch's to tell.

    An archive of TorchScript holds code, and torch before 2.6 loads it even with `weights_only=True`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            items = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return
    compressed = [item.filename for item in items if item.compress_type != zipfile.ZIP_STORED]
    if any(item.filename.endswith("constants.pkl") for item in items):
        raise InputError(f"{path}: refused: an archive of TorchScript, not a checkpoint of this project")
    if compressed:
        raise InputError(f"{path}: refused: {compressed[0]!r} in it is compressed, which torch.save does not do")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
