"""A file's bytes to samples, to the true end of what is in it, or an error that says why not."""

import io
from dataclasses import dataclass

import numpy as np
import soundfile
from numpy.typing import NDArray

from models.errors import InputError
from models.speech.containers import with_true_sizes
from models.speech.mpeg import is_mpeg, with_true_length
from models.speech.ogg import flac_links, ogg_links
from models.speech.recorders import CAF, decode_recorded, kind_of_recorder
from models.speech.wave_formats import mp3_inside, with_plain_format

LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 1_000, 768_000
LONGEST_SECONDS = 600  # far beyond any answer
MOST_SAMPLES = 50_000_000  # of all channels, 200 MB: ten minutes of stereo at 41 kHz
# Of other formats that libsndfile reads nothing tells where the sound ends, or what many a file begins with is taken for them.
_FORMATS = frozenset("WAV WAVEX RF64 W64 AIFF CAF AU SVX NIST HTK FLAC OGG MP3".split())
_BLOCK_FRAMES = 1 << 20  # more than most answers: one block, and nothing to join
_UNKNOWN_FRAMES = 1 << 62  # of a FLAC file that was written through a pipe
_LOST_SECONDS = 0.05  # of what codecs count otherwise at their ends


@dataclass(frozen=True)
class Sound:
    """Samples as they are in the file: float32 [shape=(n, channels)], in [-1, 1] for integer formats."""

    samples: NDArray[np.float32]
    rate_hz: int


class _Forward(soundfile.SoundFile):  # type: ignore[misc]
    """Read from its beginning to its end: where soundfile seeks after each block, a FLAC file of unknown length is an error."""

    def seekable(self) -> bool:
        return False


def decode(content: bytes, max_seconds: float | None = None) -> list[Sound]:
    """What a file holds, at most its first `max_seconds`: one sound, or several that follow each other.

    What a library raises where it can't read something, it raises too.

    Raises
    ------
    InputError
        Where the sound breaks off, or is so large that it is no answer.
    """
    kind = kind_of_recorder(content)
    if kind is not None and not (kind == CAF and _is_libsndfiles(with_true_sizes(content))):
        return [_decode_recorded(content, kind, max_seconds)]
    sounds, left = list[Sound](), max_seconds
    for part in _parts(content):
        sounds.append(_decode_part(part, left))
        seconds = sum(len(sound.samples) / sound.rate_hz for sound in sounds)
        left = None if max_seconds is None else max_seconds - seconds
        if left is not None and left <= 0:
            break
        if seconds > LONGEST_SECONDS or sum(sound.samples.size for sound in sounds) > MOST_SAMPLES:
            raise InputError(f"more than {seconds:.0f} s, in parts, is too long for an answer; cut it")
    return sounds


def _is_libsndfiles(content: bytes) -> bool:
    """Of a kind of file that may hold sound in formats that libsndfile does not know."""
    try:
        return bool(soundfile.info(io.BytesIO(content)).frames >= 0)
    except soundfile.LibsndfileError:
        return False


def _decode_recorded(content: bytes, kind: str, max_seconds: float | None) -> Sound:
    longest = LONGEST_SECONDS + 1 if max_seconds is None else max_seconds
    samples, rate_hz = decode_recorded(content, kind, longest, MOST_SAMPLES)
    _check_size(len(samples), samples.shape[1], rate_hz)
    return Sound(samples, rate_hz)


def _parts(content: bytes) -> list[bytes]:
    """Each as libsndfile reads to its end. What kind of file it is, its content says."""
    content = content[_tag_bytes(content) :]
    if content[:4] == b"OggS":
        return ogg_links(content)
    if content[:4] == b"fLaC":
        return flac_links(content)
    if is_mpeg(content):
        return [with_true_length(content)]
    content = with_plain_format(with_true_sizes(content))
    mp3 = mp3_inside(content)
    return [content if mp3 is None else with_true_length(mp3)]


def _tag_bytes(content: bytes) -> int:
    """Length of the ID3 tags at the beginning, which stand before many a kind of file."""
    at = 0
    while content[at : at + 3] == b"ID3" and at + 10 <= len(content):
        size = 0
        for byte in content[at + 6 : at + 10]:
            size = size << 7 | byte & 0x7F
        at += 10 + size
    return at


def _decode_part(content: bytes, max_seconds: float | None) -> Sound:
    with _Forward(io.BytesIO(content)) as file:
        if file.format not in _FORMATS:
            raise InputError(
                f"a file of the kind {file.format}, which may break off unnoticed; convert it to WAV or FLAC"
            )
        rate_hz, channels, told = file.samplerate, file.channels, file.frames
        wanted = told if max_seconds is None else min(told, int(np.ceil(max_seconds * rate_hz)))
        if told >= _UNKNOWN_FRAMES:
            wanted = min(wanted, LONGEST_SECONDS * rate_hz + 1)
        else:
            _check_size(wanted, channels, rate_hz)
        samples = _read(file, min(wanted, MOST_SAMPLES // channels + 1))
    _check_size(len(samples), channels, rate_hz)
    if told < _UNKNOWN_FRAMES and len(samples) + _LOST_SECONDS * rate_hz < wanted:
        raise InputError(
            f"breaks off: of {wanted / rate_hz:.2f} s the first {len(samples) / rate_hz:.2f} s are there; copy, send or "
            "record it again, or convert it to WAV or FLAC if this is all that there is"
        )
    return Sound(samples, rate_hz)


def _read(file: _Forward, frames: int) -> NDArray[np.float32]:
    """As many as there are: float32 [shape=(n, channels)]."""
    blocks = []
    while frames > 0:  # libsndfile may give less than it was asked for before the end
        block = file.read(min(frames, _BLOCK_FRAMES), dtype="float32", always_2d=True)
        if len(block) == 0:
            break
        blocks.append(block)
        frames -= len(block)
    return blocks[0] if len(blocks) == 1 else np.concatenate([np.zeros((0, file.channels), np.float32), *blocks])


def _check_size(frames: int, channels: int, rate_hz: int) -> None:
    """What a header claims can fill the memory, before there is anything to hear."""
    if not LOWEST_RATE_HZ <= rate_hz <= HIGHEST_RATE_HZ:
        raise InputError(
            f"a sample rate of {rate_hz} Hz, where {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ} are read; convert it again"
        )
    if frames * channels > MOST_SAMPLES or frames > LONGEST_SECONDS * rate_hz:
        raise InputError(
            f"{frames / rate_hz:.0f} s of {channels} channels at {rate_hz} Hz is too long for an answer; "
            f"cut it, to {LONGEST_SECONDS} s at most"
        )
