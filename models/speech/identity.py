"""Who speaks: plain values that tell one voice from another, in references, checkpoints and configurations."""

import json
from typing import Any

Identity = dict[str, Any]


def check_identity(value: object) -> Identity:
    """Check what a file of a stranger says of a voice.

    Raises
    ------
    ValueError
        Unless it names a voice in plain values, as a file of a stranger may not do it.
    """
    if not isinstance(value, dict) or not {"engine", "speed", "source"} <= value.keys():
        raise ValueError(f"{repr(value)[:200]} does not name a voice")
    plain = all(isinstance(item, str | int | float | None) for item in value.values())
    if not plain or not all(isinstance(key, str) for key in value) or not isinstance(value["speed"], int | float):
        raise ValueError(f"the voice {repr(value)[:200]} is not described by plain texts and numbers")
    return value


def same_voice(identity: Identity, other: Identity) -> bool:
    return _without_source(identity) == _without_source(other)


def voice_key(identity: Identity) -> str:
    """What tells one voice from another, as text."""
    return json.dumps(_without_source(identity), sort_keys=True)


def describe_voice(identity: Identity) -> str:
    return ", ".join(f"{key} {str(value)[:40]}" for key, value in sorted(identity.items()))


def _without_source(identity: Identity) -> Identity:
    return {key: value for key, value in identity.items() if key != "source"}
