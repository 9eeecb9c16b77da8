"""One run at a time on what is written. The system lets go of a lock when its process dies, however it dies."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from models.errors import InputError


@contextmanager
def sole_writer(path: Path, wait_seconds: float = 0.0) -> Iterator[None]:
    """Hold `path`, a file or folder that this run makes, until the block ends; a hidden, empty file beside it is the lock.

    wait_seconds : how long another run may still hold it
    raises : InputError where another run that is alive holds it
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(timeout=wait_seconds)
    except Timeout as error:
        raise InputError(f"{path}: another run is making it; wait for that one, or write to another place") from error
    try:
        yield
    finally:
        lock.release()
