"""One run at a time on what is written. The system lets go of a lock when its process dies, however it dies."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from models.errors import InputError


@contextmanager
def sole_writer(path: Path) -> Iterator[None]:
    """Hold `path`, a file or folder that this run makes, until the block ends; a hidden, empty file beside it is the lock.

    raises : InputError where another run that is alive holds it
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise InputError(f"{path}: another run is making it; wait for that one, or write to another place") from error
    try:
        yield
    finally:
        lock.release()
