"""Files whose headers guess, lie or say nothing: read to their true end, or refused by name.

Run: .venv/bin/python -m pytest tests/speech/test_wrong_headers.py
"""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from models.errors import InputError
from models.speech.audio import SAMPLE_RATE_HZ, read_audio

SECONDS = 3.0
CHUNKED = ("WAV", "WAVEX", "RF64", "AIFF", "CAF", "W64", "AU")
UNKNOWN = (0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000, 0x80000000)


def speechlike(seconds: float = SECONDS, rate_hz: int = SAMPLE_RATE_HZ) -> np.ndarray:
    """Loud and soft parts, so that a variable bit rate varies: float32 [shape=(n,)]."""
    rng, times = np.random.default_rng(0), np.arange(round(seconds * rate_hz)) / rate_hz
    tones = 0.3 * np.sin(2 * np.pi * 300 * times) + 0.1 * rng.standard_normal(len(times))
    return (tones * (0.01 + np.sin(2 * times) ** 2)).astype(np.float32)


def encoded(file_format: str, subtype: str | None = None, seconds: float = SECONDS, rate_hz: int = 16000) -> bytes:
    if file_format not in soundfile.available_formats():
        pytest.skip(f"this libsndfile has no {file_format}")
    content = io.BytesIO()
    soundfile.write(content, speechlike(seconds, rate_hz), rate_hz, subtype, format=file_format)
    return content.getvalue()


def read(content: bytes, folder: Path, name: str = "a.wav", max_seconds: float | None = None) -> np.ndarray:
    (folder / name).write_bytes(content)
    return read_audio(folder / name, max_seconds)


def refusal(content: bytes, folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        read(content, folder)
    assert str(caught.value).startswith(str(folder / "a.wav"))
    return str(caught.value)


def with_field(content: bytes, at: int, layout: str, value: int) -> bytes:
    changed = bytearray(content)
    struct.pack_into(layout, changed, at, value)
    return bytes(changed)


# MP3


def without_header(mp3: bytes) -> bytes:
    """As an encoder that writes into a pipe leaves it: the second frame is the first one with sound."""
    start = mp3.index(mp3[:2], 4)
    assert mp3[:start].find(b"Xing") > 0 or mp3[:start].find(b"Info") > 0
    return mp3[start:]


@pytest.mark.parametrize("rate_hz", [8000, 16000, 22050, 44100, 48000])
def test_mp3_without_a_header_is_read_to_its_end(rate_hz: int, tmp_path: Path) -> None:
    whole = encoded("MP3", rate_hz=rate_hz)
    found, expected = read(without_header(whole), tmp_path), read(whole, tmp_path)
    assert SECONDS <= len(found) / SAMPLE_RATE_HZ < SECONDS + 0.3  # with what the encoder puts before and after
    lag = int(np.argmax(np.correlate(found[:20000], expected[2000:14000], "valid"))) - 2000
    assert np.corrcoef(found[lag + 4000 : lag + 40000], expected[4000:40000])[0, 1] > 0.85  # delays in parts of samples


@pytest.mark.parametrize("wrap", [b"ID3\x04\x00\x00\x00\x00\x02\x00" + bytes(256), b""])
@pytest.mark.parametrize("tail", [b"TAG" + bytes(125), b"APETAGEX" + b"\xff\xfb" * 50, bytes(700)])
def test_mp3_with_tags(wrap: bytes, tail: bytes, tmp_path: Path) -> None:
    mp3 = without_header(encoded("MP3"))
    np.testing.assert_array_equal(read(wrap + mp3 + tail, tmp_path), read(mp3, tmp_path))


def test_mp3_in_parts_is_read_to_its_end(tmp_path: Path) -> None:
    mp3 = encoded("MP3")
    assert len(read(mp3 + mp3, tmp_path)) / SAMPLE_RATE_HZ == pytest.approx(2 * SECONDS, abs=0.4)
    tag = b"TAG" + bytes(125)
    assert len(read(mp3 + tag + mp3 + tag, tmp_path)) / SAMPLE_RATE_HZ == pytest.approx(2 * SECONDS, abs=0.4)


def test_mp3_in_parts_of_two_rates_is_refused(tmp_path: Path) -> None:
    assert "convert" in refusal(encoded("MP3", rate_hz=16000) + encoded("MP3", rate_hz=44100), tmp_path)


def test_mp3_whose_header_is_right_is_as_libsndfile_reads_it(tmp_path: Path) -> None:
    mp3 = encoded("MP3")
    np.testing.assert_allclose(read(mp3, tmp_path), soundfile.read(io.BytesIO(mp3), dtype="float32")[0], atol=1e-6)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("has_header", [True, False])
def test_mp3_that_breaks_off(share: float, has_header: bool, tmp_path: Path) -> None:
    mp3 = encoded("MP3") if has_header else without_header(encoded("MP3"))
    end = round(share * len(mp3))
    assert mp3[end : end + 2] != mp3[:2]
    assert "breaks off" in refusal(mp3[:end], tmp_path)


def test_free_format_mp3_is_refused(tmp_path: Path) -> None:
    """Its frames don't say how long they are."""
    assert "convert" in refusal(b"\xff\xfb\x00\x00" * 500, tmp_path)


# Ogg and FLAC


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_chained_ogg_is_read_to_its_end(subtype: str, tmp_path: Path) -> None:
    first, second = encoded("OGG", subtype), encoded("OGG", subtype, 1.0)
    parts = [read(part, tmp_path) for part in (first, second, first)]
    np.testing.assert_array_equal(read(first + second + first, tmp_path), np.concatenate(parts))


def test_chained_ogg_of_two_kinds_and_rates(tmp_path: Path) -> None:
    parts = [encoded("OGG", "VORBIS", 1.0, 44100), encoded("OGG", "OPUS", 2.0, 48000)]
    assert len(read(b"".join(parts), tmp_path)) == pytest.approx(3 * SAMPLE_RATE_HZ, abs=2)
    assert len(read(b"".join(parts), tmp_path, max_seconds=1.5)) == pytest.approx(1.5 * SAMPLE_RATE_HZ, abs=2)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_ogg_that_breaks_off(subtype: str, share: float, tmp_path: Path) -> None:
    ogg = encoded("OGG", subtype)
    assert "breaks off" in refusal(ogg[: round(share * len(ogg))], tmp_path)


def of_unknown_length(flac: bytes) -> bytes:
    """36 bits of the number of samples, and the checksum, are 0 in a file that was written through a pipe."""
    return flac[:21] + bytes([flac[21] & 0xF0]) + bytes(20) + flac[42:]


@pytest.mark.parametrize("max_seconds", [None, 1.0, 9.0])
@pytest.mark.parametrize("rate_hz", [16000, 44100])
def test_flac_of_unknown_length(rate_hz: int, max_seconds: float | None, tmp_path: Path) -> None:
    flac = encoded("FLAC", rate_hz=rate_hz)
    expected = read(flac, tmp_path, max_seconds=max_seconds)
    np.testing.assert_array_equal(read(of_unknown_length(flac), tmp_path, max_seconds=max_seconds), expected)


def test_flac_of_unknown_length_that_would_fill_the_memory(tmp_path: Path) -> None:
    content = io.BytesIO()
    soundfile.write(content, np.zeros((1000 * 700, 1), np.int16), 1000, format="FLAC")
    assert "too long" in refusal(of_unknown_length(content.getvalue()), tmp_path)
    assert len(read(of_unknown_length(content.getvalue()), tmp_path, max_seconds=2.0)) == 2 * SAMPLE_RATE_HZ


def test_flac_in_parts(tmp_path: Path) -> None:
    flac = encoded("FLAC")
    expected = np.tile(read(flac, tmp_path), 2)
    np.testing.assert_array_equal(read(flac + flac, tmp_path), expected)
    np.testing.assert_array_equal(read(of_unknown_length(flac) * 2, tmp_path), expected)


def test_parts_that_would_fill_the_memory_together(tmp_path: Path) -> None:
    content = io.BytesIO()
    soundfile.write(content, np.zeros((1000 * 400, 1), np.int16), 1000, format="FLAC")
    assert "too long" in refusal(content.getvalue() * 2, tmp_path)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_flac_that_breaks_off(share: float, tmp_path: Path) -> None:
    flac = encoded("FLAC")
    refusal(flac[: round(share * len(flac))], tmp_path)


def test_flac_that_breaks_off_between_frames(tmp_path: Path) -> None:
    flac = encoded("FLAC")
    ends = [end for end in range(len(flac) // 2, len(flac)) if flac[end : end + 2] == b"\xff\xf8"]
    refusal(flac[: ends[0]], tmp_path)


# WAV and its kin


def sound_size_at(content: bytes) -> tuple[int, str]:
    """Where the size of the samples stands, and how it is written."""
    if content[:4] == b".snd":
        return 8, ">I"
    name, after, layout = {
        b"FORM": (b"SSND", 4, ">I"),
        b"caff": (b"data", 4, ">q"),
        b"riff": (b"data\xf3", 16, "<Q"),
    }.get(content[:4], (b"data", 4, "<I"))
    return content.index(name) + after, layout


def samples_at(content: bytes) -> int:
    at, layout = sound_size_at(content)
    return struct.unpack_from(">I", content, 4)[0] if content[:4] == b".snd" else at + struct.calcsize(layout)


@pytest.mark.parametrize("claimed", UNKNOWN)
@pytest.mark.parametrize("file_format", CHUNKED)
def test_sizes_that_say_nothing(file_format: str, claimed: int, tmp_path: Path) -> None:
    """As a pipe and a killed recorder leave them: of the samples, and of the file."""
    whole = encoded(file_format, "PCM_16")
    expected, content = read(whole, tmp_path), with_field(whole, *sound_size_at(whole), claimed)
    np.testing.assert_array_equal(read(content, tmp_path)[: len(expected)], expected)
    if file_format in ("WAV", "AIFF"):
        both = with_field(content, 4, ">I" if file_format == "AIFF" else "<I", claimed)
        np.testing.assert_array_equal(read(both, tmp_path)[: len(expected)], expected)


@pytest.mark.parametrize("sizes", [(0, 0), (2**64 - 1, 2**64 - 1), (2**64 - 1, 0)])
def test_rf64_whose_large_sizes_say_nothing(sizes: tuple[int, int], tmp_path: Path) -> None:
    whole = encoded("RF64", "PCM_16")
    content = with_field(with_field(whole, 20, "<Q", sizes[0]), 28, "<Q", sizes[1])
    np.testing.assert_array_equal(read(content, tmp_path), read(whole, tmp_path))


@pytest.mark.parametrize("file_format", ["WAV", "AIFF", "AU", "W64"])
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_a_header_that_was_not_brought_up_to_date(file_format: str, share: float, tmp_path: Path) -> None:
    """Recorders write the size from time to time; what came after the last time is there too."""
    whole = encoded(file_format, "PCM_16")
    at, layout = sound_size_at(whole)
    (size,) = struct.unpack_from(layout, whole, at)
    content = with_field(whole, at, layout, round(share * size / 8) * 8)
    np.testing.assert_array_equal(read(content, tmp_path), read(whole, tmp_path))


@pytest.mark.parametrize("share", [0.1, 0.46, 0.9])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "ULAW", "IMA_ADPCM"])
def test_wav_that_breaks_off(subtype: str, share: float, tmp_path: Path) -> None:
    whole = encoded("WAV", subtype)
    assert "breaks off" in refusal(whole[: round(share * len(whole))], tmp_path)


@pytest.mark.parametrize("file_format", [*CHUNKED, "NIST"])
def test_kin_of_wav_that_breaks_off(file_format: str, tmp_path: Path) -> None:
    whole = encoded(file_format, "PCM_16")
    assert "breaks off" in refusal(whole[: len(whole) // 2], tmp_path)


@pytest.mark.parametrize("subtype", ["ULAW", "ALAW", "PCM_24"])
def test_nist_that_breaks_off(subtype: str, tmp_path: Path) -> None:
    """Some write the bytes of a sample as a number, some as a word."""
    whole = encoded("NIST", subtype)
    assert "breaks off" in refusal(whole[: len(whole) // 2], tmp_path)


@pytest.mark.parametrize("more", [8, 36, 44])
def test_a_header_that_counts_itself(more: int, tmp_path: Path) -> None:
    whole = encoded("WAV", "PCM_16")
    at, layout = sound_size_at(whole)
    content = with_field(whole, at, layout, len(whole) - at - 4 + more)
    np.testing.assert_array_equal(read(content, tmp_path), read(whole, tmp_path))


@pytest.mark.parametrize("tail", [b"LIST\x04\x00\x00\x00INFO", b"id3 \x03\x00\x00\x00abc\x00", bytes(4000)])
def test_what_follows_the_samples_is_not_heard(tail: bytes, tmp_path: Path) -> None:
    whole = encoded("WAV", "PCM_16")
    np.testing.assert_array_equal(read(whole + tail, tmp_path), read(whole, tmp_path))


@pytest.mark.parametrize("tail", [b"", b"LIST\x04\x00\x00\x00INFO"])
def test_empty_is_empty(tail: bytes, tmp_path: Path) -> None:
    content = io.BytesIO()
    soundfile.write(content, np.zeros(0), 16000, format="WAV")
    assert "empty" in refusal(content.getvalue() + tail, tmp_path)


def test_several_wav_files_in_one_are_refused(tmp_path: Path) -> None:
    assert "several" in refusal(2 * encoded("WAV", "PCM_16"), tmp_path)


# What is in WAV and W64 files


def in_wav(mp3: bytes, claimed: int | None = None) -> bytes:
    """As ffmpeg puts MP3 into a WAV file: without its header."""
    layout = struct.pack("<HHIIHHH4HI", 0x55, 1, SAMPLE_RATE_HZ, 0, 1152, 0, 12, 1, 2, 0, 1152, 1)[:30]
    sound = b"data" + struct.pack("<I", len(mp3) if claimed is None else claimed) + mp3
    chunks = b"WAVEfmt " + struct.pack("<I", len(layout)) + layout + sound
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


@pytest.mark.parametrize("claimed", [None, 0, 0xFFFFFFFF])
def test_mp3_in_a_wav_is_read_to_its_end(claimed: int | None, tmp_path: Path) -> None:
    mp3 = without_header(encoded("MP3"))
    np.testing.assert_array_equal(read(in_wav(mp3, claimed), tmp_path), read(mp3, tmp_path))


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_floats_in_a_w64_whose_format_is_told_in_full(subtype: str, tmp_path: Path) -> None:
    """As ffmpeg writes it; libsndfile takes them for integers."""
    whole = bytearray(encoded("W64", subtype))
    at = whole.index(b"fmt \xf3") + 16
    layout, (size,) = bytes(whole[at + 8 : at + 24]), struct.unpack_from("<Q", whole, at)
    (bits,) = struct.unpack_from("<H", layout, 14)
    told = struct.pack("<HHIH", 22, bits, 0, 3) + bytes.fromhex("000000001000800000aa00389b71")
    full = struct.pack("<Q", 64) + b"\xfe\xff" + layout[2:] + told
    content = bytes(whole[:at]) + full + bytes(whole[at + -(-size // 8) * 8 - 16 :])
    np.testing.assert_array_equal(read(content, tmp_path), read(bytes(whole), tmp_path))


# What files are called, and what libraries throw


@pytest.mark.parametrize("file_format", ["AVR", "IRCAM", "MAT5", "MPC2K", "PAF", "PVF", "VOC", "WVE", "XI"])
def test_files_that_do_not_say_where_they_end_are_refused(file_format: str, tmp_path: Path) -> None:
    """Cut anywhere they would be an answer, and what these formats begin with other files begin with too."""
    if file_format not in soundfile.available_formats():
        pytest.skip(f"this libsndfile has no {file_format}")
    content = encoded(file_format, soundfile.default_subtype(file_format), rate_hz=8000)
    assert "convert" in refusal(content, tmp_path)


@pytest.mark.parametrize("suffix", ["raw", "RAW", "pcm", "gsm", "vox", "sd2", "mp3", "au", "txt", ""])
@pytest.mark.parametrize("file_format", ["WAV", "FLAC"])
def test_the_name_decides_nothing(file_format: str, suffix: str, tmp_path: Path) -> None:
    content = encoded(file_format, "PCM_16")
    np.testing.assert_array_equal(read(content, tmp_path, f"a.{suffix}"), read(content, tmp_path))


@pytest.mark.parametrize("suffix", ["raw", "gsm", "vox", "sd2"])
def test_samples_without_a_header_are_refused(suffix: str, tmp_path: Path) -> None:
    content = np.round(32767 * speechlike()).astype("<i2").tobytes()
    (tmp_path / f"a.{suffix}").write_bytes(content)
    with pytest.raises(InputError, match=rf"a\.{suffix}.*convert"):
        read_audio(tmp_path / f"a.{suffix}")


@pytest.mark.parametrize("error", [TypeError("x"), ValueError(""), AssertionError(), OverflowError("y"), MemoryError()])
def test_whatever_a_library_throws_is_an_unreadable_clip(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = encoded("WAV", "PCM_16")

    def throw(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(soundfile.SoundFile, "read", throw)
    assert "not readable" in refusal(content, tmp_path)


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    content = encoded("WAV", "PCM_16")
    (tmp_path / "a.wav").write_bytes(content)
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(InputError, match=r"a\.wav.*not readable"):
        read_audio(tmp_path / "a.wav")


@pytest.mark.slow
def test_any_cut_is_whole_or_refused(tmp_path: Path) -> None:
    """Never a shorter answer without a word."""
    for file_format, subtype in (("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("MP3", None)):
        content = encoded(file_format, subtype)
        expected = len(read(content, tmp_path))
        for end in np.random.default_rng(0).integers(0, len(content), 300):
            try:
                found = len(read(content[:end], tmp_path))
            except InputError:
                continue
            assert found > expected - 0.06 * SAMPLE_RATE_HZ, (file_format, end)
