"""MP3 files whose header doesn't say how long they are, or says it wrongly.

libsndfile guesses the length from the first frame's bit rate where no header of the encoder ("Xing") tells it, and reads no
further. Here frames are counted, which takes their headers alone, and a right Xing header is put before them.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from models.errors import InputError

_RATES_HZ = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}  # by version: MPEG 1, 2, 2.5
_OF_MPEG_1 = {
    3: (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    2: (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    1: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
}  # kbit/s, by the layer's bits: I, II, III
_OF_MPEG_2 = {
    3: (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    2: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    1: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_LAYER_3, _LAYER_1 = 1, 3
_MONO = 3
_MISCOUNTED_FRAMES = 2  # some encoders count their own header
_SURE = 3  # frames in a row are no accident
_CONVERT = "convert it to WAV or FLAC"


@dataclass(frozen=True)
class _Frame:
    """A frame's place and what its header tells."""

    start: int
    length: int
    version: int
    layer: int
    rate_hz: int
    is_mono: bool

    @property
    def end(self) -> int:
        return self.start + self.length

    @property
    def side_bytes(self) -> int:
        """Of layer III's side information, behind which a Xing header stands."""
        return ((17, 32) if self.version == 3 else (9, 17))[not self.is_mono]


def is_mpeg(content: bytes) -> bool:
    """Whether it begins as frames of MPEG audio do."""
    return len(content) > 2 and content[0] == 0xFF and content[1] & 0xE0 == 0xE0 and bool(content[1] & 0x06)


def with_true_length(content: bytes) -> bytes:
    """The same frames, after a header that tells how many they are; the file itself where its own header is right.

    Raises
    ------
    InputError
        Where it breaks off, is not of one kind all through, or its frames don't tell how long they are.
    """
    frames = list(_frames(content))
    if not frames:
        raise InputError(f"its frames of MPEG audio are not found; {_CONVERT}")
    told = _told(content, frames[0])
    sound = frames if told is None else frames[1:]
    if told is not None and told > len(sound) + _MISCOUNTED_FRAMES:
        raise _broken_off(f"of {told} frames {len(sound)} are there")
    if told is not None and told >= len(sound):
        return content
    if frames[-1].end > len(content):
        raise _broken_off("the last frame is not whole")
    if len({(frame.version, frame.layer, frame.rate_hz) for frame in sound}) > 1:
        raise InputError(f"changes its sample rate or its kind in the middle; {_CONVERT}")
    joined = b"".join(content[frame.start : frame.end] for frame in sound)
    if sound and sound[0].layer != _LAYER_3:  # which alone has such a header
        if len({content[frame.start + 2] >> 4 for frame in sound}) > 1:
            raise InputError(f"changes its bit rate, and no header tells how long it is; {_CONVERT}")
        return joined
    return _xing(content, frames[0], len(sound)) + joined


def _broken_off(what: str) -> InputError:
    return InputError(f"breaks off: {what}; copy, send or record it again, or {_CONVERT} if this is all that there is")


def _frames(content: bytes) -> Iterator[_Frame]:
    """All that are there, in order; what lies between them, such as tags, is passed over."""
    at = 0
    while at >= 0:
        frame = _frame(content, at)
        if frame is not None and frame.end <= len(content):
            yield frame
            at = frame.end
            continue
        if frame is not None:
            yield frame  # the last one, cut
            return
        at = _next_frame(content, at)


def _next_frame(content: bytes, at: int) -> int:
    """Where frames go on after something else; -1: nowhere."""
    at = content.find(b"\xff", at + 1)
    while at >= 0:
        if _is_sure(content, at):
            return at
        at = content.find(b"\xff", at + 1)
    return -1


def _is_sure(content: bytes, at: int) -> bool:
    for _ in range(_SURE):
        frame = _frame(content, at)
        if frame is None:
            return False
        if frame.end >= len(content):
            return frame.end == len(content)
        at = frame.end
    return True


def _frame(content: bytes, at: int) -> _Frame | None:
    if at + 4 > len(content) or content[at] != 0xFF or content[at + 1] & 0xE0 != 0xE0:
        return None
    second, third, fourth = content[at + 1 : at + 4]
    version, layer, bit_rate, rate = second >> 3 & 3, second >> 1 & 3, third >> 4, third >> 2 & 3
    if version == 1 or layer == 0 or bit_rate in (0, 15) or rate == 3:
        return None
    bits = 1000 * (_OF_MPEG_1 if version == 3 else _OF_MPEG_2)[layer][bit_rate - 1]
    rate_hz, padding = _RATES_HZ[version][rate], third >> 1 & 1
    if layer == _LAYER_1:
        length = (12 * bits // rate_hz + padding) * 4
    else:
        length = (72 if layer == _LAYER_3 and version != 3 else 144) * bits // rate_hz + padding
    return _Frame(at, length, version, layer, rate_hz, fourth >> 6 == _MONO)


def _told(content: bytes, frame: _Frame) -> int | None:
    """How many frames the first one tells of, where it is a header; 0 where it doesn't say, None where it is none."""
    for at in (frame.start + 4 + frame.side_bytes, frame.start + 6 + frame.side_bytes):
        if content[at : at + 4] in (b"Xing", b"Info"):
            flags, count = struct.unpack_from(">2I", content, at + 4)
            return int(count) if flags & 1 else 0
    at = frame.start + 36
    return int(struct.unpack_from(">I", content, at + 14)[0]) if content[at : at + 4] == b"VBRI" else None


def _xing(content: bytes, like: _Frame, count: int) -> bytes:
    """A frame without sound, of the lowest bit rate that has room, which tells how many follow."""
    _, second, third, fourth = content[like.start : like.start + 4]
    told = b"Xing" + struct.pack(">2I", 1, count)
    for bit_rate in range(1, 15):
        header = bytes([0xFF, second | 1, bit_rate << 4 | third & 0x0C, fourth])
        frame = _frame(header, 0)
        if frame is not None and frame.length >= 4 + like.side_bytes + len(told):
            break
    return (header + bytes(like.side_bytes) + told).ljust(frame.length if frame else 0, b"\0")
