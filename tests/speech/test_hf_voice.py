"""Hugging Face voices: tiny VITS and SpeechT5 models built here. None needs the network.

Run: .venv/bin/python -m pytest tests/speech/test_hf_voice.py
"""

import dataclasses
import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fake_voices import save_vits

from models.errors import InputError
from models.speech.identity import same_voice
from models.speech.options import VoiceOptions
from models.speech.references import reference_path
from models.speech.voices import make_voice

TEXTS = ("cat", "teevog", "she has a red hat", "don't stop")
SPEAKER_WIDTH = 12

pytestmark = pytest.mark.filterwarnings("ignore:n_fft")  # tiny voices say short things


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
