"""Audio files in and out: the formats of libsndfile whose end is known, and what browsers record, at any rate and channel count;
16 kHz mono float32 inside."""

import io
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import soundfile
import soxr
from tqdm import tqdm

from models.base.files import replace_when_done
from models.errors import InputError
from models.speech.decoding import Sound, decode
from models.speech.samples import SAMPLE_RATE_HZ, Waveform, check_is_answer, check_samples, to_mono

Found = TypeVar("Found")

MOST_BYTES = 400_000_000  # of a file: MOST_SAMPLES as float64


def read_audio(path: Path, max_seconds: float | None = None, content: bytes | None = None) -> Waveform:
    """Decode a file to mono at 16 kHz, at most its first `max_seconds`; `content` is the file's, where it has been read.

    Returns
    -------
    float32 [shape=(n,)]
        In [-1, 1] for integer formats.

    Raises
    ------
    InputError
        Naming the file, where it is missing, unreadable, empty, not finite, breaks off, or is so large that it is no answer.
    """
    if content is None and not os.path.isfile(path):  # unlike Path.is_file, not disturbed by a name that is too long
        raise InputError(f"{path}: no such audio file")
    try:
        sounds = decode(_content(path) if content is None else content, max_seconds)
        parts = [_heard(sound) for sound in sounds if len(sound.samples)]
    except InputError as error:
        raise error.reworded(f"{path}: {error}") from error
    except Exception as error:  # whatever a library throws over a broken file costs this file alone
        reason = getattr(error, "error_string", "") or str(error) or type(error).__name__
        told = f"{path}: not readable as audio ({reason}); convert it to WAV or FLAC"
        raise InputError(told, "unreadable") from error
    if not parts:
        raise InputError(f"{path}: the audio is empty (0 samples); record it again or take its row out")
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def read_answer(path: Path, max_seconds: float | None = None, content: bytes | None = None) -> Waveform:
    """As `read_audio`; raises InputError too where it is no answer, being silent or too short."""
    waveform = read_audio(path, max_seconds, content)
    try:
        check_is_answer(waveform)
    except InputError as error:
        raise error.reworded(f"{path}: {error}") from error
    return waveform


def _content(path: Path) -> bytes:
    if os.path.getsize(path) > MOST_BYTES:
        raise InputError(f"{os.path.getsize(path) / 1e6:.0f} MB are too long for an answer; cut it")
    return path.read_bytes()


def _heard(sound: Sound) -> Waveform:
    check_samples(sound.samples)
    return resample(to_mono(sound.samples), sound.rate_hz)


def resample(waveform: Waveform, rate_hz: int) -> Waveform:
    """To 16 kHz, band-limited (soxr, high quality)."""
    if rate_hz == SAMPLE_RATE_HZ:
        return waveform
    resampled = soxr.resample(waveform, rate_hz, SAMPLE_RATE_HZ, quality="HQ")
    return np.asarray(resampled if len(resampled) else np.zeros(1), dtype=np.float32)


def write_wav(path: Path, waveform: Waveform) -> None:
    """As of `as_wav`; the file appears whole or not at all."""
    with replace_when_done(path) as temporary:
        temporary.write_bytes(as_wav(waveform))


def as_wav(waveform: Waveform) -> bytes:
    """16-bit mono WAV at 16 kHz. Samples beyond [-1, 1] are clipped."""
    pcm = np.round(np.clip(waveform, -1.0, 1.0) * 32767).astype(np.int16)
    content = io.BytesIO()
    soundfile.write(content, pcm, SAMPLE_RATE_HZ, subtype="PCM_16", format="WAV")
    return content.getvalue()


def try_audio_files(paths: Iterable[Path]) -> list[float | InputError]:
    """Decode every file once, in threads: its length in seconds, or what is wrong with it, naming the file."""
    return in_threads(length_or_error, paths)


def try_answers(paths: Iterable[Path]) -> list[float | InputError]:
    """The same; what is no answer, being silent or too short, is wrong too."""
    return in_threads(answer_length_or_error, paths)


def in_threads(measure: Callable[[Path], Found], paths: Iterable[Path]) -> list[Found]:
    """What is found of each file, in order."""
    paths = list(paths)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        lengths = pool.map(measure, paths)
        return list(tqdm(lengths, "checking audio", len(paths), unit=" clips", disable=len(paths) == 1 or None))


def check_audio_files(paths: Iterable[Path]) -> list[float]:
    """The lengths of files that must all be readable, in seconds.

    Raises
    ------
    InputError
        Naming the first broken file and how many there are.
    """
    results = try_audio_files(paths)
    errors = [result for result in results if isinstance(result, InputError)]
    if errors:
        others = f"; {len(errors) - 1} more files are broken too" if len(errors) > 1 else ""
        raise InputError(f"{errors[0]}{others}")
    return [result for result in results if isinstance(result, float)]


def length_or_error(path: Path) -> float | InputError:
    """A file's length in seconds, or what is wrong with it: all of it is decoded."""
    try:
        return len(read_audio(path)) / SAMPLE_RATE_HZ
    except InputError as error:
        return error


def answer_length_or_error(path: Path) -> float | InputError:
    """The same of an answer."""
    try:
        return len(read_answer(path)) / SAMPLE_RATE_HZ
    except InputError as error:
        return error
