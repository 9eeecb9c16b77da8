"""Locks between processes, as files: on every file system, or with a line that names the file."""

import os
from contextlib import suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from models.errors import InputError

_FOR_ALL = 0o666  # another user who may write into the folder may also make what is locked; the file is empty


def take_lock(file: Path, wait_seconds: float, held: str) -> BaseFileLock:
    """Hold a lock until its `release`, or until this process ends.

    Where the file system knows no locks (NFS without its daemon), a second file stands for it, as long as it is there.

    Parameters
    ----------
    held
        What to say where another process holds it for longer than `wait_seconds`.

    Raises
    ------
    InputError
        Saying that.
    """
    is_known = _takes_locks(file)
    lock: BaseFileLock = FileLock(file, mode=_FOR_ALL) if is_known else SoftFileLock(file.with_suffix(".held"))
    try:
        lock.acquire(timeout=wait_seconds)
    except Timeout as error:
        left = f" (if no other is running, one that was killed has left {lock.lock_file}: delete it)"
        raise InputError(held if is_known else f"{held}{left}") from error
    return lock


def _takes_locks(file: Path) -> bool:
    """Whether the file system answers to `flock`; the file is made, so that others than this user can lock it too."""
    try:
        import fcntl
    except ImportError:  # Windows has locks of its own
        return True
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, _FOR_ALL)
    try:
        with suppress(PermissionError):  # of another user's file
            os.fchmod(descriptor, _FOR_ALL)
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
