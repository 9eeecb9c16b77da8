"""How good a recording is, told beside its score and never changing it: in numbers, and in words for who records.

The thresholds were measured on recordings of children made worse by known amounts (`experiments/signal_gate.py`, and its entry in
docs/experiments.md, which has how many of them are noticed, and how many good ones are blamed).
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import scipy  # its parts are imported at their first use
from numpy.typing import NDArray

from models.speech import pitches
from models.speech.samples import SAMPLE_RATE_HZ, Waveform

PROBLEMS = {
    "no speech": "no speech is heard: listen whether the right microphone was on, and record it again",
    "too quiet": "too quiet: move closer to the microphone",
    "distorted": "too loud, and distorted by it: move away from the microphone, or turn it down",
    "noisy": "much noise behind the voice: find a quieter place, or move closer to the microphone",
    "two voices": "another voice seems to speak at the same time: record the child while nobody else speaks",
    "cut at the start": "begins in the middle of speech: start the recording before the answer",
    "cut at the end": "ends in the middle of speech: let the recording run on after the answer",
}
LEAST_SPEECH_SECONDS = 0.06  # with a voice in it
LEAST_CHANGE_DB = 1.0  # of the level; hum and tones don't move
LEAST_LEVEL_DB = -40.0  # of the speech, below full scale
MOST_AT_PEAK = 5e-4  # share of samples as loud as the loudest
LEAST_PEAK_RATIO = 1.15  # what one sample in 1000 exceeds, to what one in 100 does; a limit brings them together
LEAST_SNR_DB = 18.0
LEAST_SNR_SECONDS = 1.0  # of a recording; in a shorter one there may be no pause to hear the noise in
LEAST_TWO_VOICES_SECONDS = 0.1  # a voice that breaks or changes quickly looks like two for less
LEAST_TWO_VOICES = 0.05  # of the time with a voice: the longer it is, the more often that happens
MOST_EDGE_DB = -12.0  # of the first and the last 30 ms, beside the speech

_FRAME, _HOP = 400, 160  # samples: 25 and 10 ms
HOP_SECONDS = _HOP / SAMPLE_RATE_HZ
_SPEECH_RANGE_DB, _VOICE_RANGE_DB = 20.0, 25.0  # below the loudest frames
_EDGE_FRAMES = 3
_SILENCE = 1e-10  # -100 dB
_RUMBLE_HZ = 100  # below it are hum and steps, and no voice


@dataclass(frozen=True)
class SignalQuality:
    """Levels are in dB of full scale.

    Attributes
    ----------
    level_db
        Of the speech: of all within 20 dB of the loudest.
    snr_db
        Between the loudest twentieth of the frames and the softest tenth; None where the recording is too short to tell.
    speech_seconds
        With a voice in it.
    two_voices_seconds
        With two voices at once.
    start_db, end_db
        Of the first and the last 30 ms, beside the speech.
    problems
        Keys of PROBLEMS; empty where nothing is wrong.
    """

    level_db: float
    snr_db: float | None
    speech_seconds: float
    two_voices_seconds: float
    is_distorted: bool
    start_db: float
    end_db: float
    problems: tuple[str, ...]

    def in_words(self) -> list[str]:
        return [PROBLEMS[problem] for problem in self.problems]


def measure_signal(waveform: Waveform) -> SignalQuality:
    """Of an answer: float32 [shape=(n,)] at 16 kHz, of at least one sample."""
    heard = _without_rumble(waveform)
    levels = _levels(_frames(heard, _FRAME, _HOP))
    loudest = float(np.percentile(levels, 95))
    speech = levels[levels > loudest - _SPEECH_RANGE_DB]
    seconds = len(waveform) / SAMPLE_RATE_HZ
    snr_db = loudest - float(np.percentile(levels, 10)) if seconds >= LEAST_SNR_SECONDS else None
    voiced_seconds, two_voices_seconds = _voice_seconds(heard, loudest)
    measured = SignalQuality(
        level_db=10 * float(np.log10(np.mean(10 ** (speech / 10)))),
        snr_db=snr_db,
        speech_seconds=voiced_seconds if speech.std() >= LEAST_CHANGE_DB else 0.0,
        two_voices_seconds=two_voices_seconds,
        is_distorted=_is_distorted(waveform),
        start_db=float(levels[:_EDGE_FRAMES].mean()) - loudest,
        end_db=float(levels[-_EDGE_FRAMES:].mean()) - loudest,
        problems=(),
    )
    return _judged(measured)


def frame_levels(waveform: Waveform) -> NDArray[np.float64]:
    """Levels of 25 ms every 10 ms, in dB of full scale, without what lies below 100 Hz: [shape=(frames,)]."""
    return _levels(_frames(_without_rumble(waveform), _FRAME, _HOP))


def _judged(found: SignalQuality) -> SignalQuality:
    """Where there is no speech, nothing else can be said of it; where there is noise, not how it begins and ends."""
    is_noisy = found.snr_db is not None and found.snr_db < LEAST_SNR_DB
    wrong = {
        "too quiet": found.level_db < LEAST_LEVEL_DB,
        "distorted": found.is_distorted,
        "noisy": is_noisy,
        "two voices": found.two_voices_seconds
        >= max(LEAST_TWO_VOICES_SECONDS, LEAST_TWO_VOICES * found.speech_seconds),
        "cut at the start": found.start_db > MOST_EDGE_DB and not is_noisy,
        "cut at the end": found.end_db > MOST_EDGE_DB and not is_noisy,
    }
    problems = [name for name, is_so in wrong.items() if is_so]
    if found.speech_seconds < LEAST_SPEECH_SECONDS:
        problems = ["no speech"]
    return replace(found, problems=tuple(problems))


def _frames(waveform: NDArray[np.float64], length: int, hop: int) -> NDArray[np.float64]:
    """[shape=(frames, length)]; of a waveform that is shorter than one, one."""
    padded = np.pad(waveform, (0, max(0, length - len(waveform))))
    return np.lib.stride_tricks.sliding_window_view(padded, length)[::hop]


def _levels(frames: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(10 * np.log10((frames**2).mean(axis=1) + _SILENCE))


def _voice_seconds(waveform: NDArray[np.float64], loudest_db: float) -> tuple[float, float]:
    """With a voice, and with two at once."""
    frames = _frames(np.pad(waveform, (pitches.HISTORY, 0)), pitches.HISTORY + pitches.FRAME, pitches.HOP)
    levels = _levels(frames[:, pitches.HISTORY :])
    repeats = pitches.repetition(frames)
    is_loud = levels > loudest_db - _SPEECH_RANGE_DB
    voiced = pitches.is_voiced(repeats[levels > loudest_db - _VOICE_RANGE_DB])
    double = pitches.has_two_pitches(frames[is_loud], repeats[is_loud])
    hop_seconds = pitches.HOP / SAMPLE_RATE_HZ
    return round(float(voiced.sum()) * hop_seconds, 3), round(float(double.sum()) * hop_seconds, 3)


def _is_distorted(waveform: Waveform) -> bool:
    """Whether a limit was met: many samples are as loud as the loudest. Where the recording was resampled since, they are
    spread, but still lie closer together than those of speech do."""
    sizes = np.abs(waveform)
    at_peak = float(np.mean(sizes >= 0.98 * sizes.max()))
    one_in_100, one_in_1000 = np.quantile(sizes, (0.99, 0.999))
    return at_peak > MOST_AT_PEAK or bool(one_in_1000 < LEAST_PEAK_RATIO * one_in_100)


def _without_rumble(waveform: Waveform) -> NDArray[np.float64]:
    return np.asarray(scipy.signal.sosfilt(_rumble_filter(), waveform.astype(np.float64)))


@lru_cache(maxsize=1)
def _rumble_filter() -> NDArray[np.float64]:
    return np.asarray(scipy.signal.butter(2, _RUMBLE_HZ, "highpass", fs=SAMPLE_RATE_HZ, output="sos"))
