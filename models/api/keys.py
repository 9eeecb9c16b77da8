"""Who may ask, and how often."""

import hashlib
import hmac
import time
from collections.abc import Callable
from pathlib import Path

from models.errors import InputError

SHORTEST_KEY = 20  # characters


class Keys:
    """Names and keys, of which only the checksums stay in memory."""

    def __init__(self, keys: dict[str, str]) -> None:
        self._digests = [(name, hashlib.sha256(key.encode()).digest()) for name, key in keys.items()]

    @classmethod
    def read(cls, file: Path) -> "Keys":
        """A line for each key: a name, a space, the key; lines that begin with # say nothing.

        Raises
        ------
        InputError
            Naming the line, and never the key.
        """
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"--api_keys {file}: can't be read ({type(error).__name__}); {_example()}") from error
        found: dict[str, str] = {}
        for number, line in enumerate(lines, 1):
            parts = line.split()
            if not parts or parts[0].startswith("#"):
                continue
            place = f"--api_keys {file}, line {number}"
            if len(parts) != 2 or len(parts[1]) < SHORTEST_KEY:
                raise InputError(f"{place}: is no name with a key of {SHORTEST_KEY} characters or more; {_example()}")
            if parts[0] in found or parts[1] in found.values():
                raise InputError(f"{place}: this name or key stands there twice; {_example()}")
            found[parts[0]] = parts[1]
        if not found:
            raise InputError(f"--api_keys {file}: holds no key; {_example()}")
        return cls(found)

    def name_of(self, key: bytes) -> str | None:
        """Whose key it is. Takes as long for a key that is nearly right as for any other."""
        digest, found = hashlib.sha256(key).digest(), None
        for name, own in self._digests:
            if hmac.compare_digest(digest, own):
                found = name
        return found


class RateLimiter:
    """A bucket of a minute's requests for each name, which fills again evenly (a token bucket).

    Parameters
    ----------
    clock
        Seconds that only go up.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute, self._clock = per_minute, clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def seconds_to_wait(self, name: str) -> float:
        """0, and a request is taken from the bucket; or how long until one is in it."""
        now, rate = self._clock(), self._per_minute / 60
        left, since = self._buckets.get(name, (float(self._per_minute), now))
        left = min(float(self._per_minute), left + (now - since) * rate)
        wait = max(0.0, (1 - left) / rate)
        self._buckets[name] = (left if wait else left - 1, now)
        return wait


def _example() -> str:
    return (
        'write a name and a key in each line; python -c "import secrets; print(secrets.token_urlsafe(32))" makes a key'
    )
