"""Which model it is that scores."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelName:
    """`version` is the beginning of the SHA-256 of the file that describes the model whole, with its weights' checksums."""

    name: str
    version: str
