"""Many answers at once, from a zip file, from files sent together, or from a folder of the server: a table and its recordings."""

import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import pandas as pd

from models.clips.tables import METADATA_COLUMNS, clip_paths, read_metadata
from models.errors import InputError
from models.service.service import AnswerTable
from models.service.uploads import Uploads
from models.speech.written import same_look

MOST_CLIPS = 5_000
TABLE_FILE = "test_metadata.csv"
_UNPACKED_FACTOR = 20  # FLAC and CSV shrink by far less
_SMALL_BYTES = 1_000_000  # a table alone shrinks by more
_PIECE_BYTES = 1 << 20

_BROKEN = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, ValueError, OSError)

Named = tuple[str, Path]  # what the client calls a file, and where it lies


@contextmanager
def batch_from_files(files: Sequence[Named], uploads: Uploads) -> Iterator[AnswerTable]:
    """A CSV and its recordings, or one zip file of them. All files are deleted in the end.

    Raises
    ------
    InputError
        Where there is no such table, or it or the zip file is broken.
    """
    paths = [path for _, path in files]
    uploads.keep(paths)
    try:
        if len(files) == 1 and zipfile.is_zipfile(files[0][1]):
            unpacked = _unpack(files[0][1], uploads)
            paths += [path for _, path in unpacked]
            uploads.keep(path for _, path in unpacked)
            yield _match(unpacked)
        else:
            yield _match(files)
    finally:
        for path in paths:
            uploads.delete(path)


def batch_from_folder(root: Path, name: str) -> AnswerTable:
    """`test_metadata.csv` and its recordings in a folder below `root`.

    Raises
    ------
    InputError
        Where the folder leads out of `root` or is not there.
    """
    folder = (root / name.replace("\0", "")).resolve()
    if "\0" in name or not folder.is_relative_to(root.resolve()) or not folder.is_dir():
        raise InputError("no such folder; give one below the folder that the page was started with")
    table = _read_table(folder / TABLE_FILE)
    return AnswerTable(table, [_present(path) for path in clip_paths(folder, table["filename"])])


def _match(files: Sequence[Named]) -> AnswerTable:
    """Find each row's recording among the files: by its whole name or one that looks the same, or else by the last part."""
    tables = [(name, path) for name, path in files if name.lower().endswith(".csv")]
    if len(tables) != 1:
        raise InputError(
            f"{len(tables)} CSV files were sent; send one, with the columns {', '.join(METADATA_COLUMNS)}, beside the recordings"
        )
    table = _read_table(tables[0][1])
    if len(table) > MOST_CLIPS:
        raise InputError(f"the table has {len(table)} rows; {MOST_CLIPS} at once are the most")
    folder = PurePosixPath(tables[0][0]).parent
    whole = {str(PurePosixPath(name)): path for name, path in files}
    alike = _unique((same_look(name), path) for name, path in whole.items())
    last = _unique((PurePosixPath(same_look(name)).name, path) for name, path in files)

    def find(name: str) -> Path | InputError:
        place = str(folder / name)
        found = whole.get(place) or alike.get(same_look(place)) or last.get(PurePosixPath(same_look(name)).name)
        return InputError("no such recording was sent") if found is None else found

    return AnswerTable(table, [find(name.replace("\\", "/")) for name in table["filename"]])


def _unique(files: Iterable[Named]) -> dict[str, Path]:
    """Without those that share their name."""
    files = list(files)
    times = Counter(name for name, _ in files)
    return {name: path for name, path in files if times[name] == 1}


def _read_table(path: Path) -> pd.DataFrame:
    try:
        return read_metadata(path, also=("child",))
    except InputError as error:
        raise InputError(str(error).replace(str(path), f"the table ({TABLE_FILE})")) from error


def _present(path: Path) -> Path | InputError:
    return path if path.is_file() else InputError("no such recording in the folder")


def _unpack(archive: Path, uploads: Uploads) -> list[Named]:
    """Each file of the zip file under a name of ours. What it says of sizes is not believed: it is counted."""
    sent = min(max(archive.stat().st_size, _SMALL_BYTES), uploads.max_bytes)
    budget, unpacked = _UNPACKED_FACTOR * sent, []
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [member for member in opened.infolist() if _is_wanted(member)]
            if len(members) > MOST_CLIPS + 1:
                raise InputError(f"the zip file holds {len(members)} files; {MOST_CLIPS} recordings are the most")
            for member in members:
                unpacked.append((member.filename, uploads.new_path(member.filename)))
                budget -= _extract(opened, member, unpacked[-1][1], budget)
    except BaseException as error:
        for _, path in unpacked:
            uploads.delete(path)
        if isinstance(error, _BROKEN):
            raise InputError(
                f"the zip file can't be read ({type(error).__name__}); make it anew, without a password"
            ) from error
        raise
    return unpacked


def _extract(opened: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path, budget: int) -> int:
    """Returns the number of bytes written."""
    written = 0
    with opened.open(member) as source, open(path, "xb") as target:
        while piece := source.read(_PIECE_BYTES):
            written += len(piece)
            if written > budget:
                raise InputError("the zip file holds far more than its size lets expect; send less at once")
            target.write(piece)
    return written


def _is_wanted(member: zipfile.ZipInfo) -> bool:
    """Plain files, without what systems hide in archives."""
    kind = stat.S_IFMT(member.external_attr >> 16)
    parts = PurePosixPath(member.filename).parts
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    return not member.is_dir() and kind in (0, stat.S_IFREG) and not hidden
