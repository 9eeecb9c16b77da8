"""Voices: espeak-ng, tiny VITS and SpeechT5 models built here, and a stand-in for MeloTTS. None needs the network.

Run: .venv/bin/python -m pytest tests/speech/test_voices.py
"""

import dataclasses
import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fakes import ROOT, save_vits

from models.errors import InputError
from models.speech.espeak import NORMAL_RATE_WPM, SAMPLE_RATE_HZ, Espeak
from models.speech.identity import same_voice
from models.speech.options import VoiceOptions
from models.speech.references import reference_path
from models.speech.voices import EspeakVoice, make_voice

TEXTS = ("cat", "teevog", "she has a red hat", "don't stop")
SPEAKER_WIDTH = 12

pytestmark = pytest.mark.filterwarnings("ignore:n_fft")  # tiny voices say short things


# espeak-ng


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


# Hugging Face models


def save_speecht5(folder: Path, seed: int = 0) -> Path:
    """A SpeechT5 of width 16 with a character tokenizer trained here."""
    sentencepiece = pytest.importorskip("sentencepiece", reason="SpeechT5's tokenizer needs it")
    from transformers import (
        SpeechT5Config,
        SpeechT5FeatureExtractor,
        SpeechT5ForTextToSpeech,
        SpeechT5Processor,
        SpeechT5Tokenizer,
        set_seed,
    )

    set_seed(seed)
    folder.mkdir(parents=True)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["the quick brown fox jumps over the lazy dog", "she doesn't, does she"]),
        model_prefix=str(folder / "spm_char"),
        model_type="char",
        vocab_size=40,
        hard_vocab_limit=False,
        **{"bos_id": 0, "pad_id": 1, "eos_id": 2, "unk_id": 3, "minloglevel": 2},
    )
    tokenizer = SpeechT5Tokenizer(str(folder / "spm_char.model"))
    features = SpeechT5FeatureExtractor(num_mel_bins=8)
    SpeechT5Processor(feature_extractor=features, tokenizer=tokenizer).save_pretrained(folder)
    features.save_pretrained(folder)
    config = SpeechT5Config(
        vocab_size=max(64, len(tokenizer)),
        hidden_size=16,
        encoder_layers=1,
        encoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_layers=1,
        decoder_attention_heads=2,
        decoder_ffn_dim=32,
        num_mel_bins=8,
        speech_decoder_prenet_units=16,
        speech_decoder_postnet_units=16,
        speech_decoder_postnet_layers=2,
        speaker_embedding_dim=SPEAKER_WIDTH,
    )
    model = SpeechT5ForTextToSpeech(config)
    model.speech_decoder_postnet.prob_out.bias.data.fill_(-9.0)  # speaks up to its limit, 10 steps a character
    model.save_pretrained(folder)
    return folder


def save_vocoder(folder: Path, seed: int = 0) -> Path:
    from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig, set_seed

    set_seed(seed)
    config = SpeechT5HifiGanConfig(
        model_in_dim=8,
        upsample_initial_channel=8,
        upsample_rates=[8, 4],
        upsample_kernel_sizes=[16, 8],
        resblock_kernel_sizes=[3],
        resblock_dilation_sizes=[[1]],
        initializer_range=0.5,
    )
    SpeechT5HifiGan(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def vits(tmp_path_factory: pytest.TempPathFactory) -> VoiceOptions:
    return VoiceOptions(str(save_vits(tmp_path_factory.mktemp("vits") / "voice")), speed=1.0)


@pytest.fixture(scope="session")
def speecht5(tmp_path_factory: pytest.TempPathFactory) -> VoiceOptions:
    folder = tmp_path_factory.mktemp("speecht5")
    np.save(folder / "speaker.npy", np.linspace(-1, 1, SPEAKER_WIDTH, dtype=np.float32)[None])
    voice, vocoder = save_speecht5(folder / "voice"), save_vocoder(folder / "vocoder")
    return VoiceOptions(str(voice), 1.0, folder / "speaker.npy", str(vocoder))


@pytest.fixture(params=["vits", "speecht5"])
def options(request: pytest.FixtureRequest) -> VoiceOptions:
    return request.getfixturevalue(request.param)


@pytest.mark.slow
def test_hugging_face_voice_says_the_same_every_time(options: VoiceOptions) -> None:
    import torch

    voice = make_voice(options)
    first = {text: voice.speak(text) for text in TEXTS}
    torch.manual_seed(123)  # what others drew must not matter
    fresh = make_voice(options)
    for text in reversed(TEXTS):
        assert voice.speak(text).tobytes() == first[text].tobytes() == fresh.speak(text).tobytes()
    assert len({waveform.tobytes() for waveform in first.values()}) == len(TEXTS)
    for waveform in first.values():
        assert waveform.dtype == np.float32
        assert waveform.ndim == 1
        assert np.isfinite(waveform).all()
        assert np.abs(waveform).max() > 0.001


@pytest.mark.slow
def test_hugging_face_voice_leaves_the_generators_and_threads_alone(options: VoiceOptions) -> None:
    import torch

    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    expected = torch.rand(3).tolist(), np.random.rand(3).tolist()  # noqa: NPY002
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.set_num_threads(2)
    try:
        make_voice(options).speak("cat")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert (torch.rand(3).tolist(), np.random.rand(3).tolist()) == expected  # noqa: NPY002


@pytest.mark.slow
def test_hugging_face_voice_slows_down(options: VoiceOptions) -> None:
    text = "she has a red hat"
    normal, slow, fast = (
        len(make_voice(dataclasses.replace(options, speed=speed)).speak(text)) for speed in (1.0, 0.5, 2.0)
    )
    assert slow > 1.3 * normal
    assert normal > 1.1 * fast


@pytest.mark.slow
def test_speecht5_is_stretched_by_its_speed(speecht5: VoiceOptions) -> None:
    normal, slow = (
        len(make_voice(dataclasses.replace(speecht5, speed=speed)).speak("red hat")) for speed in (1.0, 0.5)
    )
    assert slow == pytest.approx(2 * normal, abs=2)


def test_hugging_face_voice_is_resampled_to_16_khz(vits: VoiceOptions, tmp_path: Path) -> None:
    shutil.copytree(vits.voice, tmp_path / "voice")
    config = json.loads((tmp_path / "voice/config.json").read_text())
    (tmp_path / "voice/config.json").write_text(json.dumps({**config, "sampling_rate": 8000}))
    low = make_voice(VoiceOptions(str(tmp_path / "voice"), 1.0)).speak("cat")
    assert len(low) == 2 * len(make_voice(vits).speak("cat"))


@pytest.mark.slow
def test_a_voice_is_the_same_in_another_folder(options: VoiceOptions, tmp_path: Path) -> None:
    here = make_voice(options)
    shutil.copytree(options.voice, tmp_path / "elsewhere")
    there = make_voice(dataclasses.replace(options, voice=str(tmp_path / "elsewhere")))
    assert same_voice(here.identity, there.identity)
    assert here.identity.keys() == there.identity.keys()
    assert {key for key in here.identity if here.identity[key] != there.identity[key]} == {"source"}
    assert reference_path(tmp_path, here.identity, "cat") == reference_path(tmp_path, there.identity, "cat")
    assert same_voice(here.identity, json.loads(json.dumps(here.identity)))
    assert here.speak("cat").tobytes() == there.speak("cat").tobytes()


@pytest.mark.slow
def test_other_weights_and_another_speed_are_another_voice(options: VoiceOptions, tmp_path: Path) -> None:
    save = save_vits if options.speaker_embedding is None else save_speecht5
    voice = make_voice(options).identity
    other_weights = make_voice(dataclasses.replace(options, voice=str(save(tmp_path / "other", seed=1)))).identity
    other_speed = make_voice(dataclasses.replace(options, speed=0.9)).identity
    assert not same_voice(voice, other_weights)
    assert not same_voice(voice, other_speed)


@pytest.mark.slow
def test_another_speaker_and_another_vocoder_are_another_voice(speecht5: VoiceOptions, tmp_path: Path) -> None:
    voice = make_voice(speecht5)
    vector = np.load(speecht5.speaker_embedding)
    np.save(tmp_path / "other.npy", -vector)
    other_speaker = make_voice(dataclasses.replace(speecht5, speaker_embedding=tmp_path / "other.npy"))
    other_vocoder = make_voice(dataclasses.replace(speecht5, vocoder=str(save_vocoder(tmp_path / "vocoder", seed=1))))
    for other in (other_speaker, other_vocoder):
        assert not same_voice(voice.identity, other.identity)
        assert voice.speak("cat").tobytes() != other.speak("cat").tobytes()
    np.save(tmp_path / "same.npy", vector.reshape(-1).astype(np.float64))  # the same numbers, saved another way
    same = make_voice(dataclasses.replace(speecht5, speaker_embedding=tmp_path / "same.npy"))
    assert same_voice(voice.identity, same.identity)


@pytest.mark.parametrize("stored_as", ["float16", "bfloat16"])
def test_weights_stored_in_half_precision_speak_in_full(vits: VoiceOptions, tmp_path: Path, stored_as: str) -> None:
    import torch
    from transformers import VitsModel

    for name, kind in (("half", getattr(torch, stored_as)), ("full", torch.float32)):
        shutil.copytree(vits.voice, tmp_path / name)
        VitsModel.from_pretrained(vits.voice).to(getattr(torch, stored_as)).to(kind).save_pretrained(tmp_path / name)
    half, full = (make_voice(VoiceOptions(str(tmp_path / name), 1.0)) for name in ("half", "full"))
    assert same_voice(half.identity, full.identity)
    assert half.speak("red hat").tobytes() == full.speak("red hat").tobytes()


@pytest.mark.slow
def test_a_vocoder_stored_in_half_precision_speaks_in_full(speecht5: VoiceOptions, tmp_path: Path) -> None:
    from transformers import SpeechT5HifiGan

    vocoder = SpeechT5HifiGan.from_pretrained(speecht5.vocoder).half()
    vocoder.save_pretrained(tmp_path / "half")
    vocoder.float().save_pretrained(tmp_path / "full")
    half, full = (make_voice(dataclasses.replace(speecht5, vocoder=str(tmp_path / name))) for name in ("half", "full"))
    assert same_voice(half.identity, full.identity)
    assert half.speak("red hat").tobytes() == full.speak("red hat").tobytes()


def test_weights_that_a_file_lacks_are_drawn_alike(vits: VoiceOptions, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(vits.voice, tmp_path / "voice")
    weights = load_file(folder / "model.safetensors")
    del weights["decoder.conv_pre.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    first, second = (make_voice(VoiceOptions(str(folder), 1.0)) for _ in range(2))
    assert same_voice(first.identity, second.identity)
    assert first.speak("cat").tobytes() == second.speak("cat").tobytes()


def test_a_hugging_face_voice_is_given_phones_in_letters(vits: VoiceOptions) -> None:
    voice = make_voice(vits)
    assert (voice.speak("we like kahyb{K AY B}") == voice.speak("we like kibe")).all()
    assert len(voice.speak("kahyb{K AY B}")) != len(voice.speak("kahyb{K EH S T}"))


def test_a_text_without_a_known_character_is_not_spoken(vits: VoiceOptions) -> None:
    assert len(make_voice(vits).speak("123")) == 0


@pytest.mark.parametrize("name", ["nobody/no-such-voice", "no such folder", ""])
def test_a_model_that_is_not_here_says_how_to_get_it(name: str) -> None:
    with pytest.raises(InputError, match=r"(?s)hf download .* --voice") as error:
        make_voice(VoiceOptions(name))
    assert f"'{name}'" in str(error.value)


def cut_weights(folder: Path) -> None:
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])


def delete_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def delete_tokenizer(folder: Path) -> None:
    for file in (*folder.glob("*token*"), *folder.glob("vocab*"), *folder.glob("*letters*")):
        file.unlink()


def break_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")


@pytest.mark.parametrize("damage", [cut_weights, delete_weights, delete_tokenizer, break_config])
def test_a_damaged_model_is_refused(vits: VoiceOptions, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    folder = shutil.copytree(vits.voice, tmp_path / "voice")
    damage(folder)
    with pytest.raises(InputError, match="hf download") as error:
        make_voice(VoiceOptions(str(folder)))
    assert str(folder) in str(error.value)


def test_a_model_that_does_not_speak_is_refused(encoder_dir: Path) -> None:
    with pytest.raises(InputError, match="could not be loaded"):
        make_voice(VoiceOptions(str(encoder_dir)))


@pytest.mark.skipif(importlib.util.find_spec("phonemizer") is not None, reason="phonemizer is installed")
def test_a_model_that_lacks_a_package_names_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"could not be loaded: .*phonemizer"):
        make_voice(VoiceOptions(str(save_vits(tmp_path / "voice", phonemize=True))))


def test_a_vocoder_that_is_not_here_says_how_to_get_it(speecht5: VoiceOptions) -> None:
    with pytest.raises(InputError, match=r"(?s)vocoder 'nobody/no-such-vocoder'.*hf download .* --vocoder"):
        make_voice(dataclasses.replace(speecht5, vocoder="nobody/no-such-vocoder"))


def test_speecht5_without_a_speaker_embedding(speecht5: VoiceOptions, tmp_path: Path) -> None:
    for file in (None, tmp_path / "none.npy"):
        with pytest.raises(InputError, match=rf"--speaker_embedding .*{SPEAKER_WIDTH} numbers"):
            make_voice(dataclasses.replace(speecht5, speaker_embedding=file))


WRONG_EMBEDDINGS = {
    "too wide": np.zeros(SPEAKER_WIDTH + 1),
    "too narrow": np.zeros(1),
    "a matrix": np.zeros((2, SPEAKER_WIDTH // 2)),
    "NaN": np.full(SPEAKER_WIDTH, np.nan),
    "infinite": np.full(SPEAKER_WIDTH, -np.inf),
    "too large for float32": np.full(SPEAKER_WIDTH, 1e300),
    "words": np.array(["a"] * SPEAKER_WIDTH),
    "objects": np.array([None] * SPEAKER_WIDTH),
}


@pytest.mark.parametrize("case", WRONG_EMBEDDINGS)
@pytest.mark.filterwarnings("ignore:overflow")
def test_a_wrong_speaker_embedding_is_refused(speecht5: VoiceOptions, tmp_path: Path, case: str) -> None:
    file = tmp_path / "speaker.npy"
    np.save(file, WRONG_EMBEDDINGS[case], allow_pickle=True)
    with pytest.raises(InputError, match=f"{file.name}: .*{SPEAKER_WIDTH}"):
        make_voice(dataclasses.replace(speecht5, speaker_embedding=file))


@pytest.mark.parametrize("content", [b"", b"some text", b"\x93NUMPY\x01\x00"])
def test_a_speaker_embedding_that_is_no_array_is_refused(
    speecht5: VoiceOptions, tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "speaker.npy"
    file.write_bytes(content)
    with pytest.raises(InputError, match=file.name):
        make_voice(dataclasses.replace(speecht5, speaker_embedding=file))


# MeloTTS


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
