"""onnxruntime, through which Piper's voices speak: what a submission carries of it, since the runtime has none.

Of its dependencies only NumPy is imported, which the runtime has.
"""

import re
import zipfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from models.errors import InputError

PACKAGE = "onnxruntime"
OPTION = "--onnxruntime_wheel"

_FITS = re.compile(r"^Tag: cp312-cp312-manylinux\w*_x86_64$", re.MULTILINE)  # the runtime's Python and system
_ITS = "Python 3.12 on 64-bit Linux on x86, where the submission runs"
# Not its tools for making and changing models, and no byte code.
_NEEDED = re.compile(rf"{PACKAGE}/(capi/.+|[^/]+)(?<!\.pyc)(?<!/)")
_TAGS_FILE = re.compile(rf"{PACKAGE}-[^/]*\.dist-info/WHEEL")


def onnxruntime_files(wheel: Path | None) -> dict[str, Path | bytes]:
    """Its modules and libraries, by their names below the folder that holds the package.

    Parameters
    ----------
    wheel
        The file that pip downloads; None means the installed package.

    Raises
    ------
    InputError
        Where there is none, or it is for another Python or system.
    """
    return _installed_files() if wheel is None else _wheel_files(wheel)


def _installed_files() -> dict[str, Path | bytes]:
    try:
        found = distribution(PACKAGE)
    except PackageNotFoundError as error:
        raise InputError(f"{PACKAGE}: not installed; {_how_to_get_it()}") from error
    _check_tags(f"the installed {PACKAGE} {found.version}", found.read_text("WHEEL") or "")
    names = [name.as_posix() for name in found.files or ()]
    return {name: Path(str(found.locate_file(name))) for name in names if _NEEDED.fullmatch(name)}


def _wheel_files(wheel: Path) -> dict[str, Path | bytes]:
    if not wheel.is_file():
        raise InputError(f"{OPTION} {wheel}: no such file; {_how_to_get_it()}")
    try:
        with zipfile.ZipFile(wheel) as content:
            tags = [name for name in content.namelist() if _TAGS_FILE.fullmatch(name)]
            _check_tags(f"{OPTION} {wheel}", content.read(tags[0]).decode() if tags else "")
            return {name: content.read(name) for name in content.namelist() if _NEEDED.fullmatch(name)}
    except (zipfile.BadZipFile, OSError, UnicodeDecodeError) as error:
        raise InputError(f"{OPTION} {wheel}: can't be read as a wheel ({error}); {_how_to_get_it()}") from error


def _check_tags(what: str, tags: str) -> None:
    if not _FITS.search(tags):
        found = ", ".join(re.findall(r"^Tag: (\S+)$", tags, re.MULTILINE))
        fault = f"for {found}, not for {_ITS}" if found else f"no wheel of {PACKAGE}"
        raise InputError(f"{what}: {fault}; {_how_to_get_it()}")


def _how_to_get_it() -> str:
    """The version that is installed here, since it made the references."""
    try:
        wanted = f"{PACKAGE}=={distribution(PACKAGE).version}"
    except PackageNotFoundError:
        wanted = PACKAGE
    return (
        f"get the wheel: pip download {wanted} --no-deps --only-binary=:all: --python-version 3.12 "
        f"--platform manylinux_2_28_x86_64 , and give it as {OPTION}"
    )
