"""Augmentation: the distributions that the recipes ask for, and the waveform effects that it stands for.

Run: .venv/bin/python -m pytest tests/clips/test_augment.py
"""

import librosa
import numpy as np
import pytest
import torch

from models.clips.augment import AUGMENTATIONS, Chain, Gain, PitchShift, SpanMask, TimeStretch, WhiteNoise
from models.clips.features import log_mel, magnitude_spectrogram, stft
from models.errors import InputError

WINDOW = {"n_fft": 400, "hop_length": 100}  # the features' own window, as far as librosa's vocoder allows


def vowels(seconds: float = 2.0) -> np.ndarray:
    """Something like speech: a gliding pitch with harmonics under moving formants, and gaps."""
    times = np.arange(int(seconds * 16000)) / 16000
    phase = 2 * np.pi * np.cumsum(180 + 60 * np.sin(2 * np.pi * 0.7 * times)) / 16000
    wave = np.zeros_like(times)
    for harmonic in range(1, 30):
        hz = harmonic * (180 + 60 * np.sin(2 * np.pi * 0.7 * times))
        formants = np.exp(-(((hz - 700 - 200 * np.sin(3 * times)) / 200) ** 2)) + 0.5 * np.exp(
            -(((hz - 1900) / 300) ** 2)
        )
        wave += formants * np.sin(harmonic * phase)
    gate = 0.05 + (np.sin(2 * np.pi * 3 * times) > -0.4)
    return (0.2 * wave * gate + 0.003 * np.random.default_rng(0).standard_normal(len(times))).astype(np.float32)


def magnitudes(waveform: np.ndarray) -> torch.Tensor:
    return magnitude_spectrogram(torch.from_numpy(waveform), 10_000)


def vocoder_artefacts(waveform: np.ndarray) -> float:
    """How much a phase vocoder changes a waveform that it hardly shifts: no imitation can come closer than that."""
    effect = librosa.effects.pitch_shift(waveform, sr=16000, n_steps=0.1, **WINDOW)
    return mean_difference(magnitudes(waveform), magnitudes(effect))


def mean_difference(one: torch.Tensor, other: torch.Tensor) -> float:
    """Mean absolute difference of two log-mels over the frames that both have, in units of Whisper's features (1 = 40 dB)."""
    n_frames = min(one.shape[1], other.shape[1]) - 3
    return float((log_mel(one, 80)[:, :n_frames] - log_mel(other, 80)[:, :n_frames]).abs().mean())


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.7, 0.85, 1.15, 1.3])
def test_time_stretch_is_the_waveform_effect(rate: float) -> None:
    wave = vowels()
    ours = TimeStretch(rate, rate)(magnitudes(wave), np.random.default_rng(0))
    effect = magnitudes(librosa.effects.time_stretch(wave, rate=rate, **WINDOW))
    assert abs(ours.shape[1] - effect.shape[1]) <= 5
    assert mean_difference(ours, effect) < 1.2 * vocoder_artefacts(wave)
    assert mean_difference(ours, effect) < 0.5 * mean_difference(magnitudes(wave), effect)


@pytest.mark.parametrize("seed", [2, 3, 5, 11])  # shifts by more than 2 semitones, up and down
def test_pitch_shift_is_the_waveform_effect(seed: int) -> None:
    wave = vowels()
    semitones = np.random.default_rng(seed).uniform(-5, 5)
    ours = PitchShift()(magnitudes(wave), np.random.default_rng(seed))
    effect = magnitudes(librosa.effects.pitch_shift(wave, sr=16000, n_steps=semitones, **WINDOW))
    assert abs(semitones) > 2
    assert ours.shape == magnitudes(wave).shape
    assert mean_difference(ours, effect) < 1.5 * vocoder_artefacts(wave)
    assert mean_difference(ours, effect) < 0.5 * mean_difference(magnitudes(wave), effect)


def test_noise_is_that_of_the_waveform() -> None:
    wave = vowels()
    noisy = wave + 0.03 * np.random.default_rng(1).standard_normal(len(wave)).astype(np.float32)
    ours = WhiteNoise(0.03)(magnitudes(wave), np.random.default_rng(2))
    for quantile in (0.1, 0.5, 0.9, 0.99):
        expected = float(magnitudes(noisy).quantile(quantile))
        assert float(ours.quantile(quantile)) == pytest.approx(expected, rel=0.08)


def test_gain_multiplies() -> None:
    spectrum = magnitudes(vowels())
    factors = [float(Gain()(spectrum, np.random.default_rng(seed)).sum() / spectrum.sum()) for seed in range(200)]
    assert 0.7 <= min(factors) < 0.75
    assert 1.25 < max(factors) <= 1.3


def test_masks_silence_spans_anywhere() -> None:
    spectrum = torch.ones(201, 1000)
    starts, shares = [], []
    for seed in range(300):
        silent = SpanMask()(spectrum, np.random.default_rng(seed))[0] == 0
        starts.append(int(silent.nonzero()[0]))
        shares.append(float(silent.float().mean()))
    assert min(shares) >= 0.025
    assert max(shares) <= 6 * 0.075
    assert np.mean(np.array(starts) > 500) > 0.05  # not only at the start
    assert SpanMask(1, 1)(spectrum, np.random.default_rng(0)).sum() > 0


@pytest.mark.parametrize("transform", [PitchShift(), TimeStretch(), WhiteNoise(), Gain(), SpanMask()])
@pytest.mark.parametrize("n_frames", [1, 2, 3, 50])
def test_transforms_leave_their_input_alone_and_stay_finite(transform: object, n_frames: int) -> None:
    spectrum = torch.rand(201, n_frames)
    before = spectrum.clone()
    changed = transform(spectrum, np.random.default_rng(0))  # type: ignore[operator]
    assert torch.equal(spectrum, before)
    assert changed.shape[0] == 201
    assert changed.shape[1] >= 1
    assert torch.isfinite(changed).all()
    assert (changed >= 0).all()


def test_each_is_drawn_on_its_own() -> None:
    calls: dict[str, int] = {"one": 0, "two": 0, "both": 0}

    def record(name: str):  # type: ignore[no-untyped-def]
        def transform(spectrum: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
            seen.add(name)
            return spectrum

        return transform

    chain = Chain((record("one"), record("two")))
    for seed in range(2000):
        seen: set[str] = set()
        chain(torch.ones(201, 4), np.random.default_rng(seed))
        for name in seen:
            calls[name] += 1
        calls["both"] += len(seen) == 2
    assert calls["one"] / 2000 == pytest.approx(0.4, abs=0.04)
    assert calls["two"] / 2000 == pytest.approx(0.4, abs=0.04)
    assert calls["both"] / 2000 == pytest.approx(0.16, abs=0.03)


def test_what_each_recipe_setting_augments() -> None:
    kinds = {
        setting: [[type(transform).__name__ for transform in chain.transforms] for chain in chains]
        for setting, chains in AUGMENTATIONS.items()
    }
    waveform = ["TimeStretch", "WhiteNoise", "Gain"]
    assert kinds == {
        "none": [[], []],
        "response": [[], ["PitchShift", *waveform]],
        "rooms": [[], ["PitchShift", *waveform, "BandLimit", "Level"]],
        "both": [[*waveform, "SpanMask"], ["PitchShift", *waveform, "SpanMask"]],
    }


@pytest.mark.parametrize(
    "make", [lambda: TimeStretch(1.3, 0.7), lambda: PitchShift(-1), lambda: Gain(-0.5, 1), lambda: SpanMask(6, 1)]
)
def test_a_bad_range_fails_at_construction(make: object) -> None:
    with pytest.raises(InputError):
        make()  # type: ignore[operator]


def test_noise_uses_the_features_own_transform() -> None:
    assert stft(torch.zeros(1600)).shape == (201, 10)
