"""Files that appear whole or not at all, and files that are read whole."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from models.base.locks import take_lock
from models.errors import InputError

LONGEST_NAME = 255  # bytes of a file's name, on all usual file systems
PROJECT_DIR = Path(__file__).resolve().parents[2]  # where the scripts and assets/ are
SHIPPED_MODEL = "assets/models/verifytiny-children"  # in it: a published model, for who has trained none


def fitting_name(name: str, ending: str) -> str:
    """A name with an ending of ours; where that would be longer than file systems take, its beginning and a checksum of it."""
    if len(os.fsencode(name + ending)) <= LONGEST_NAME:
        return name + ending
    ending = f"~{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}{ending}"
    while len(os.fsencode(name + ending)) > LONGEST_NAME:
        name = name[:-1]
    return name + ending


@contextmanager
def replace_when_done(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; it takes the name `path` when the block ends well, and is deleted otherwise.

    Raises
    ------
    OSError
        Naming `path` where the system refuses, for want of space or of permission.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(fitting_name(f".{path.name}", f".{os.getpid()}.tmp"))
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if error.filename not in (None, str(temporary)):
            raise  # another file's
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


def sha256_of_file(path: Path) -> str:
    digest = hashlib.sha256()
    with _named_errors(path), open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def sha256_of_values(values: Iterable[Any]) -> str:
    """A checksum of plain values, the same in whatever order they are."""
    return hashlib.sha256(json.dumps(sorted(values)).encode()).hexdigest()


def read_whole(path: Path, most_bytes: int) -> bytes:
    """The content of a file.

    Raises
    ------
    InputError
        Where it is larger than such a file ever is, before it fills the memory; OSError naming the file.
    """
    with _named_errors(path), open(path, "rb") as file:
        large = os.fstat(file.fileno()).st_size > most_bytes
        content = b"" if large else file.read(most_bytes + 1)  # what /proc holds has no size
    if large or len(content) > most_bytes:
        raise InputError(
            f"{path}: larger than {most_bytes / 1e6:.0f} MB, the most for such a file; is it the right one?"
        )
    return content


@contextmanager
def _named_errors(path: Path) -> Iterator[None]:
    """Errors in reading an open file don't name it."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextmanager
def sole_writer(path: Path, wait_seconds: float = 0.0) -> Iterator[None]:
    """Hold `path`, a file or folder that this run makes, until the block ends; a hidden, empty file beside it is the lock.

    Parameters
    ----------
    wait_seconds
        How long another run may still hold it.

    Raises
    ------
    InputError
        Where another run that is alive holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    held = f"{path}: another run is making it; wait for that one, or write to another place"
    lock = take_lock(path.with_name(fitting_name(f".{path.name}", ".lock")), wait_seconds, held)
    try:
        yield
    finally:
        lock.release()
