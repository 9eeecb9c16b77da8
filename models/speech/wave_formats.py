"""What WAV and W64 files hold where libsndfile takes it for something else: MP3, and formats that are told in full."""

import struct

from models.speech.containers import LAYOUTS, Chunk, changed, chunks

_MP3, _IN_FULL = 0x55, 0xFFFE  # of the numbers by which a format is told
_NUMBER_IN_FULL_AT = 24  # in the chunk of the format, where the number is a longer name's first bytes
_SIXTY_FOUR = b"riff"  # how W64 begins


def mp3_inside(content: bytes) -> bytes | None:
    """The frames of a WAV file that holds MP3: libsndfile guesses there too how many they are. None of any other file."""
    told, sound = _chunk(content, b"fmt "), _chunk(content, b"data")
    if told is None or sound is None or _number(content, told.start) != _MP3:
        return None
    return content[sound.start : sound.start + sound.claimed]


def with_plain_format(content: bytes) -> bytes:
    """The same file; a W64's format that is told in full told in short, else libsndfile takes its floats for integers."""
    told = _chunk(content, b"fmt ") if content[:4] == _SIXTY_FOUR else None
    if told is None or told.claimed < _NUMBER_IN_FULL_AT + 2 or _number(content, told.start) != _IN_FULL:
        return content
    number = _number(content, told.start + _NUMBER_IN_FULL_AT)
    return changed(content, {told.start: struct.pack("<H", number)})


def _number(content: bytes, at: int) -> int:
    return int.from_bytes(content[at : at + 2], "little")


def _chunk(content: bytes, name: bytes) -> Chunk | None:
    """Of a WAV or W64 file."""
    if content[8:12] != b"WAVE" and content[:4] != _SIXTY_FOUR:
        return None
    found = chunks(content, LAYOUTS[content[:4]]) if content[:4] in LAYOUTS else iter(())
    return next((chunk for chunk in found if chunk.identifier[:4] == name), None)
