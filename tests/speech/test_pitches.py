"""One pitch and two, in sounds whose pitches are known. Run: .venv/bin/python -m pytest tests/speech/test_pitches.py"""

import numpy as np
import pytest

from models.speech.pitches import FRAME, HISTORY, Frames, has_two_pitches, is_voiced, repetition

RATE_HZ = 16_000


def frames_of(*pitches_hz: float, noise: float = 0.0, glide: float = 0.0) -> Frames:
    """Ten frames of voices with harmonics up to 4 kHz, each as loud as the other; `glide` in octaves per second."""
    rng = np.random.default_rng(0)
    times = np.arange(HISTORY + FRAME + 9 * 320) / RATE_HZ
    sound = noise * rng.standard_normal(len(times))
    for pitch_hz in pitches_hz:
        phase = pitch_hz * (np.exp2(glide * times) - 1) / (glide * np.log(2)) if glide else pitch_hz * times
        for harmonic in range(1, int(4000 / pitch_hz)):
            sound = sound + np.sin(2 * np.pi * harmonic * phase + rng.uniform(0, 6)) / harmonic
    return np.lib.stride_tricks.sliding_window_view(sound, HISTORY + FRAME)[::320]


def is_double(frames: Frames) -> np.ndarray:
    return has_two_pitches(frames, repetition(frames))


@pytest.mark.parametrize("pitches_hz", [(200.0, 270.0), (120.0, 290.0), (230.0, 330.0)])
def test_two_voices_at_once(pitches_hz: tuple[float, float]) -> None:
    assert is_double(frames_of(*pitches_hz)).mean() >= 0.8


@pytest.mark.parametrize("pitch_hz", [80.0, 120.0, 200.0, 310.0, 480.0])
@pytest.mark.parametrize(("noise", "glide"), [(0.0, 0.0), (0.05, 0.0), (0.0, 1.0), (0.0, -1.0)])
def test_one_voice_is_one_though_it_glides(pitch_hz: float, noise: float, glide: float) -> None:
    frames = frames_of(pitch_hz, noise=noise, glide=glide)
    assert is_voiced(repetition(frames)).all()
    assert not is_double(frames).any()


def test_an_octave_may_be_one_voice() -> None:
    assert not is_double(frames_of(150.0, 300.0)).any()


def test_noise_and_silence_have_no_pitch() -> None:
    for frames in (frames_of(noise=1.0), frames_of()):
        assert not is_voiced(repetition(frames)).any()
        assert not is_double(frames).any()
