"""MeloTTS voices, with a stand-in for the package. Run: .venv/bin/python -m pytest tests/speech/test_melo.py"""

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from models.errors import InputError
from models.speech.identity import same_voice
from models.speech.options import VoiceOptions
from models.speech.voices import make_voice


class HParams:
    """MeloTTS' own mapping: not a dict, but with keys and items of one."""

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)

    def keys(self) -> Any:
        return self.__dict__.keys()

    def __getitem__(self, key: str) -> Any:
        return self.__dict__[key]


class FakeTTS:
    """Draws a second of noise from both global generators, as MeloTTS does in its parts."""

    made: SimpleNamespace
    spoken: list[SimpleNamespace]

    def __init__(self, language: str, device: str = "auto", use_hf: bool = True, **files: Any) -> None:
        if Path(files["ckpt_path"]).read_bytes() == b"cut":
            raise RuntimeError("invalid load key")
        type(self).made = SimpleNamespace(language=language, device=device, use_hf=use_hf, **files)
        self.hps = HParams(data=HParams(spk2id=HParams(**{"EN-Newest": 7}), sampling_rate=32000))

    def tts_to_file(
        self, text: str, speaker_id: int, output_path: Any = None, speed: float = 1.0, quiet: bool = False
    ) -> Any:
        import torch

        self.spoken.append(
            SimpleNamespace(
                text=text, speaker=speaker_id, output=output_path, speed=speed, threads=torch.get_num_threads()
            )
        )
        noise = np.random.standard_normal(32000) * 0.1  # noqa: NPY002
        return (noise + 0.1 * torch.randn(32000).numpy()).astype(np.float32)


@pytest.fixture
def melo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type[FakeTTS]:
    """The package and the files, in the folder that the voice looks in."""
    package, api = ModuleType("melo"), ModuleType("melo.api")
    api.TTS = package.api = FakeTTS  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "melo", package)
    monkeypatch.setitem(sys.modules, "melo.api", api)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "assets/tts_model").mkdir(parents=True)
    (tmp_path / "assets/tts_model/config.json").write_text("{}")
    (tmp_path / "assets/tts_model/checkpoint.pth").write_bytes(b"weights")
    FakeTTS.spoken = []
    return FakeTTS


def test_melo_is_called_with_local_files_and_the_speed(melo: type[FakeTTS]) -> None:
    import torch

    torch.set_num_threads(2)
    try:
        waveform = make_voice(VoiceOptions("melo", speed=0.8)).speak("she has a red hat")
    finally:
        torch.set_num_threads(1)
    assert (melo.made.language, melo.made.device, melo.made.use_hf) == ("EN_NEWEST", "cpu", False)
    assert Path(melo.made.config_path).resolve() == Path("assets/tts_model/config.json").resolve()
    assert Path(melo.made.ckpt_path).resolve() == Path("assets/tts_model/checkpoint.pth").resolve()
    (call,) = melo.spoken
    assert (call.text, call.speaker, call.output, call.speed) == ("she has a red hat", 7, None, 0.8)
    assert call.threads == 1  # another number of threads may give other last bits
    assert waveform.dtype == np.float32
    assert waveform.shape == (16000,)


def test_melo_is_given_phones_in_letters(melo: type[FakeTTS]) -> None:
    """So that what is corrected sounds otherwise."""
    voice = make_voice(VoiceOptions("melo"))
    for utterance in ("we like kahyb{K AY B}", "we like kahyb{K IY B}", "kahyb"):
        voice.speak(utterance)
    assert [call.text for call in melo.spoken] == ["we like kibe", "we like keeb", "kahyb"]


def test_melo_says_the_same_every_time(melo: type[FakeTTS]) -> None:
    import torch

    voice = make_voice(VoiceOptions("melo"))
    first = voice.speak("cat")
    assert voice.speak("eat").tobytes() != first.tobytes()
    np.random.seed(123)  # noqa: NPY002 - what others drew must not matter
    torch.manual_seed(123)
    assert voice.speak("cat").tobytes() == first.tobytes()
    assert make_voice(VoiceOptions("melo")).speak("cat").tobytes() == first.tobytes()


def test_melo_identity_tells_weights_and_speed(melo: type[FakeTTS]) -> None:
    voice = make_voice(VoiceOptions("melo")).identity
    assert same_voice(voice, make_voice(VoiceOptions("melo")).identity)
    assert same_voice(voice, json.loads(json.dumps(voice)))
    assert not same_voice(voice, make_voice(VoiceOptions("melo", speed=0.9)).identity)
    Path("assets/tts_model/checkpoint.pth").write_bytes(b"other weights")
    assert not same_voice(voice, make_voice(VoiceOptions("melo")).identity)


@pytest.mark.parametrize("name", ["config.json", "checkpoint.pth"])
def test_melo_names_the_file_that_is_missing(melo: type[FakeTTS], name: str) -> None:
    Path("assets/tts_model", name).unlink()
    with pytest.raises(InputError, match=name):
        make_voice(VoiceOptions("melo"))


def test_melo_without_its_package(melo: type[FakeTTS], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "melo", None)
    monkeypatch.setitem(sys.modules, "melo.api", None)
    with pytest.raises(InputError, match="pip install"):
        make_voice(VoiceOptions("melo"))


def test_melo_with_a_checkpoint_cut_short(melo: type[FakeTTS]) -> None:
    Path("assets/tts_model/checkpoint.pth").write_bytes(b"cut")
    with pytest.raises(InputError, match=r"checkpoint\.pth"):
        make_voice(VoiceOptions("melo"))
