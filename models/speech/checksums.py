"""Which references models were trained with: the SHA-256 of each text's WAV file, by text.

Two files by the same voice can differ: one was damaged and still decodes, or another build of the voice spoke it. A text that has
no checksum is not known, as all are of models that were trained before these were kept; then nothing is compared.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from models.errors import InputError

Checksums = Mapping[str, str]
UNKNOWN: Checksums = MappingProxyType({})

_SHA256 = re.compile(r"[0-9a-f]{64}")


def check_checksums(value: object) -> dict[str, str]:
    """Check what a file of a stranger holds.

    Raises
    ------
    ValueError
        Unless it is a dict of checksums by text.
    """
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


def refuse_older_speech(said: Iterable[tuple[str, str]], trained_with: Checksums) -> None:
    """Check that models know texts as they are said now.

    Parameters
    ----------
    said
        Pairs of a text and its utterance.

    Raises
    ------
    InputError
        Where an older version had the text itself spoken for them.
    """
    older = [pair for pair in said if pair[0] != pair[1] and pair[0] in trained_with and pair[1] not in trained_with]
    if older:
        texts, utterance = list(dict.fromkeys(text for text, _ in older)), older[0][1]
        raise InputError(
            f"the models were trained with {name_texts(texts)} spoken as it is spelled, by an older version; it is "
            f"said {utterance!r} now. Speak the references again (preprocess.py) and train again, or go on with the version that "
            "trained them"
        )


def name_texts(texts: Sequence[str]) -> str:
    return repr(texts[0]) + (f" and {len(texts) - 1} more" if len(texts) > 1 else "")
