"""What the environment says where it would end a library: mended before any is imported, by `models/__init__.py`. The one place.

Needs the standard library alone.
"""

import getpass
import os
import stat
import sys
import tempfile
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

_CACHES = {"NUMBA_CACHE_DIR": "numba", "MPLCONFIGDIR": "matplotlib", "TRITON_HOME": "triton"}  # by what names them
_NOTEBOOK = "module://"  # how Jupyter names the backend of matplotlib that draws into a notebook


def mend() -> None:
    """Caches where they can be written, a name for who has none, no backend of matplotlib that is not here."""
    with suppress(OSError):  # where nothing can be written, not even a temporary folder, libraries may do without
        _move_caches()
    _name_user()
    _forget_backend()


def cache_folder() -> Path:
    """Where this user's programs keep what they can make again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))


def draw_into_files() -> None:
    """For programs that show no windows: matplotlib needs no other backend, whatever is named."""
    os.environ["MPLBACKEND"] = "agg"


def _move_caches() -> None:
    """To a temporary folder, from a home that can't be written or is none: a service user's, a container's `--user`."""
    before = cache_folder()
    if _can_be_written(before):
        return
    folder = _private_folder()
    if (before / "huggingface").is_dir():  # it can still be read
        os.environ.setdefault("HF_HOME", str(before / "huggingface"))
    os.environ["XDG_CACHE_HOME"] = str(folder)
    for variable, name in _CACHES.items():
        os.environ.setdefault(variable, str(folder / name))


def _can_be_written(folder: Path) -> bool:
    """Or made, if it is not there."""
    if not folder.is_absolute():  # a user without a name has no home: `~` stays as it is
        return False
    there = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def _private_folder() -> Path:
    """The same in each run, and of this user alone: libraries run what lies in their caches."""
    user = getattr(os, "getuid", lambda: 0)()
    folder = Path(tempfile.gettempdir()) / f"speech-text-comparison-caches-{user}"
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if stat.S_ISDIR(found.st_mode) and found.st_uid == user and not found.st_mode & 0o077:
        return folder
    return Path(tempfile.mkdtemp(prefix=f"{folder.name}-"))


def _name_user() -> None:
    """torch names a folder after the user, and a user id need not have a name."""
    try:
        getpass.getuser()
    except (KeyError, OSError, ImportError):
        os.environ["LOGNAME"] = str(getattr(os, "getuid", lambda: "user")())


def _forget_backend() -> None:
    """A notebook hands its backend to all that it starts; where that is not installed, matplotlib can't even be imported."""
    named = os.environ.get("MPLBACKEND", "")
    if named.startswith(_NOTEBOOK) and "matplotlib" not in sys.modules and not _is_there(named.removeprefix(_NOTEBOOK)):
        del os.environ["MPLBACKEND"]


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # also where the package that should hold it is not there
        return False
