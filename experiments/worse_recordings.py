"""Ways in which a recording gets worse, for measuring. Nothing of the augmentation in training is used for them.

Each takes a waveform, float32 at 16 kHz [shape=(n,)], a generator and other children's recordings, and gives a waveform. Levels
in decibels are those of the speech without its pauses (`level_changes.speech_level`).
"""

import io
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from scipy.signal import butter, fftconvolve, sosfilt

from experiments.level_changes import speech_level
from models.errors import InputError
from models.speech.audio import SAMPLE_RATE_HZ, Waveform, read_audio

VOICES = 4  # of babble
LEVELS_DB = (20, 10, 5, 0)
_TELEPHONE_RATE_HZ, _TELEPHONE_BAND_HZ = 8000, (300, 3400)
_DIRECT = round(0.0025 * SAMPLE_RATE_HZ)  # samples around the first arrival; the first reflection comes later
_MAX_ORDER = 40  # of images: what comes later is softer than 60 dB below the direct sound in rooms of these sizes
_MP3_KBITS = {16_000: (160, 8), 44_100: (320, 32)}  # the highest and the lowest rates of MPEG-2 and MPEG-1

Worsen = Callable[[Waveform, np.random.Generator, Sequence[Waveform]], Waveform]


def as_recorded(waveform: Waveform, rng: np.random.Generator, others: Sequence[Waveform]) -> Waveform:
    return waveform


def change_level(db: float, waveform: Waveform, rng: np.random.Generator, others: Sequence[Waveform]) -> Waveform:
    return waveform * np.float32(10 ** (db / 20))


def babble(snr_db: float, waveform: Waveform, rng: np.random.Generator, others: Sequence[Waveform]) -> Waveform:
    """VOICES of the others talk behind the child, each as loud as the next."""
    chosen = [others[index] for index in rng.choice(len(others), VOICES, replace=False)]
    voices = [
        np.resize(np.roll(voice, int(rng.integers(len(voice)))), len(waveform)) / speech_level(voice)
        for voice in chosen
    ]
    noise = np.sum(voices, axis=0)
    level = speech_level(waveform) / speech_level(noise) * 10 ** (-snr_db / 20)
    return np.asarray(waveform + level * noise, np.float32)


def room(direct_db: float, waveform: Waveform, rng: np.random.Generator, others: Sequence[Waveform]) -> Waveform:
    """A classroom by the image-source method; the ratio of direct to reverberant energy is set, the level kept."""
    response = with_direct_sound(direct_db, impulse_response(rng))
    heard = fftconvolve(waveform, response)[: len(waveform)]
    return np.asarray(heard * (speech_level(waveform) / speech_level(heard)), np.float32)


def with_direct_sound(direct_db: float, response: NDArray[np.float64]) -> NDArray[np.float64]:
    """The response of a room, its direct sound so many decibels over the energy of all that comes later."""
    direct, later = np.split(response, [_DIRECT])
    factor = np.sqrt(np.square(later).sum() / np.square(direct).sum() * 10 ** (direct_db / 10))
    return np.concatenate([direct * factor, later])


def impulse_response(rng: np.random.Generator) -> NDArray[np.float64]:
    """Of a drawn classroom with a reverberation time of 0.4 to 1.0 s (Sabine), from its direct sound on."""
    try:
        import pyroomacoustics
    except ImportError as error:
        raise InputError("rooms are simulated by pyroomacoustics: pip install pyroomacoustics") from error
    size_metres = rng.uniform((6.0, 5.0, 2.7), (10.0, 8.0, 3.5))
    absorption, order = pyroomacoustics.inverse_sabine(rng.uniform(0.4, 1.0), size_metres)
    shoe_box = pyroomacoustics.ShoeBox(
        size_metres,
        fs=SAMPLE_RATE_HZ,
        materials=pyroomacoustics.Material(absorption),
        max_order=min(order, _MAX_ORDER),
    )
    child = np.append(rng.uniform(1.5, size_metres[:2] - 1.5), 1.1)
    turn = rng.uniform(0, 2 * np.pi)
    shoe_box.add_source(child)
    shoe_box.add_microphone(child + np.array([np.cos(turn), np.sin(turn), -0.2]))  # about a metre away, on a table
    shoe_box.compute_rir()
    response = np.asarray(shoe_box.rir[0][0], np.float64)
    return response[max(int(np.abs(response).argmax()) - _DIRECT // 2, 0) :]


def clipping(headroom_db: float, waveform: Waveform, rng: np.random.Generator, others: Sequence[Waveform]) -> Waveform:
    """What is so many decibels above the level of the speech is cut off."""
    highest = np.float32(speech_level(waveform) * 10 ** (headroom_db / 20))
    return waveform.clip(-highest, highest)


def telephone(waveform: Waveform, rng: np.random.Generator, others: Sequence[Waveform]) -> Waveform:
    """300 to 3400 Hz, at 8 kHz in 8 bits by the mu-law (G.711)."""
    narrow = soxr.resample(waveform, SAMPLE_RATE_HZ, _TELEPHONE_RATE_HZ)
    narrow = sosfilt(butter(6, _TELEPHONE_BAND_HZ, "bandpass", fs=_TELEPHONE_RATE_HZ, output="sos"), narrow)
    return _through_file(narrow, _TELEPHONE_RATE_HZ, format="WAV", subtype="ULAW")


def mp3(kbits: int, rate_hz: int, waveform: Waveform, rng: np.random.Generator, others: Sequence[Waveform]) -> Waveform:
    """Through libsndfile's encoder (LAME), at a constant rate; up to 40 ms later than it was, as MP3 is."""
    highest, lowest = _MP3_KBITS[rate_hz]
    level = min((highest - kbits) / (highest - lowest), 0.99)  # 1 itself is refused by some of its versions
    return _through_file(
        soxr.resample(waveform, SAMPLE_RATE_HZ, rate_hz),
        rate_hz,
        format="MP3",
        subtype="MPEG_LAYER_III",
        bitrate_mode="CONSTANT",
        compression_level=level,
    )


def _through_file(samples: NDArray[np.float64], rate_hz: int, **encoding: object) -> Waveform:
    """Written and read again, as a user's file is."""
    file = io.BytesIO()
    soundfile.write(file, np.clip(samples, -1.0, 1.0), rate_hz, **encoding)
    return read_audio(Path("worse recording"), content=file.getvalue())


WAYS: dict[str, Worsen] = {
    "as recorded": as_recorded,
    "12 dB softer": partial(change_level, -12.0),
    "6 dB louder": partial(change_level, 6.0),
    **{f"babble, {db} dB softer than the child": partial(babble, float(db)) for db in LEVELS_DB},
    **{f"classroom, direct sound {db} dB over the rest": partial(room, float(db)) for db in LEVELS_DB},
    **{f"clipped {db} dB over the level of the speech": partial(clipping, float(db)) for db in LEVELS_DB},
    "telephone, 8 kHz, mu-law": telephone,
    "MP3, 32 kbit/s, 44.1 kHz": partial(mp3, 32, 44_100),
    "MP3, 32 kbit/s, 16 kHz": partial(mp3, 32, 16_000),
    "MP3, 16 kbit/s, 16 kHz": partial(mp3, 16, 16_000),
}


def worsen(way: str, waveform: Waveform, rng: np.random.Generator, others: Sequence[Waveform]) -> Waveform:
    """The recording in one of WAYS, as a file of 16 bits would hold it: samples beyond full scale are clipped."""
    worse = WAYS[way](waveform, rng, others)
    return (np.round(worse * 32768).clip(-32768, 32767) / 32768).astype(np.float32)
