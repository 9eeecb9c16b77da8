"""Log-mel features against the Hugging Face extractor.

Run: .venv/bin/python -m pytest tests/clips/test_features.py
"""

import librosa
import numpy as np
import pytest
import torch
from fakes import tone

from models.clips.features import _mel_filters, frames_for_seconds, log_mel, magnitude_spectrogram, pad_frames

RNG = np.random.default_rng(0)


def ours(waveform: np.ndarray, max_seconds: float, n_mels: int) -> np.ndarray:
    n_frames = frames_for_seconds(max_seconds)
    return pad_frames(log_mel(magnitude_spectrogram(torch.from_numpy(waveform), n_frames), n_mels), n_frames).numpy()


def theirs(waveform: np.ndarray, max_seconds: float, n_mels: int) -> np.ndarray:
    from transformers import WhisperFeatureExtractor

    extractor = WhisperFeatureExtractor(feature_size=n_mels, chunk_length=int(max_seconds))
    return extractor(waveform, sampling_rate=16000, return_tensors="np")["input_features"][0]


@pytest.mark.parametrize("n_mels", [80, 128])
@pytest.mark.parametrize("max_seconds", [16, 30])
@pytest.mark.parametrize(
    "waveform",
    [
        pytest.param(tone(3.1, 440, RNG), id="tone"),
        pytest.param((0.2 * RNG.standard_normal(16000 * 2 + 77)).astype(np.float32), id="noise"),
        pytest.param(tone(18.3, 300, RNG), id="longer than the window"),
        pytest.param(tone(15.9999, 300, RNG), id="nearly the window"),
        pytest.param(np.zeros(8000, np.float32), id="silence"),
        pytest.param(np.full(1, 0.5, np.float32), id="one sample"),
        pytest.param(tone(0.3, 900, RNG) * np.float32(1e-4), id="quiet"),
        pytest.param(np.sign(tone(1.0, 120, RNG)), id="clipped"),
    ],
)
def test_equal_to_the_hugging_face_extractor(waveform: np.ndarray, max_seconds: int, n_mels: int) -> None:
    expected = theirs(waveform, max_seconds, n_mels)
    found = ours(waveform, max_seconds, n_mels)
    assert found.shape == expected.shape == (n_mels, max_seconds * 100)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_only_the_audio_that_is_there_is_computed() -> None:
    assert magnitude_spectrogram(torch.from_numpy(tone(2.0, 440, RNG)), 1600).shape == (201, 203)
    assert magnitude_spectrogram(torch.from_numpy(tone(20.0, 440, RNG)), 1600).shape == (201, 1600)


def test_seconds_become_an_even_number_of_frames() -> None:
    assert [frames_for_seconds(seconds) for seconds in (16, 0.5, 1.01, 30)] == [1600, 50, 100, 3000]


@pytest.mark.parametrize("n_mels", [80, 128])
def test_filters_are_librosa_s(n_mels: int) -> None:
    expected = librosa.filters.mel(sr=16000, n_fft=400, n_mels=n_mels)
    torch.testing.assert_close(_mel_filters(n_mels), torch.from_numpy(expected), atol=1e-7, rtol=1e-5)
