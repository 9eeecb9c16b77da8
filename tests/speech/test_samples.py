"""What samples must be, and which recordings are no answer; channels that cancel.

Run: .venv/bin/python -m pytest tests/speech/test_samples.py
"""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from fakes import NO_ANSWERS, tone

from models.errors import InputError
from models.speech.audio import answer_length_or_error, read_answer, read_audio
from models.speech.samples import check_samples, is_silent, to_mono

SOUND = tone(1.0, 300, np.random.default_rng(0))


@pytest.mark.parametrize("file_format", ["WAV", "AIFF", "CAF", "AU", "W64"])
@pytest.mark.parametrize(("scale", "remedy"), [(2**7, "128"), (2**15, "32768"), (2**23, "8.38861e+06")])
def test_samples_that_were_not_scaled_are_refused(scale: int, remedy: str, file_format: str, tmp_path: Path) -> None:
    samples = SOUND / np.abs(SOUND).max() * (scale - 1)
    soundfile.write(tmp_path / "a", samples, 16000, "FLOAT", format=file_format)
    with pytest.raises(InputError, match=rf"{tmp_path / 'a'}.*reach.*divide them by {remedy.replace('+', '.')}"):
        read_audio(tmp_path / "a")


def test_the_softest_speech_of_16_bits_that_was_not_scaled_is_refused() -> None:
    softest = SOUND / np.abs(SOUND).max() * 2e-4
    assert not is_silent(softest)
    with pytest.raises(InputError, match="full scale"):
        check_samples(softest * 32768)


def test_one_channel_that_was_not_scaled_is_enough(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.stack([SOUND, -30000 * SOUND], axis=1), 16000, subtype="FLOAT")
    with pytest.raises(InputError, match="reach"):
        read_audio(tmp_path / "a.wav")


@pytest.mark.parametrize("gain", [1.0, 3.0, 10.0])
def test_what_was_amplified_beyond_full_scale_is_read(gain: float, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", gain * SOUND, 16000, subtype="FLOAT")
    np.testing.assert_array_equal(read_audio(tmp_path / "a.wav"), np.float32(gain) * SOUND)


@pytest.mark.parametrize("kind", NO_ANSWERS)
def test_no_answer(kind: str, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", NO_ANSWERS[kind], 16000, subtype="FLOAT")
    with pytest.raises(InputError, match=str(tmp_path / "a.wav")):
        read_answer(tmp_path / "a.wav")
    assert isinstance(answer_length_or_error(tmp_path / "a.wav"), InputError)
    assert len(read_audio(tmp_path / "a.wav")) == len(NO_ANSWERS[kind])  # of training data it is a clip as any other


@pytest.mark.parametrize("level", [2e-4, 0.01, 1.0])
def test_a_soft_answer_is_an_answer(level: float, tmp_path: Path) -> None:
    for answer in (level * SOUND / np.abs(SOUND).max(), SOUND[:800]):
        soundfile.write(tmp_path / "a.wav", answer, 16000, subtype="FLOAT")
        np.testing.assert_array_equal(read_answer(tmp_path / "a.wav"), answer)


@pytest.mark.parametrize("others", [[-1.0], [-0.9], [-1.0, 0.0], [0.0, -1.0, 0.0], [-1.0, 0.7, -0.7]])
def test_channels_that_cancel_are_heard_by_the_loudest(others: list[float]) -> None:
    samples = np.stack([SOUND, *(gain * SOUND for gain in others)], axis=1)
    np.testing.assert_array_equal(np.abs(to_mono(samples)), np.abs(SOUND))
    beside_zero = to_mono(samples + np.float32(0.2)) - 0.2  # an offset is not heard
    np.testing.assert_allclose(np.abs(beside_zero), np.abs(SOUND), atol=1e-6)


@pytest.mark.parametrize("others", [[1.0], [0.0], [0.5], [0.0, 0.0, 0.0, 0.0], [0.3, -0.2]])
def test_other_channels_are_averaged(others: list[float]) -> None:
    samples = np.stack([SOUND, *(np.float32(gain) * SOUND for gain in others)], axis=1)
    np.testing.assert_array_equal(to_mono(samples), samples.mean(axis=1, dtype=np.float32))


def test_channels_of_their_own_are_averaged() -> None:
    samples = np.random.default_rng(0).standard_normal((16000, 5)).astype(np.float32)
    np.testing.assert_array_equal(to_mono(samples), samples.mean(axis=1, dtype=np.float32))


def test_silence_of_two_channels_is_silence() -> None:
    assert is_silent(to_mono(np.zeros((1000, 2), np.float32)))
