"""Files that a visitor sends: capped in size, named by the server alone, and not kept."""

import asyncio
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Protocol

from models.base.locks import take_lock
from models.errors import InputError

LOCAL_HOSTS = ("127.0.0.1", "localhost", "[::1]")  # names of this computer, for itself
_SWEEP_SECONDS = 60.0
KEEP_SECONDS = 600.0  # what was sent and never scored is deleted after so long
_SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".aiff", ".au", ".webm", ".m4a", ".csv", ".zip")
_OTHER_SUFFIX = ".bin"
_PREFIX, _LOCK = "speech-text-comparison-", ".lock"


class Swept(Protocol):
    """What has to be tidied up now and then."""

    def sweep(self) -> None: ...


class Uploads:
    """A folder of its own, readable by this user alone, which disappears with `close`.

    Parameters
    ----------
    max_bytes
        Of one request, however many files it carries.
    """

    def __init__(self, max_bytes: int) -> None:
        _delete_orphans()
        made = Path(tempfile.mkdtemp(prefix=f"new-{_PREFIX}")).resolve()
        self._lock = take_lock(made / _LOCK, 0.0, f"{made}: another page has it")
        self.folder = made.rename(
            made.with_name(made.name.removeprefix("new-"))
        )  # locked before others look for orphans
        self.max_bytes = max_bytes
        self._kept: set[Path] = set()

    def new_path(self, client_name: str = "") -> Path:
        """A name for a file. Of the client's name only the kind of file is taken, and only if it is one of a fixed list."""
        suffix = PurePosixPath(client_name[-10:].lower()).suffix
        return self.folder / f"{uuid.uuid4().hex}{next((own for own in _SUFFIXES if own == suffix), _OTHER_SUFFIX)}"

    def delete(self, path: Path) -> None:
        """Delete a file that was sent; one that lies elsewhere is never touched."""
        self._kept.discard(path)
        if self.holds(path):
            path.unlink(missing_ok=True)

    def keep(self, paths: Iterable[Path]) -> None:
        """Files that are in use: they are not swept, and stay until `delete`."""
        self._kept.update(paths)

    def holds(self, path: Path) -> bool:
        return path.resolve().parent == self.folder

    def sweep(self, keep_seconds: float = KEEP_SECONDS) -> None:
        """Delete what has been lying for too long."""
        for path in self.folder.iterdir():
            is_ours = path.name != _LOCK and path not in self._kept
            if is_ours and path.is_file() and time.time() - path.stat().st_mtime > keep_seconds:
                path.unlink(missing_ok=True)

    def close(self) -> None:
        self._lock.release()
        shutil.rmtree(self.folder, ignore_errors=True)


def _delete_orphans() -> None:
    """The folders of pages that were killed: nobody holds their locks."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError, InputError):
            if (folder / _LOCK).is_file() and folder.stat().st_uid == getattr(os, "getuid", lambda: 0)():
                lock = take_lock(folder / _LOCK, 0.0, f"{folder}: its page is alive")
                shutil.rmtree(folder, ignore_errors=True)
                lock.release()


async def limited(stream: AsyncIterator[bytes], max_bytes: int) -> AsyncIterator[bytes]:
    """The same pieces; an error as soon as they are too many, whatever was announced."""
    total = 0
    async for piece in stream:
        total += len(piece)
        if total > max_bytes:
            raise too_large(max_bytes)
        yield piece


def too_large(max_bytes: int) -> InputError:
    return InputError(
        f"more than {max_bytes / 1e6:g} MB were sent; send less, or start the page with a higher --max_upload_mb"
    )


def sweeping(*swept: Swept) -> Callable[[object], AbstractAsyncContextManager[None]]:
    """Delete forgotten files for as long as an application runs: what it calls its lifespan."""

    async def sweep_again_and_again() -> None:
        while True:
            for each in swept:
                each.sweep()
            await asyncio.sleep(_SWEEP_SECONDS)

    @asynccontextmanager
    async def lifespan(app: object) -> AsyncIterator[None]:
        task = asyncio.create_task(sweep_again_and_again())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    return lifespan
