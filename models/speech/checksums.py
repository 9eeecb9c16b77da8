"""Which references models were trained with: the SHA-256 of each text's WAV file, by text.

Two files by the same voice can differ: one was damaged and still decodes, or another build of the voice spoke it. A text that has
no checksum is not known, as all are of models that were trained before these were kept; then nothing is compared.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from models.base.files import sha256_of_file
from models.errors import InputError

Checksums = Mapping[str, str]
UNKNOWN: Checksums = MappingProxyType({})
MOST_REFERENCE_BYTES = 100_000_000  # of a reference, or of their list

_SHA256 = re.compile(r"[0-9a-f]{64}")


def checksums_of(paths: Mapping[str, Path]) -> dict[str, str]:
    """Of the files that are there; `paths` : by text."""
    return {text: _checksum(path) for text, path in paths.items() if path.is_file()}


def _checksum(path: Path) -> str:
    _check_size(path)
    return sha256_of_file(path)


def _check_size(path: Path) -> None:
    if path.stat().st_size > MOST_REFERENCE_BYTES:
        raise InputError(f"{path}: too large for a file of references; delete it and run preprocess.py again")


def check_checksums(value: object) -> dict[str, str]:
    """raises : ValueError unless it is a dict of checksums by text, as a file of a stranger may not hold it"""
    if not isinstance(value, dict):
        raise ValueError("the checksums of the references are no dict")
    for text, sha256 in value.items():
        if not isinstance(text, str) or not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
            raise ValueError(f"the reference of {text!r:.100} has no SHA-256: {sha256!r:.100}")
        text.encode()  # the name of its file is made of that
    return value


def differing_texts(one: Checksums, other: Checksums) -> list[str]:
    """The texts that both know, by another file each."""
    return [text for text, sha256 in one.items() if other.get(text, sha256) != sha256]


def name_texts(texts: Sequence[str]) -> str:
    return repr(texts[0]) + (f" and {len(texts) - 1} more" if len(texts) > 1 else "")


def refuse_changed(paths: Mapping[str, Path], trained_with: Checksums) -> None:
    """
    paths : by text
    raises : InputError where a file that is there is not the one that the models were trained with, or, where that is not
        known, lies elsewhere
    """
    refuse_foreign(path for text, path in paths.items() if text not in trained_with)
    asked = {text: path for text, path in paths.items() if text in trained_with}
    changed = differing_texts(checksums_of(asked), trained_with)
    if changed:
        path = paths[changed[0]]
        raise InputError(
            f"{path}: not the reference of {changed[0]!r} that the models were trained with: its checksum is another, as of "
            f"{len(changed)} of the {len(asked)} that were looked at; copy the {path.parent.name} of the training here, or "
            f"delete {'this file' if len(changed) == 1 else f'the .wav files of {path.parent}'}, so that it is spoken again"
        )


def refuse_foreign(paths: Iterable[Path]) -> None:
    """Files are meant; what else lies in their places is as if it were not there.

    raises : InputError naming the first that is too large, or a link to a file elsewhere, which a copy would give away
    """
    folders: dict[Path, Path] = {}
    for path in paths:
        folder = folders.setdefault(path.parent, path.parent.resolve())
        if not path.is_file():
            continue
        if path.is_symlink() and not path.resolve().is_relative_to(folder):
            raise InputError(f"{path}: is a link that leads out of its folder; put the file itself there, or delete it")
        _check_size(path)


def refuse_other_speech(spoken: Mapping[str, Path], trained_with: Checksums, voice: str) -> None:
    """Delete what has just been spoken and is not what the models were trained with.

    spoken : by text
    voice : in words
    raises : InputError where there is such a reference, or one that could not be spoken here at all
    """
    asked = {text: path for text, path in spoken.items() if text in trained_with}
    found = checksums_of(asked)
    others = [text for text in asked if found.get(text) != trained_with[text]]
    if others:
        for text in others:
            asked[text].unlink(missing_ok=True)
        folder = asked[others[0]].parent
        raise InputError(
            f"{folder}: the voice here ({voice}) speaks {name_texts(others)} otherwise than where the models were trained, so it "
            f"is another build of it, or another machine; copy the {folder.name} of the training here"
        )
