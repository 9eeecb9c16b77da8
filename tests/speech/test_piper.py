"""Piper's voices, by a tiny model that is made here: what is told sounds, and what is none is named.

Run: .venv/bin/python -m pytest tests/speech/test_piper.py
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_voices import PIPER_SETTINGS, save_piper
from fakes import Script

from models.errors import InputError
from models.speech.arpabet import ipa_word
from models.speech.options import VoiceOptions
from models.speech.piper import PiperVoice
from models.speech.voices import make_voice

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture
def voice(tmp_path: Path) -> PiperVoice:
    return PiperVoice(save_piper(tmp_path / "voice"), 1.0)


def test_phones_are_written_as_espeak_would() -> None:
    assert ipa_word("K AY B".split()) == "kˈaɪb"
    assert ipa_word("B AH K AY P V ER M OY D".split()) == "bəkˈaɪpvɚmˌɔɪd"


def test_told_words_are_put_among_those_that_are_read(voice: PiperVoice) -> None:
    assert voice._ipa("we like kahyb{K AY B} cats") == "wiː lˈaɪk kˈaɪb kˈæts"
    assert voice._ipa("kahyb{K AY B}") == "kˈaɪb"


def test_each_sign_sounds_between_blanks(voice: PiperVoice) -> None:
    """Start, blank, then each sign and a blank, end: 100 samples each at 8 kHz, so 200 at 16 kHz."""
    known = PIPER_SETTINGS["phoneme_id_map"]
    assert voice._ids("kˈaɪb") == [
        *(known["^"] + known["_"]),
        *(one for sign in "kˈaɪb" for one in known[sign] + known["_"]),
        *known["$"],
    ]
    assert len(voice.speak("kahyb{K AY B}")) == pytest.approx(200 * 13, abs=2)


def test_what_has_no_known_sign_is_not_spoken(voice: PiperVoice) -> None:
    assert len(voice.speak("?!")) == 0


def test_the_same_bytes_on_every_run(voice: PiperVoice, tmp_path: Path) -> None:
    again = PiperVoice(tmp_path / "voice" / "voice.onnx", 1.0)
    for text in ("we like to play", "kahyb{K AY B}"):
        assert voice.speak(text).tobytes() == voice.speak(text).tobytes() == again.speak(text).tobytes()
    assert voice.identity == again.identity


def test_half_the_speed_takes_twice_as_long(tmp_path: Path) -> None:
    file = save_piper(tmp_path / "voice")
    fast, slow = (len(PiperVoice(file, speed).speak("cat")) for speed in (1.0, 0.5))
    assert slow == pytest.approx(2 * fast, abs=4)


def no_model(file: Path) -> None:
    file.write_bytes(b"no model")


def set_settings(**changes: Any) -> Callable[[Path], None]:
    return lambda file: Path(f"{file}.json").write_text(json.dumps({**PIPER_SETTINGS, **changes}), encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: file.unlink(), r"voice\.onnx: no such file"),
        (lambda file: (file.unlink(), Path(f"{file}.json").unlink()), r"voice\.onnx: no such file"),
        (lambda file: Path(f"{file}.json").unlink(), r"voice\.onnx\.json: missing; a Piper voice is FILE\.onnx with"),
        (lambda file: Path(f"{file}.json").write_text("{"), "not the settings of a Piper voice"),
        (set_settings(audio={}), "not the settings of a Piper voice"),
        (set_settings(phoneme_id_map={"^": [1]}), r"lacks \['\$', '_'\]"),
        (set_settings(num_speakers=9), "a voice with 9 speakers"),
        (set_settings(phoneme_type="text"), "reads text phonemes"),
        (set_settings(phoneme_id_map=dict.fromkeys("^$_aəeɪ", "x")), "does not speak as a Piper voice"),
        (set_settings(audio={"sample_rate": "fast"}), "does not speak as a Piper voice"),
        (set_settings(espeak={"voice": "nowhere"}), r"voice\.onnx\.json: espeak-ng has no voice 'nowhere'"),
        (no_model, "can't open it as a model"),
        (
            lambda file: save_piper(file.parent, ("input", "scales")),
            "no Piper voice with one speaker: its inputs are input, scales",
        ),
    ],
)
def test_what_is_no_piper_voice_is_named(change: Callable[[Path], object], message: str, tmp_path: Path) -> None:
    file = save_piper(tmp_path / "voice")
    change(file)
    with pytest.raises(InputError, match=message):
        make_voice(VoiceOptions(f"piper:{file}"))


def test_references_by_a_piper_voice(make_data: Callable[..., Path], tmp_path: Path, script: Script) -> None:
    folder, tts_dir, file = make_data(), tmp_path / "tts_data", save_piper(tmp_path / "voice")
    places = ("--data_dir", folder, "--tts_dir", tts_dir, "--jobs", "1")
    outcome = script("preprocess.py", *places, "--voice", f"piper:{file}")
    assert outcome.code == 0, outcome.error
    assert json.loads((tts_dir / "voice.json").read_text())["engine"] == "piper"
    outcome = script("preprocess.py", *places, "--voice", f"piper:{file}")
    assert "0 of them made now" in outcome.output
    assert "another voice" in script("preprocess.py", *places).error
