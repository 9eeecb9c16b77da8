"""Published models: a folder that another person loads with one line. Nothing in it is pickled.

`config.json` says all that is plain: each member's recipe, encoder architecture and share, the voice, the priors, library
versions, out-of-fold figures, and checksums of the other files. `<model>_<fold>.safetensors` are the weights in float16,
`references/` the expected texts as the voice has spoken them, if they are given away too, and README.md is the model card.
Of the training clips only figures are in it: no name of a clip and no prediction for one.
"""

import json
import math
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePath, PureWindowsPath
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from models.base.files import replace_when_done, sha256_of_file
from models.clips.groups import GRADES, TASKS
from models.ensemble.checkpoint import Checkpoint, OutOfFold
from models.ensemble.correction import SIMPLEX, Correction, read_correction
from models.ensemble.rebuild import check_weights
from models.errors import InputError
from models.inference.combining import describe_blend
from models.inference.int8 import from_int8, to_int8
from models.inference.scoring import Member, model_weights
from models.inference.submission import Priors
from models.recipe import recipe_from_dict
from models.speech.checksums import UNKNOWN, Checksums
from models.speech.identity import Identity, check_identity, same_voice
from models.speech.pronunciation_table import GIVEN_FILE
from models.speech.references import PATHS_FILE, VOICE_FILE, References, refuse_foreign

PUBLISHED_FORMAT = "speech-text-comparison published 1"
CORRECTED_FORMAT = "speech-text-comparison published 2"  # the mean is corrected, which earlier versions would not do
FORMATS = (PUBLISHED_FORMAT, CORRECTED_FORMAT)
CONFIG_FILE, CARD_FILE, REFERENCES_FOLDER = "config.json", "README.md", "references"
STORAGES = FLOAT16, INT8 = "float16", "int8"
_PLAIN_FIELDS = ("fold", "n_folds", "encoder", "data_fingerprint", "options", "history", "versions", "tries")
_REFERENCE_NAME = re.compile(r"[0-9a-f]{20}\.wav")
_NO_PREDICTIONS = OutOfFold([], [], [], np.zeros(0), np.zeros(0))


@dataclass(frozen=True)
class Published:
    """What a folder holds.

    Attributes
    ----------
    figures
        Of `card_figures`; empty where there are none.
    references
        The folder of spoken texts, or None.
    reference_sha256
        The checksum of each of its files.
    trained_with
        The checksum of each reference that the members were trained with, by text. It is no part of the folder, which
        tells no text but by `references`: those are checked against it as they are published.
    storage
        How weights are kept in the files: one of STORAGES.
    correction
        Of the members' weighted mean. Its items are told by checksums of their texts.
    fitted
        Whether the shares are; else all members have the same.
    """

    members: list[Member]
    voice: Identity
    priors: Priors
    figures: Mapping[str, Any] = field(default_factory=dict)
    references: Path | None = None
    reference_sha256: Mapping[str, str] = field(default_factory=dict)
    trained_with: Checksums = field(default_factory=dict)
    storage: str = FLOAT16
    correction: Correction = SIMPLEX
    fitted: bool = True

    @property
    def blending(self) -> str:
        """How a score is made, in words."""
        return describe_blend(self.members, self.correction, self.fitted)


def write_published(folder: Path, published: Published, card: str) -> None:
    """Fill an empty folder.

    Raises
    ------
    InputError
        Where the references are another voice's, or members are no ensemble.
    """
    _check_members(published.members, published.voice)
    members = [_write_member(folder, member, published.storage) for member in published.members]
    content = {
        "format": PUBLISHED_FORMAT if published.correction == SIMPLEX else CORRECTED_FORMAT,
        "voice": plain(published.voice),
        "priors": published.priors,
        "members": members,
        "storage": published.storage,
        "figures": published.figures,
        "references": _publish_references(published, folder / REFERENCES_FOLDER),
        "correction": asdict(published.correction),
        "fitted": published.fitted,
    }
    text = json.dumps(content, indent=1, sort_keys=True, allow_nan=False)
    (folder / CONFIG_FILE).write_text(f"{text}\n", encoding="utf-8")
    (folder / CARD_FILE).write_text(card, encoding="utf-8")


def read_published(folder: Path) -> Published:
    """Read and check a published folder.

    Raises
    ------
    InputError
        Where the folder is not complete, was changed, or is not of this project.
    """
    file = folder / CONFIG_FILE
    if not file.is_file():
        raise InputError(f"{file}: missing, so {folder} holds no published model; make one with publish.py")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}: not JSON ({error}); copy the folder again") from error
    if not isinstance(content, dict) or content.get("format") not in FORMATS:
        raise InputError(f"{file}: not a published model of this project (expected '{PUBLISHED_FORMAT}')")
    try:
        return _from_content(folder, content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{file}: its content is not complete ({error!r}); copy the folder again") from error


def _publish_references(published: Published, target: Path) -> dict[str, str]:
    """Those that were published before are what they were; others are those of training, as far as that is known."""
    if published.references is None:
        return {}
    sha256 = copy_references(published.references, target, published.voice, published.trained_with)
    changed = [name for name, expected in published.reference_sha256.items() if sha256.get(name) != expected]
    if changed:
        raise InputError(
            f"{published.references / changed[0]}: is not the file that was published; copy the folder again"
        )
    return sha256


def copy_references(source: Path, target: Path, voice: Identity, trained_with: Checksums = UNKNOWN) -> dict[str, str]:
    """Every reference that lies in `source`; returns the files' checksums."""
    references = References(source, trained_with, voice)
    references.check(trained_with)
    target.mkdir()
    (target / VOICE_FILE).write_text(json.dumps(plain(voice), indent=2, sort_keys=True) + "\n", "utf-8")
    names = sorted(path.name for path in source.iterdir() if _REFERENCE_NAME.fullmatch(path.name) and path.is_file())
    copied = [*names, *(name for name in (PATHS_FILE, GIVEN_FILE) if (source / name).is_file())]
    refuse_foreign({source / name for name in copied} - {references.path(text) for text in trained_with})
    for name in copied:
        shutil.copyfile(source / name, target / name)
    return {name: sha256_of_file(target / name) for name in names}


def weights_name(checkpoint: Checkpoint) -> str:
    return f"{checkpoint.recipe.name}_{checkpoint.fold}.safetensors"


def plain(value: Any) -> Any:
    """As JSON can say it, with absolute paths cut to their last part: where something lay on the machine where the models were
    trained is nobody's business."""
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str) and (PurePath(value).is_absolute() or PureWindowsPath(value).is_absolute()):
        return PureWindowsPath(value).name if "\\" in value else PurePath(value).name
    return value


def _write_member(folder: Path, member: Member, storage: str) -> dict[str, Any]:
    """Write the weights; returns the rest, in plain values."""
    checkpoint, path = member.checkpoint, folder / weights_name(member.checkpoint)
    stored = to_int8(checkpoint.weights) if storage == INT8 else checkpoint.weights
    weights = {name: tensor.contiguous() for name, tensor in stored.items()}
    with replace_when_done(path) as temporary:  # safetensors' own file would be for its owner's eyes alone
        temporary.write_bytes(save(weights, metadata={"format": "pt"}))
    return {
        **{name: plain(getattr(checkpoint, name)) for name in _PLAIN_FIELDS},
        "recipe": plain(checkpoint.recipe.to_dict()),
        "batch_size": member.batch_size,
        "share": member.share,
        "sha256": sha256_of_file(path),
    }


def _from_content(folder: Path, content: Mapping[str, Any]) -> Published:
    voice, priors, sha256 = content["voice"], content["priors"], content["references"]
    check_identity(voice)
    for task in TASKS:
        for grade in GRADES:
            if not 0.0 < priors[task][grade] < 1.0:
                raise ValueError(f"prior {priors[task][grade]} of {task}, grade {grade}, outside (0, 1)")
    members = [_read_member(folder, entry, voice) for entry in content["members"]]
    _check_members(members, voice)
    references = folder / REFERENCES_FOLDER if sha256 else None
    if references is not None:
        References(references, voice=voice)  # refuses another voice
    storage = content.get("storage", FLOAT16)  # older ones don't say
    if storage not in STORAGES:
        raise ValueError(f"storage {storage!r}, not one of {', '.join(STORAGES)}")
    correction = read_correction(content.get("correction"), list(model_weights(members)))
    figures, sums = dict(content["figures"]), dict(sha256)
    fitted = content.get("fitted", True)
    if not isinstance(fitted, bool):
        raise ValueError(f"fitted is {fitted!r:.100}, not true or false")
    return Published(
        members,
        voice,
        priors,
        figures,
        references,
        sums,
        storage=storage,
        correction=correction,
        fitted=fitted,
    )


def _read_member(folder: Path, entry: Mapping[str, Any], voice: Identity) -> Member:
    plain = {name: entry[name] for name in _PLAIN_FIELDS}
    checkpoint = Checkpoint(
        recipe=recipe_from_dict(dict(entry["recipe"])), weights={}, oof=_NO_PREDICTIONS, voice=voice, **plain
    )
    if not isinstance(checkpoint.fold, int) or not isinstance(entry["batch_size"], int) or entry["batch_size"] < 1:
        raise ValueError(f"{checkpoint.recipe.name}: fold {checkpoint.fold!r}, batch_size {entry['batch_size']!r}")
    checkpoint = replace(checkpoint, weights=_read_weights(folder / weights_name(checkpoint), entry["sha256"]))
    check_weights(checkpoint)
    return Member(checkpoint, entry["batch_size"], float(entry["share"]))


def _read_weights(path: Path, sha256: str) -> dict[str, torch.Tensor]:
    if not path.is_file():
        raise InputError(f"{path}: missing; copy the folder again")
    found = sha256_of_file(path)
    if found != sha256:
        raise InputError(
            f"{path}: its checksum {found[:12]}… is not the one in {CONFIG_FILE}, {sha256[:12]}…; copy the folder again"
        )
    try:
        weights = from_int8(load_file(path))
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path}: not readable as safetensors ({error}); copy the folder again") from error
    broken = [name for name, tensor in weights.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise InputError(f"{path}: {len(broken)} weights are not finite, such as {broken[0]}; publish the model again")
    return weights


def _check_members(members: Sequence[Member], voice: Identity) -> None:
    total = sum(member.share for member in members)
    if abs(total - 1.0) > 1e-6 or any(not member.share > 0 for member in members):
        raise InputError(f"the shares of {len(members)} members sum to {total}; each must be above 0, and the sum 1")
    names = [weights_name(member.checkpoint) for member in members]
    if len(set(names)) != len(names):
        raise InputError(f"a model's fold is there twice, among {', '.join(sorted(names))}")
    for member in members:
        if not same_voice(member.checkpoint.voice, voice):
            raise InputError(f"{weights_name(member.checkpoint)}: was trained with another voice than the ensemble's")
