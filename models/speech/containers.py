"""Files of chunks (WAV and its kin, AIFF, CAF), AU and NIST: where the sound really ends, whatever the header says.

libsndfile believes a header that tells of less than there is, and cuts without a word where it tells of more.
"""

import math
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from models.errors import InputError

UNKNOWN_SIZE = (
    0x7FFF0000  # what a pipe's or a killed recorder's header says starts here, up to 2**32 - 1: no answer is so large
)
_MISCOUNTED_BYTES = 64  # headers that count themselves, or a chunk's, as sound
_W64 = b"\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"  # how its identifiers end


@dataclass(frozen=True)
class Layout:
    """How chunks lie in a file.

    Attributes
    ----------
    first
        Where the first chunk begins.
    sound
        The identifiers of the chunk of samples; others are as long.
    size
        `struct`'s format of a chunk's size, which follows the identifier.
    counts_header
        Whether this size has the chunk's own header in it.
    alignment
        Of which number of bytes a chunk's place is a multiple.
    outer
        Where the size of the whole file stands, and how much less it is than the file; None where it stands nowhere.
    """

    first: int
    sound: tuple[bytes, ...]
    size: str
    counts_header: bool = False
    alignment: int = 2
    outer: tuple[int, int] | None = (4, 8)

    @property
    def header(self) -> int:
        return len(self.sound[0]) + struct.calcsize(self.size)


_RIFF = Layout(12, (b"data",), "<I")
LAYOUTS = {
    b"RIFF": _RIFF,
    b"RF64": _RIFF,
    b"BW64": _RIFF,
    b"RIFX": Layout(12, (b"data",), ">I"),
    b"FORM": Layout(12, (b"SSND", b"BODY"), ">I"),
    b"caff": Layout(8, (b"data",), ">q", alignment=1, outer=None),
    b"riff": Layout(40, (b"data" + _W64,), "<Q", counts_header=True, alignment=8, outer=(16, 0)),
}
_AU = {b".snd": ">I", b"dns.": "<I"}
_NIST_SIZES = re.compile(rb"^(?:sample_count|channel_count|sample_n_bytes) -(?:i|s\d+) (\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Chunk:
    """Its samples begin at `start`; `claimed` is how many bytes they are said to be."""

    identifier: bytes
    start: int
    claimed: int


def with_true_sizes(content: bytes) -> bytes:
    """The same file, with sizes that are those of what is there; any other kind of file as it is.

    Raises
    ------
    InputError
        Where the sound breaks off before its end, or another file follows.
    """
    magic = content[:4]
    if magic in _AU and len(content) >= 24:
        return _au_with_true_size(content, _AU[magic])
    if magic == b"NIST":
        _check_nist(content)
    if magic not in LAYOUTS:
        return content
    layout = LAYOUTS[magic]
    found = next((chunk for chunk in chunks(content, layout) if chunk.identifier in layout.sound), None)
    if found is None:
        return content
    claimed = _large_size(content) if magic in (b"RF64", b"BW64") and found.claimed >= UNKNOWN_SIZE else found.claimed
    end = _true_end(content, layout, found.start, claimed)
    return _resized(content, layout, found.start, end)


def chunks(content: bytes, layout: Layout, at: int | None = None) -> Iterator[Chunk]:
    at, length = layout.first if at is None else at, len(layout.sound[0])
    while at + layout.header <= len(content):
        (size,) = struct.unpack_from(layout.size, content, at + length)
        claimed = size - layout.header if layout.counts_header else size
        yield Chunk(content[at : at + length], at + layout.header, claimed)
        if claimed < 0:
            return
        at += layout.header + claimed
        at += -at % layout.alignment


def _large_size(content: bytes) -> int:
    """Of the samples, as the first chunk of a file that may be larger than 4 GB tells it."""
    return int(struct.unpack_from("<Q", content, 28)[0]) if content[12:16] == b"ds64" and len(content) >= 36 else -1


def _true_end(content: bytes, layout: Layout, start: int, claimed: int) -> int:
    if not 0 <= claimed < UNKNOWN_SIZE:
        return len(content)
    _check_is_whole(claimed, len(content) - start)
    end = start + claimed
    padded = end + -end % layout.alignment
    return end if _holds_chunks(content, layout, padded) else len(content)


def _check_is_whole(claimed: int, available: int) -> None:
    """Raises InputError where a header tells of more bytes of sound than there are."""
    if claimed > available + _MISCOUNTED_BYTES:
        raise InputError(
            f"breaks off: of {claimed} bytes of sound the first {available} are there; copy, send or record it again, "
            "or convert it to WAV or FLAC if this is all that there is"
        )


def _holds_chunks(content: bytes, layout: Layout, at: int) -> bool:
    """Whether what follows the samples is not sound: other chunks, zeros, or nothing."""
    if not content[at:].strip(b"\0"):
        return True
    for chunk in chunks(content, layout, at):
        name = chunk.identifier[:4]
        if name in LAYOUTS and name != b"FORM":
            raise InputError("several files in one; convert them to a WAV or FLAC file")
        if not (name.isascii() and name.decode("ascii").isprintable()) or chunk.start + chunk.claimed > len(content):
            return False
    return True


def _resized(content: bytes, layout: Layout, start: int, end: int) -> bytes:
    inner = end - start + (layout.header if layout.counts_header else 0)
    fields = {start - struct.calcsize(layout.size): struct.pack(layout.size, inner)}
    if layout.outer is not None:
        at, less = layout.outer
        fields[at] = struct.pack(layout.size, len(content) - less)
    if content[12:16] == b"ds64":  # sizes of 64 bits, which are not needed
        fields |= {0: b"RIFF", 12: b"JUNK"}
    return changed(content, fields)


def changed(content: bytes, fields: dict[int, bytes]) -> bytes:
    """With other bytes at these places; the same object, and no copy, where they are the same."""
    if all(content.startswith(field, at) for at, field in fields.items()):
        return content
    changed = bytearray(content)
    for at, field in fields.items():
        changed[at : at + len(field)] = field
    return bytes(changed)


def _au_with_true_size(content: bytes, size: str) -> bytes:
    start, claimed = struct.unpack_from(f"{size[0]}2I", content, 4)
    available = max(len(content) - start, 0)
    if claimed < UNKNOWN_SIZE:
        _check_is_whole(claimed, available)
    return changed(content, {8: struct.pack(size, available)})


def _check_nist(content: bytes) -> None:
    """Of a header in words, whose second line tells its own length."""
    length = int(content[8:16]) if content[8:16].strip().isdigit() else len(content)
    sizes = [int(size) for size in _NIST_SIZES.findall(content[:length])]
    if len(sizes) == 3:
        _check_is_whole(math.prod(sizes), len(content) - length)
