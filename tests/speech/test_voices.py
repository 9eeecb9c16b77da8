"""Voices of espeak-ng, and what tells voices apart.

Run: .venv/bin/python -m pytest tests/speech/test_voices.py
"""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fakes import ROOT

from models.errors import InputError
from models.speech.espeak import NORMAL_RATE_WPM, SAMPLE_RATE_HZ, Espeak
from models.speech.identity import same_voice
from models.speech.options import VoiceOptions
from models.speech.references import reference_path
from models.speech.voices import EspeakVoice

TEXTS = ("cat", "teevog", "she has a red hat", "don't stop")


def sha256(samples: np.ndarray) -> str:
    return hashlib.sha256(samples.tobytes()).hexdigest()


def test_espeak_says_the_same_after_other_texts_and_in_another_order() -> None:
    with Espeak() as espeak:
        forwards = {text: sha256(espeak.speak(text).samples) for text in TEXTS}
        backwards = {text: sha256(espeak.speak(text).samples) for text in reversed(TEXTS)}
    assert forwards == backwards
    assert len(set(forwards.values())) == len(TEXTS)


def test_espeak_says_the_same_in_a_new_process() -> None:
    script = (
        "import hashlib; from models.speech.voices import EspeakVoice; voice = EspeakVoice(0.7)\n"
        f"for text in {TEXTS[::-1]!r}: print(hashlib.sha256(voice.speak(text).tobytes()).hexdigest())"
    )
    process = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    voice = EspeakVoice(0.7)
    assert process.stdout.split() == [sha256(voice.speak(text)) for text in TEXTS][::-1]


def test_two_espeak_voices_in_a_process_do_not_disturb_each_other() -> None:
    slow, fast = EspeakVoice(0.7), EspeakVoice(1.4)
    alone = {text: sha256(slow.speak(text)) for text in TEXTS}
    for text in TEXTS:
        fast.speak(text)
        assert sha256(slow.speak(text)) == alone[text]
    with Espeak(fresh=False) as other:
        other.speak("an instance that keeps its library loaded")
        assert sha256(slow.speak("cat")) == alone["cat"]
        assert len(other.speak("cat").samples) > 0


def test_espeak_speaks_after_an_error_and_after_close() -> None:
    espeak = Espeak()
    before = sha256(espeak.speak("cat").samples)
    with pytest.raises(InputError):
        espeak.speak("cat", voice="zz")
    assert sha256(espeak.speak("cat").samples) == before
    espeak.close()
    assert sha256(espeak.speak("cat").samples) == before
    espeak.close()


@pytest.mark.parametrize("speed", [0.5, 0.7, 1.5, 2.0])
def test_espeak_length_follows_speed(speed: float) -> None:
    text = "she has a red hat"
    ratio = len(EspeakVoice(speed).speak(text)) / len(EspeakVoice(1.0).speak(text))
    assert ratio == pytest.approx(1 / speed, rel=0.15)


def test_espeak_refuses_a_speed_that_it_would_not_keep() -> None:
    with pytest.raises(InputError, match=r"0\.46"):
        EspeakVoice(0.4)


@pytest.mark.parametrize("voice", ["zz", "", "en-us+nobody", "en-us+", "../../voices"])
def test_espeak_refuses_an_unknown_voice(voice: str) -> None:
    with Espeak() as espeak, pytest.raises(InputError, match="no voice"):
        espeak.speak("cat", voice=voice)


def test_espeak_voices_and_pitches_differ() -> None:
    with Espeak() as espeak:
        spoken = [
            espeak.speak("cat", **options).samples
            for options in ({}, {"voice": "en-us+f3"}, {"voice": "en-gb-scotland"}, {"pitch": 80}, {"pitch_range": 5})
        ]
    assert len({sha256(samples) for samples in spoken}) == len(spoken)


def test_espeak_phones_are_in_order_and_inside_the_utterance() -> None:
    with Espeak() as espeak:
        for text in (*TEXTS, "We like to play, don't we? Yes."):
            utterance = espeak.speak(text)
            starts = [phone.start_sample for phone in utterance.phones]
            assert len(starts) > 2
            assert starts == sorted(starts)
            assert starts[0] >= 0
            assert starts[-1] <= len(utterance.samples)
        names = [phone.name.strip("',") for phone in espeak.speak("cat").phones]
    assert names[:3] == ["k", "a", "t"]


def test_espeak_phones_scale_with_the_rate() -> None:
    with Espeak() as espeak:
        normal, slow = (espeak.speak("cat", rate_wpm=rate).phones for rate in (NORMAL_RATE_WPM, NORMAL_RATE_WPM // 2))
    assert [phone.name for phone in normal] == [phone.name for phone in slow]
    assert slow[2].start_sample > 1.5 * normal[2].start_sample


def test_espeak_voice_gives_16_khz_float32() -> None:
    voice = EspeakVoice(1.0)
    with Espeak() as espeak:
        n_samples = len(espeak.speak("she has a red hat").samples)
    waveform = voice.speak("she has a red hat")
    assert waveform.dtype == np.float32
    assert waveform.ndim == 1
    assert len(waveform) == pytest.approx(n_samples * 16000 / SAMPLE_RATE_HZ, abs=2)
    for text in (*TEXTS, "!!! AAAAH BOOM ZZZZZ ooooo"):
        assert 0.05 < np.abs(voice.speak(text)).max() <= 1.0


def test_espeak_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(InputError, match="pip install espeakng-loader"):
        EspeakVoice(0.7)


def test_a_library_that_can_not_be_loaded_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import espeakng_loader

    library = tmp_path / "libespeak-ng.so"
    library.write_text("of another system")
    monkeypatch.setattr(espeakng_loader, "get_library_path", lambda: str(library))
    with pytest.raises(InputError, match=r"libespeak-ng\.so.*pip install"):
        EspeakVoice(0.7)
    monkeypatch.undo()
    assert EspeakVoice(0.7).speak("cat").any()


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_data_without_english_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """espeak-ng itself goes on, and reads nothing in any text."""
    import espeakng_loader

    data = Path(espeakng_loader.get_data_path())
    monkeypatch.setattr(espeakng_loader, "get_data_path", lambda: str(tmp_path))
    for file in data.iterdir():
        if file.name != "en_dict":
            (tmp_path / file.name).symlink_to(file)
    with pytest.raises(InputError, match=r"en_dict.*pip install"):
        EspeakVoice(0.7)
    (tmp_path / "en_dict").symlink_to(data / "en_dict")
    assert EspeakVoice(0.7).speak("cat").any()


# Options and identities


@pytest.mark.parametrize("speed", [0.0, 0.19, 3.01, float("nan"), -1.0])
def test_a_speed_out_of_range_is_refused(speed: float) -> None:
    with pytest.raises(InputError, match="--speed"):
        VoiceOptions(speed=speed)


def test_only_the_source_may_differ_between_equal_voices() -> None:
    identity = {"engine": "VitsModel", "speed": 0.7, "weights_sha256": "0", "source": "here"}
    assert same_voice(identity, {**identity, "source": "there"})
    for change in ({"engine": "X"}, {"speed": 0.8}, {"weights_sha256": "1"}, {"speaker_sha256": "0"}):
        assert not same_voice(identity, {**identity, **change})


def test_espeak_identity_survives_json_and_tells_the_speed() -> None:
    voice, whole = EspeakVoice(1.0), EspeakVoice(1)  # 1 and 1.0 are one speed, and must lead to the same files
    assert same_voice(voice.identity, json.loads(json.dumps(voice.identity)))
    assert reference_path(Path(), voice.identity, "cat") == reference_path(Path(), whole.identity, "cat")
    assert not same_voice(voice.identity, EspeakVoice(0.7).identity)


@pytest.fixture
def moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], str]:
    """Puts espeak-ng's data into a folder whose path has so many bytes."""
    import espeakng_loader

    data = Path(espeakng_loader.get_data_path())

    def move(length: int) -> str:
        left = length - len(f"{tmp_path}//{data.name}")
        if left < 1:
            pytest.skip("the temporary folder lies too deep")
        folder = tmp_path / ("d" * left)
        folder.mkdir()
        (folder / data.name).symlink_to(data)
        monkeypatch.setattr(espeakng_loader, "get_data_path", lambda: str(folder / data.name))
        return str(folder / data.name)

    return move


@pytest.mark.skipif(sys.platform == "win32", reason="other paths are too long there")
@pytest.mark.parametrize("length", [140, 155, 159])
def test_as_long_a_path_as_espeak_takes_changes_nothing(moved: Callable[[int], str], length: int) -> None:
    def speak() -> tuple[bytes, list[str]]:
        with Espeak() as espeak:  # of a variant, whose samples depend on what was in the memory before, the phones
            variant = [phone.name for phone in espeak.speak("the café", "en-us+f3").phones]
            return espeak.speak("the café", "en-us").samples.tobytes(), variant

    before = speak()
    assert len(moved(length)) == length
    assert speak() == before


@pytest.mark.skipif(sys.platform == "win32", reason="other paths are too long there")
@pytest.mark.parametrize("length", [160, 161, 200])
def test_a_path_that_espeak_can_not_keep_is_named(moved: Callable[[int], str], length: int) -> None:
    """To install it again would not help."""
    path = moved(length)
    with pytest.raises(InputError, match="shorter path") as refused, Espeak():
        pass
    assert path in str(refused.value)
    assert str(length) in str(refused.value)
