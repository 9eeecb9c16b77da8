"""Audio files: every format is read as 16 kHz mono float32, and a broken file is named.

Run: .venv/bin/python -m pytest tests/speech/test_audio.py
"""

import errno
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fakes import ROOT
from scipy import signal

from models.errors import InputError
from models.speech.audio import SAMPLE_RATE_HZ, check_audio_files, read_audio, resample, write_wav

# The error of rounding a sample, by subtype: half a step of the quantiser, or float32's own.
PRECISION = {
    "PCM_U8": 2**-7,
    "PCM_16": 2**-15,
    "PCM_24": 2**-23,
    "PCM_32": 2**-23,
    "FLOAT": 1e-7,
    "DOUBLE": 1e-7,
}


def sines(rate_hz: int, seconds: float = 0.5, channels: int = 1) -> np.ndarray:
    """Channel k is a tone of 300 (k + 1) Hz at a level of 0.5 / (k + 1): float64 [shape=(n, channels)]."""
    times = np.arange(round(seconds * rate_hz)) / rate_hz
    return np.stack([0.5 / k * np.sin(2 * np.pi * 300 * k * times) for k in range(1, channels + 1)], axis=1)


def level(waveform: np.ndarray, frequency_hz: float) -> float:
    """The amplitude of a tone in 16 kHz audio, from its middle part: whole periods of any multiple of 100 Hz."""
    middle = waveform[800:-800][: (len(waveform) - 1600) // 160 * 160]
    phase = 2j * np.pi * frequency_hz * np.arange(len(middle)) / SAMPLE_RATE_HZ
    return float(2 * abs(np.mean(middle * np.exp(-phase))))


def refusal(path: Path, max_seconds: float | None = None) -> str:
    with pytest.raises(InputError) as caught:
        read_audio(path, max_seconds)
    return str(caught.value)


# What is read


@pytest.mark.parametrize("subtype", PRECISION)
def test_sample_formats(subtype: str, tmp_path: Path) -> None:
    written = sines(16000)[:, 0]
    soundfile.write(tmp_path / "a.wav", written, 16000, subtype=subtype)
    read = read_audio(tmp_path / "a.wav")
    assert read.dtype == np.float32
    assert read.shape == written.shape
    np.testing.assert_allclose(read, written, atol=PRECISION[subtype])


@pytest.mark.parametrize(("suffix", "atol"), [("flac", 2**-15), ("ogg", 0.02), ("mp3", 0.04)])
def test_file_formats(suffix: str, atol: float, tmp_path: Path) -> None:
    if suffix.upper() not in soundfile.available_formats():
        pytest.skip(f"this libsndfile has no {suffix}")
    written = sines(16000)[:, 0]
    soundfile.write(tmp_path / f"a.{suffix}", written, 16000)
    read = read_audio(tmp_path / f"a.{suffix}")
    assert read.shape == written.shape
    np.testing.assert_allclose(read[800:-800], written[800:-800], atol=atol)


def test_the_content_decides_and_not_the_suffix(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", sines(16000), 16000)
    (tmp_path / "a.flac").rename(tmp_path / "a.wav")
    assert len(read_audio(tmp_path / "a.wav")) == 8000


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_channels_are_averaged(channels: int, suffix: str, tmp_path: Path) -> None:
    written = sines(16000, channels=channels)
    soundfile.write(tmp_path / f"a.{suffix}", written, 16000)
    read = read_audio(tmp_path / f"a.{suffix}")
    assert read.shape == (8000,)
    for channel in range(channels):
        expected = 0.5 / (channel + 1) / channels
        assert level(read, 300 * (channel + 1)) == pytest.approx(expected, abs=0.01 if suffix == "ogg" else 1e-4)


@pytest.mark.parametrize("rate_hz", [8000, 11025, 15999, 16000, 22050, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
def test_rates(rate_hz: int, channels: int, tmp_path: Path) -> None:
    written = sines(rate_hz, channels=channels)
    soundfile.write(tmp_path / "a.wav", written, rate_hz, subtype="FLOAT")
    read = read_audio(tmp_path / "a.wav")
    expected = sines(16000, channels=channels).mean(axis=1)  # the same tones, sampled at 16 kHz
    assert abs(len(read) - len(written) * 16000 / rate_hz) <= 1
    middle = slice(800, 7000)
    np.testing.assert_allclose(read[middle], expected[middle], atol=1e-3)


@pytest.mark.parametrize("rate_hz", [8000, 22050, 48000])
def test_noise_is_resampled_as_scipy_does(rate_hz: int) -> None:
    """Below what both filters let through: 0.8 of the narrower band."""
    rng = np.random.default_rng(0)
    lowpass = signal.firwin(801, 0.4 * min(rate_hz, SAMPLE_RATE_HZ), fs=rate_hz)
    noise = np.convolve(rng.standard_normal(rate_hz), lowpass, mode="same").astype(np.float32)
    ours, theirs = resample(noise, rate_hz), signal.resample_poly(noise, SAMPLE_RATE_HZ, rate_hz)
    assert len(ours) == SAMPLE_RATE_HZ
    middle = slice(1000, -1000)
    assert np.std(ours[middle] - theirs[middle]) < 0.02 * np.std(theirs)


def test_what_16_khz_can_not_hold_is_removed_and_not_folded_back() -> None:
    times = np.arange(48000) / 48000
    tone = np.sin(2 * np.pi * 10000 * times).astype(np.float32)  # would come back at 6 kHz
    assert np.abs(resample(tone, 48000)[800:-800]).max() < 1e-3


@pytest.mark.parametrize("rate_hz", [8000, 16000, 48000])
def test_one_sample_is_audio(rate_hz: int, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.array([0.5]), rate_hz)
    read = read_audio(tmp_path / "a.wav")
    assert len(read) >= 1
    assert np.isfinite(read).all()


@pytest.mark.parametrize("rate_hz", [8000, 16000, 44100])
def test_max_seconds_cuts(rate_hz: int, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", sines(rate_hz), rate_hz, subtype="FLOAT")
    whole, cut = read_audio(tmp_path / "a.wav"), read_audio(tmp_path / "a.wav", 0.2)
    assert abs(len(cut) - 3200) <= 1
    np.testing.assert_allclose(cut[:3000], whole[:3000], atol=1e-3)
    np.testing.assert_array_equal(read_audio(tmp_path / "a.wav", 9.0), whole)


# What is refused


def test_missing(tmp_path: Path) -> None:
    assert "nowhere.wav" in refusal(tmp_path / "nowhere.wav")


def test_folder_in_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "folder.wav").mkdir()
    assert "folder.wav" in refusal(tmp_path / "folder.wav")


def test_name_that_is_too_long(tmp_path: Path) -> None:
    name = "a" * 300 + ".wav"
    assert name in refusal(tmp_path / name)


def test_links_to_nowhere_and_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "circle.wav").symlink_to("circle.wav")
    (tmp_path / "dangling.wav").symlink_to("nowhere")
    assert "circle.wav" in refusal(tmp_path / "circle.wav")
    assert "dangling.wav" in refusal(tmp_path / "dangling.wav")


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_random_bytes(suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"a.{suffix}").write_bytes(np.random.default_rng(0).bytes(10_000))
    assert f"a.{suffix}" in refusal(tmp_path / f"a.{suffix}")


@pytest.mark.parametrize("n_bytes", [0, 1, 10, 20, 40])
@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
def test_truncated_header(suffix: str, n_bytes: int, tmp_path: Path) -> None:
    file = tmp_path / f"a.{suffix}"
    soundfile.write(file, sines(16000), 16000)
    file.write_bytes(file.read_bytes()[:n_bytes])
    assert f"a.{suffix}" in refusal(file)


def test_flac_that_breaks_off(tmp_path: Path) -> None:
    file = tmp_path / "a.flac"
    soundfile.write(file, sines(16000), 16000)
    file.write_bytes(file.read_bytes()[:-200])
    assert "a.flac" in refusal(file)


@pytest.mark.parametrize("max_seconds", [None, 4.0])
@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_empty(suffix: str, max_seconds: float | None, tmp_path: Path) -> None:
    soundfile.write(tmp_path / f"a.{suffix}", np.zeros(0), 44100)
    assert f"a.{suffix}" in refusal(tmp_path / f"a.{suffix}", max_seconds)


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("channels", [1, 2])
def test_not_finite(channels: int, value: float, subtype: str, tmp_path: Path) -> None:
    samples = sines(44100, channels=channels)
    samples[-1, -1] = value
    soundfile.write(tmp_path / "a.wav", samples, 44100, subtype=subtype)
    assert "a.wav" in refusal(tmp_path / "a.wav")


# All files of a data folder


def test_check_returns_the_lengths_in_order(tmp_path: Path) -> None:
    seconds = [0.5, 0.25, 1.0]
    for index, (length, rate_hz) in enumerate(zip(seconds, (8000, 16000, 44100), strict=True)):
        soundfile.write(tmp_path / f"{index}.wav", sines(rate_hz, length), rate_hz)
    assert check_audio_files(tmp_path / f"{index}.wav" for index in range(3)) == pytest.approx(seconds, abs=1e-4)


def test_check_names_the_first_broken_file_and_counts_the_others(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "good.wav", sines(16000), 16000)
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    paths = [tmp_path / f"{name}.wav" for name in ("good", "broken", "nowhere", "good")]
    with pytest.raises(InputError, match=r"broken\.wav.* 1 more"):
        check_audio_files(paths)


# What is written


def test_write_wav(tmp_path: Path) -> None:
    waveform = sines(16000)[:, 0].astype(np.float32)
    write_wav(tmp_path / "new" / "a.wav", waveform)
    found = soundfile.info(tmp_path / "new" / "a.wav")
    assert (found.samplerate, found.channels, found.format, found.subtype) == (16000, 1, "WAV", "PCM_16")
    np.testing.assert_allclose(read_audio(tmp_path / "new" / "a.wav"), waveform, atol=2**-14)
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["a.wav"]


def test_write_wav_clips(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", np.array([-3.0, -1.0, 0.0, 1.0, 3.0], dtype=np.float32))
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav"), [-1, -1, 0, 1, 1], atol=2**-14)


def test_write_wav_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_wav(tmp_path / "a.wav", np.zeros(10, dtype=np.float32))

    write_whole = Path.write_bytes

    def fail_half_way(path: Path, content: bytes) -> None:
        write_whole(path, content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail_half_way)
    with pytest.raises(OSError, match=r"no space.*a\.wav"):
        write_wav(tmp_path / "a.wav", np.ones(10, dtype=np.float32))
    assert [file.name for file in tmp_path.iterdir()] == ["a.wav"]
    np.testing.assert_array_equal(read_audio(tmp_path / "a.wav"), np.zeros(10))


@pytest.mark.slow
def test_reading_needs_no_torch() -> None:
    """So that bad tables and files are reported at once."""
    code = "import sys, models.speech.audio, models.clips.tables, models.training.job; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def claim(path: Path, rate_hz: int = 16000, seconds: float = 1.0, channels: int = 1) -> Path:
    """A small file that claims to be large: silence compresses to nearly nothing."""
    soundfile.write(path, np.zeros((round(seconds * 16000), channels), np.int16), rate_hz, subtype="PCM_16")
    return path


@pytest.mark.parametrize(
    ("claims", "mentions"),
    [({"rate_hz": 1}, "1 Hz"), ({"seconds": 700}, "700 s"), ({"seconds": 400, "channels": 8}, "8 channels")],
)
def test_what_would_fill_the_memory_is_refused(claims: dict[str, int], mentions: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=mentions):
        read_audio(claim(tmp_path / "a.flac", **claims))


def test_the_beginning_of_a_long_file_is_read(tmp_path: Path) -> None:
    assert len(read_audio(claim(tmp_path / "a.flac", seconds=700), 16.0)) == 16 * 16000
