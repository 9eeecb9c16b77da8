"""Whisper's log-mel spectrogram (Radford et al. 2022, "Robust Speech Recognition via Large-Scale Weak Supervision").

Equal to the Hugging Face `WhisperFeatureExtractor`, but computed over the audio that is there; what the extractor would
compute over the padding is one constant, the floor, and `pad_frames` fills it in.
"""

import math
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.speech.audio import SAMPLE_RATE_HZ

N_FFT = 400  # samples in a window: 25 ms
HOP_LENGTH = 160  # samples between windows: 10 ms
FRAMES_PER_SECOND = SAMPLE_RATE_HZ // HOP_LENGTH  # 100 spectrogram frames
ENCODER_STRIDE = 2  # the encoder's second convolution halves the frames: 50 per second
N_FREQUENCIES = N_FFT // 2 + 1

_SMALLEST_POWER = 1e-10
_MELS_AT_1000_HZ = 15.0
_MELS_PER_E = 27 / math.log(6.4)  # mels in which the frequency grows e-fold
_DYNAMIC_RANGE = 8.0  # log10 units below the loudest point: 80 dB


def frames_for_seconds(seconds: float) -> int:
    """Spectrogram frames in `seconds` of audio, rounded to a whole number of encoder frames."""
    return round(seconds * FRAMES_PER_SECOND / ENCODER_STRIDE) * ENCODER_STRIDE


def frames_for_samples(n_samples: int) -> int:
    """Spectrogram frames that a waveform reaches: the rest of a padded window is silence."""
    return -(-(n_samples + N_FFT // 2) // HOP_LENGTH) + 1


def magnitude_spectrogram(waveform: Tensor, max_frames: int) -> Tensor:
    """Magnitudes of the short-time Fourier transform, Hann window, centred frames.

    Parameters
    ----------
    waveform : float32 [shape=(n,)]
        At 16 kHz, cut where `max_frames` end.

    Returns
    -------
    float32 [shape=(201, frames)]
        Frames <= max_frames.
    """
    n_frames = min(frames_for_samples(waveform.shape[-1]), max_frames)
    n_samples = max(n_frames * HOP_LENGTH, N_FFT)
    waveform = torch.nn.functional.pad(waveform[:n_samples], (0, max(0, n_samples - waveform.shape[-1])))
    spectrum = stft(waveform)[:, :n_frames]
    return (
        spectrum.real.square() + spectrum.imag.square()
    ).sqrt()  # half the time of abs(), which guards against overflow


def stft(waveform: Tensor) -> Tensor:
    """Complex spectrogram of a waveform [shape=(n,)]: [shape=(201, n // 160)]; the last, half-empty frame is dropped."""
    spectrum = torch.stft(waveform, N_FFT, HOP_LENGTH, window=_hann_window(), center=True, return_complex=True)
    return spectrum[:, :-1]


def log_mel(magnitudes: Tensor, n_mels: int) -> Tensor:
    """Whisper's normalised log-mel of magnitudes [shape=(201, frames)]: float32 [shape=(n_mels, frames)]."""
    power = _mel_filters(n_mels) @ magnitudes.square()
    log_power = power.clamp(min=_SMALLEST_POWER).log10()
    return (torch.maximum(log_power, log_power.max() - _DYNAMIC_RANGE) + 4.0) / 4.0


def pad_frames(features: Tensor, n_frames: int) -> Tensor:
    """Pad a log-mel [shape=(n_mels, frames)] with silence, as it would look had the waveform been padded with zeros."""
    loudest = features.max() * 4.0 - 4.0
    floor = (torch.clamp(loudest - _DYNAMIC_RANGE, min=torch.tensor(_SMALLEST_POWER).log10()) + 4.0) / 4.0
    padding = floor.expand(features.shape[0], n_frames - features.shape[1])
    return torch.cat([features, padding], dim=1)


@lru_cache(maxsize=1)
def _hann_window() -> Tensor:
    return torch.hann_window(N_FFT)


@lru_cache(maxsize=4)
def _mel_filters(n_mels: int) -> Tensor:
    """Triangles on the mel scale, each of unit area in Hz: float32 [shape=(n_mels, 201)], as Whisper's and librosa's.

    Computed here since librosa takes most of a second to import.
    """
    frequencies = np.linspace(0, SAMPLE_RATE_HZ / 2, N_FREQUENCIES)
    corners = _mel_to_hz(np.linspace(0, _hz_to_mel(SAMPLE_RATE_HZ / 2), n_mels + 2))
    low, middle, high = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    rising, falling = (frequencies - low) / (middle - low), (high - frequencies) / (high - middle)
    return torch.from_numpy((np.minimum(rising, falling).clip(min=0) * 2 / (high - low)).astype(np.float32))


def _hz_to_mel(frequency_hz: float) -> float:
    """Slaney's scale (1998, Auditory Toolbox) above 1 kHz."""
    return _MELS_AT_1000_HZ + _MELS_PER_E * math.log(frequency_hz / 1000)


def _mel_to_hz(mels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Linear up to 1 kHz, logarithmic above."""
    above = 1000 * np.exp((mels - _MELS_AT_1000_HZ) / _MELS_PER_E)
    return np.where(mels < _MELS_AT_1000_HZ, mels * 1000 / _MELS_AT_1000_HZ, above)
