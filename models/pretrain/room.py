"""Recording conditions drawn at random: equalisation, reverberation, coloured noise, gain, silence around speech."""

import numpy as np
import soxr
from numpy.typing import NDArray

from models.speech.audio import SAMPLE_RATE_HZ, Waveform

_MIN_SNR_DB, _MAX_SNR_DB = 8.0, 35.0
_MAX_EQ_DB = 8.0  # of a gain curve through a few random points
_EQ_POINTS = 6
_PEAK_RANGE = (0.03, 0.9)


def change_speed(samples: Waveform, rate_hz: float, factor: float) -> Waveform:
    """Resample to 16 kHz played `factor` times as fast: formants and pitch rise together, as in a smaller speaker."""
    return np.asarray(soxr.resample(samples, rate_hz * factor, SAMPLE_RATE_HZ, quality="LQ"), np.float32)


def record(waveform: Waveform, rng: np.random.Generator, min_snr_db: float = _MIN_SNR_DB) -> Waveform:
    """The waveform as a random microphone in a random room would hear it; its length stays.

    Parameters
    ----------
    waveform : float32 [shape=(n,)]
        At 16 kHz.
    """
    n_fft = _fast_length(len(waveform) + SAMPLE_RATE_HZ // 2)
    spectrum = np.fft.rfft(waveform, n_fft)
    if rng.random() < 0.6:
        spectrum *= _equaliser(len(spectrum), rng)
    if rng.random() < 0.35:
        spectrum *= np.fft.rfft(_impulse_response(rng), n_fft)
    speech = np.fft.irfft(spectrum, n_fft)[: len(waveform)]
    snr_db = rng.uniform(min_snr_db, _MAX_SNR_DB)
    speech += _coloured_noise(len(waveform), rng) * _level(speech) * 10 ** (-snr_db / 20)
    peak = np.exp(rng.uniform(*np.log(_PEAK_RANGE)))
    return (speech * (peak / max(np.abs(speech).max(), 1e-6))).astype(np.float32)


def surround(waveform: Waveform, rng: np.random.Generator) -> tuple[Waveform, float]:
    """Put silence of random length before and after; gives the seconds before, too."""
    before, after = (rng.exponential(0.25, size=2).clip(max=1.5) * (rng.random(2) < 0.6) * SAMPLE_RATE_HZ).astype(int)
    return np.pad(waveform, (before, after)), before / SAMPLE_RATE_HZ


def _equaliser(n_bins: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Smooth random gain over frequency, linear between a few points."""
    gains_db = rng.uniform(-_MAX_EQ_DB, _MAX_EQ_DB, _EQ_POINTS)
    places = np.sqrt(np.linspace(0, 1, n_bins))  # more points at low frequencies, where speech has most of its shape
    return 10 ** (np.interp(places, np.linspace(0, 1, _EQ_POINTS), gains_db) / 20)


def _impulse_response(rng: np.random.Generator) -> Waveform:
    """Direct sound and an exponentially decaying noise tail of 0.1-0.5 s (60 dB)."""
    decay_seconds = rng.uniform(0.1, 0.5)
    n_samples = int(decay_seconds * SAMPLE_RATE_HZ)
    tail = rng.standard_normal(n_samples) * 10 ** (-3 * np.arange(n_samples) / n_samples)
    response = tail * rng.uniform(0.1, 0.7) / np.sqrt((tail**2).sum())
    response[0] += 1.0
    return response.astype(np.float32)


def _coloured_noise(n_samples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Noise of unit power whose spectrum falls by 0-8 dB per octave."""
    n_fft = _fast_length(n_samples)
    slope = rng.uniform(0.0, 1.3)
    bins = np.arange(n_fft // 2 + 1).clip(min=n_fft / SAMPLE_RATE_HZ * 50)  # flat below 50 Hz
    shape = bins ** (-slope)
    spectrum = (rng.standard_normal(len(bins)) + 1j * rng.standard_normal(len(bins))) * shape
    noise = np.fft.irfft(spectrum, n_fft)[:n_samples]
    return noise / max(_level(noise), 1e-9)


def _level(waveform: NDArray[np.floating]) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(waveform)) + 1e-12))


def _fast_length(n_samples: int) -> int:
    """The next length with small factors, for which the Fourier transform is fast."""
    power = 1 << max(n_samples - 1, 1).bit_length()
    return next(length for length in (power * 5 // 8, power * 3 // 4, power) if length >= n_samples)
