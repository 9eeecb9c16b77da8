"""What browsers and telephones record, which libsndfile does not read: WebM, MP4, and CAF with AAC or Opus in it. Decoded by
FFmpeg's libraries, through PyAV, which is optional.

FFmpeg guesses what it is given, follows lists of files, and makes do with what is broken. So it is told which kind of file
this is, and whether the sound breaks off is looked up in the file first.
"""

import io
import math
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import InputError

Samples = NDArray[np.float32]

WEBM, MP4, CAF = "matroska", "mov", "caf"  # as FFmpeg calls what reads them
_EBML = b"\x1a\x45\xdf\xa3"
_SEGMENT, _CLUSTER = 0x18538067, 0x1F43B675
_BROKEN_OFF = (
    "breaks off before its end; record or send it again, or convert it to WAV or FLAC if this is all that there is"
)


def kind_of_recorder(content: bytes) -> str | None:
    """What FFmpeg calls such a file; None where it is another. A CAF file may be libsndfile's, which reads some."""
    if content[:4] == _EBML:
        return WEBM
    if content[4:8] == b"ftyp":
        return MP4
    return CAF if content[:4] == b"caff" else None


def decode_recorded(content: bytes, kind: str, max_seconds: float, most_samples: int) -> tuple[Samples, int]:
    """A file's only sound, at most its first `max_seconds`: float32 [shape=(n, channels)], and its rate.

    Parameters
    ----------
    kind
        Of `kind_of_recorder`.
    most_samples
        Of all channels; where there are more, some more than that are read.

    Raises
    ------
    InputError
        Where PyAV is not there, a picture is, or the sound breaks off.
    """
    try:
        import av
    except ImportError as error:
        raise InputError(
            "WebM, MP4 and CAF are read by PyAV, which is not installed: pip install av, or convert it to WAV or FLAC"
        ) from error
    _check_is_whole(content, kind)
    with av.open(io.BytesIO(content), format=kind, metadata_errors="ignore") as container:
        stream = _only_sound(container)
        rate_hz = int(stream.codec_context.sample_rate)
        return _read(container, stream, rate_hz, math.ceil(max_seconds * rate_hz), most_samples), rate_hz


def _only_sound(container: Any) -> Any:
    pictures = [stream for stream in container.streams.video if not _is_cover(stream)]
    if pictures:
        raise InputError("this is a video; send the sound alone, without the picture")
    if len(container.streams.audio) != 1:
        raise InputError(f"the file holds {len(container.streams.audio)} sounds; send one")
    return container.streams.audio[0]


def _is_cover(stream: Any) -> bool:
    return "attached_pic" in stream.disposition.name.lower() if stream.disposition else False


def _read(container: Any, stream: Any, rate_hz: int, wanted: int, most_samples: int) -> Samples:
    from av import AudioResampler

    to_floats = AudioResampler(format="fltp", rate=rate_hz)
    pieces: list[Samples] = []
    n_frames = n_samples = 0
    for frame in container.decode(stream):
        for piece in to_floats.resample(frame):
            pieces.append(np.ascontiguousarray(piece.to_ndarray().T, dtype=np.float32))
            n_frames, n_samples = n_frames + len(pieces[-1]), n_samples + pieces[-1].size
        if n_frames >= wanted or n_samples > most_samples:
            break
    if not pieces:
        return np.zeros((0, 1), np.float32)
    return np.concatenate(pieces)[:wanted]


def _check_is_whole(content: bytes, kind: str) -> None:
    boxes = {WEBM: _webm_ends, MP4: _mp4_ends, CAF: _caf_ends}[kind](content)
    if any(end > len(content) for end in boxes):
        raise InputError(_BROKEN_OFF)


def _mp4_ends(content: bytes) -> Iterator[int]:
    """Where each box of the file ends, as it says itself (ISO/IEC 14496-12, 4.2)."""
    at = 0
    while at + 8 <= len(content):
        (size,) = struct.unpack_from(">I", content, at)
        if size == 1 and at + 16 <= len(content):
            (size,) = struct.unpack_from(">Q", content, at + 8)
        if size < 8:  # 0: to the end of the file
            return
        at += size
        yield at


def _caf_ends(content: bytes) -> Iterator[int]:
    """Where each chunk ends (Apple's Core Audio Format, 1.0); that of the samples may be of unknown size, -1."""
    at = 8
    while at + 12 <= len(content):
        (size,) = struct.unpack_from(">q", content, at + 4)
        if size < 0:
            return
        at += 12 + size
        yield at


def _webm_ends(content: bytes) -> Iterator[int]:
    """Where each element ends whose size is told, down to the blocks of sound (RFC 8794, RFC 9559). Recorders leave the sizes of
    what goes on for as long as they record unknown; what is in it follows."""
    at = 0
    while at < len(content):
        head = _element(content, at)
        if head is None:
            yield len(content) + 1  # it breaks off within a head
            return
        identifier, start, size = head
        if size is not None:
            yield start + size
        opened = identifier in (_SEGMENT, _CLUSTER)
        at = start if opened else start + (size or 0)


def _element(content: bytes, at: int) -> tuple[int, int, int | None] | None:
    """Identifier, where its content begins, and how long that is told to be; None where the file ends before that."""
    length = 9 - content[at].bit_length()
    start = at + length
    if length > 4 or start >= len(content):
        return None
    size_length = 9 - content[start].bit_length()
    if size_length > 8 or start + size_length > len(content):
        return None
    value = int.from_bytes(content[start : start + size_length], "big") & ((1 << 7 * size_length) - 1)
    unknown = value == (1 << 7 * size_length) - 1
    return int.from_bytes(content[at:start], "big"), start + size_length, None if unknown else value
