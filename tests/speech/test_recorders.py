"""What browsers and telephones record: WebM, MP4, CAF. Run: .venv/bin/python -m pytest tests/speech/test_recorders.py"""

import io
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from models.errors import InputError
from models.speech.audio import read_audio

av = pytest.importorskip("av", reason="PyAV is not installed")

RATE_HZ, SECONDS = 48_000, 1.3
# What Chromium and Firefox record, what Safari does, what telephones do, and what Apple's dictaphones do.
KINDS = {
    "webm": ("webm", "libopus", {}),
    "webm as it is recorded": ("webm", "libopus", {"live": "1"}),
    "mp4": ("mp4", "aac", {}),
    "mp4 as it is recorded": ("mp4", "aac", {"movflags": "frag_keyframe+empty_moov"}),
    "m4a": ("ipod", "aac", {}),
    "lossless m4a": ("ipod", "alac", {}),
    "caf": ("caf", "alac", {}),
    "caf that libsndfile does not read": ("caf", "adpcm_ima_qt", {}),
}


def recorded(kind: str, channels: int = 1, seconds: float = SECONDS, picture: bool = False) -> bytes:
    """A tone of 440 Hz."""
    form, codec, options = KINDS[kind]
    content = io.BytesIO()
    layout = {1: "mono", 2: "stereo"}[channels]
    with av.open(content, "w", format=form, options=dict(options)) as container:
        sound = container.add_stream(codec, rate=RATE_HZ, layout=layout)
        if picture:
            _add_picture(container)
        tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * RATE_HZ)) / RATE_HZ)
        kept = sound.codec_context.format.name
        resampler = av.AudioResampler(
            format=kept, layout=layout, rate=RATE_HZ, frame_size=sound.codec_context.frame_size
        )
        planes = np.tile(tone.astype(np.float32), (channels, 1))
        frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout=layout)
        frame.sample_rate, frame.pts = RATE_HZ, 0
        for piece in [*resampler.resample(frame), *resampler.resample(None), None]:
            for packet in sound.encode(piece):
                container.mux(packet)
    return content.getvalue()


def _add_picture(container: object) -> None:
    film = container.add_stream("mpeg4", rate=25)  # type: ignore[attr-defined]
    film.width, film.height, film.pix_fmt = 32, 32, "yuv420p"
    for packet in film.encode(av.VideoFrame(32, 32, "yuv420p")):
        container.mux(packet)  # type: ignore[attr-defined]
    for packet in film.encode(None):
        container.mux(packet)  # type: ignore[attr-defined]


def read(content: bytes, max_seconds: float | None = None) -> np.ndarray:
    return read_audio(Path("a"), max_seconds, content)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_recorded_is_heard(kind: str, channels: int) -> None:
    waveform = read(recorded(kind, channels))
    assert len(waveform) / 16_000 == pytest.approx(SECONDS, abs=0.05)
    spectrum = np.abs(np.fft.rfft(waveform[4_000:16_000]))
    assert np.argmax(spectrum) * 16_000 / 12_000 == pytest.approx(440, abs=2)
    assert waveform[4_000:16_000].std() == pytest.approx(0.3 / np.sqrt(2), rel=0.15)  # AAC adds some of its own


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.99])
def test_what_breaks_off_is_refused(kind: str, share: float) -> None:
    content = recorded(kind)
    with pytest.raises(InputError):
        read(content[: int(share * len(content))])


@pytest.mark.parametrize("kind", ["webm", "mp4"])
def test_no_more_is_read_than_is_asked_for(kind: str) -> None:
    assert len(read(recorded(kind), max_seconds=0.5)) == 8_000


def test_hours_of_silence_in_a_small_file_are_refused() -> None:
    with pytest.raises(InputError, match="too long"):
        read(recorded("webm", seconds=610))


def test_a_video_is_refused() -> None:
    with pytest.raises(InputError, match="video"):
        read(recorded("mp4", picture=True))


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_an_input_error(kind: str) -> None:
    """Whatever FFmpeg makes of it: sound, or a refusal by name, and nothing else."""
    content, rng = recorded(kind), np.random.default_rng(0)
    for _ in range(30):
        damaged = bytearray(content)
        for place in rng.integers(0, len(content), 20):
            damaged[place] = rng.integers(256)
        with suppress(InputError):
            assert np.isfinite(read(bytes(damaged))).all()


def test_a_list_of_other_files_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret.wav"
    secret.write_bytes(recorded("webm"))
    for text in (f"ffconcat version 1.0\nfile {secret}\n", f"#EXTM3U\n#EXTINF:10,\n{secret.as_uri()}\n"):
        with pytest.raises(InputError, match="not readable"):
            read(text.encode())


def test_without_the_package_the_way_out_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    content = recorded("webm")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InputError, match="pip install av"):
        read(content)
