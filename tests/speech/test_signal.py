"""What is wrong with a recording, and what is not. Run: .venv/bin/python -m pytest tests/speech/test_signal.py"""

from collections.abc import Callable

import numpy as np
import pytest

from models.speech.audio import resample
from models.speech.espeak import SAMPLE_RATE_HZ as SPOKEN_RATE_HZ
from models.speech.espeak import Espeak
from models.speech.samples import Waveform
from models.speech.signal import PROBLEMS, measure_signal
from models.speech.voices import EspeakVoice

RATE_HZ = 16_000


@pytest.fixture(scope="module")
def spoken() -> Waveform:
    """Clean speech between pauses with a little noise, at -20 dB."""
    voice = EspeakVoice(1.0).speak("we like to play in the garden")
    clip = np.concatenate([np.zeros(6_000), voice, np.zeros(6_000)])
    clip = 0.2 * clip / np.abs(clip).max() * 2
    return (clip + 2e-4 * noise(len(clip))).astype(np.float32)


def noise(length: int) -> Waveform:
    return np.random.default_rng(0).standard_normal(length).astype(np.float32)


def test_nothing_is_wrong_with_a_good_recording(spoken: Waveform) -> None:
    found = measure_signal(spoken)
    assert found.problems == ()
    assert found.in_words() == []
    assert found.speech_seconds > 0.5
    assert found.snr_db is not None
    assert found.snr_db > 30


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda clip: clip / 50, "too quiet"),
        (lambda clip: np.clip(20 * clip, -1, 1), "distorted"),
        (lambda clip: np.clip(20 * clip, -1, 1) / 10, "distorted"),  # turned down since
        (lambda clip: clip + 0.04 * noise(len(clip)), "noisy"),
        (lambda clip: clip[len(clip) // 2 :], "cut at the start"),
        (lambda clip: clip[: len(clip) // 2], "cut at the end"),
        (lambda clip: 0.1 * noise(len(clip)), "no speech"),
        (lambda clip: 0.3 * np.sin(np.arange(len(clip)) / 10), "no speech"),
        (lambda clip: 1e-4 * noise(len(clip)), "no speech"),
        (lambda clip: clip[:200], "no speech"),
    ],
)
def test_what_is_wrong_is_told(spoken: Waveform, change: Callable[[Waveform], Waveform], problem: str) -> None:
    found = measure_signal(change(spoken).astype(np.float32))
    assert found.problems == (problem,)
    assert found.in_words() == [PROBLEMS[problem]]


def said_by(voice: str, text: str, pitch: int) -> Waveform:
    with Espeak() as espeak:
        said = espeak.speak(text, voice, 125, pitch).samples / np.float32(32768)
    return np.pad(resample(said, SPOKEN_RATE_HZ), 4_000)


@pytest.fixture(scope="module")
def high() -> Waveform:
    return said_by("en-us+f3", "we like to play in the garden", 75)


@pytest.fixture(scope="module")
def deep() -> Waveform:
    return said_by("en-us", "now put your books into the bag please", 50)


@pytest.mark.parametrize("db_softer", [0, 5])
def test_another_voice_at_the_same_time_is_told(high: Waveform, deep: Waveform, db_softer: float) -> None:
    gain_db = measure_signal(high).level_db - measure_signal(deep).level_db - db_softer
    found = measure_signal(high + np.resize(deep * np.float32(10 ** (gain_db / 20)), len(high)))
    assert "two voices" in found.problems
    assert found.two_voices_seconds > 0.2


def test_voices_one_after_the_other_are_not_told(high: Waveform, deep: Waveform) -> None:
    for clip in (high, deep, np.concatenate([high, deep])):
        found = measure_signal(clip)
        assert found.two_voices_seconds <= 0.04
        assert found.problems == ()


def test_levels_are_those_of_a_known_sound(spoken: Waveform) -> None:
    sine = np.sin(2 * np.pi * 1000 * np.arange(RATE_HZ) / RATE_HZ).astype(np.float32)
    assert measure_signal(0.1 * sine).level_db == pytest.approx(-23.0, abs=0.3)
    softer, as_it_is = measure_signal(spoken / 10), measure_signal(spoken)
    assert softer.level_db == pytest.approx(as_it_is.level_db - 20, abs=0.1)
    assert softer.snr_db == pytest.approx(as_it_is.snr_db, abs=2)


def test_a_clipped_recording_is_told_after_it_was_resampled(spoken: Waveform) -> None:
    """As a telephone has done it: limited at 48 kHz, and at 16 kHz since."""
    soxr = pytest.importorskip("soxr")
    fine = soxr.resample(spoken, RATE_HZ, 48_000)
    limit = np.quantile(np.abs(fine), 0.97)
    assert measure_signal(soxr.resample(np.clip(fine, -limit, limit), 48_000, RATE_HZ)).problems == ("distorted",)
    assert measure_signal(soxr.resample(fine, 48_000, RATE_HZ)).problems == ()


@pytest.mark.parametrize("length", [1, 100, 399, 400, 401, 800, 16_000])
def test_any_length_is_measured(length: int) -> None:
    for clip in (np.zeros(length, np.float32), np.ones(length, np.float32), noise(length)):
        found = measure_signal(clip)
        assert np.isfinite([found.level_db, found.speech_seconds, found.start_db, found.end_db]).all()
        assert (found.snr_db is None) == (length < 16_000)


@pytest.mark.parametrize(("level_db", "problems"), [(-38.0, ()), (-42.0, ("too quiet",))])
def test_too_quiet_begins_where_it_was_measured(spoken: Waveform, level_db: float, problems: tuple[str, ...]) -> None:
    gain_db = level_db - measure_signal(spoken).level_db
    assert measure_signal(spoken * np.float32(10 ** (gain_db / 20))).problems == problems
