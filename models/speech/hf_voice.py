"""Text-to-speech models of the Hugging Face hub (VITS, SpeechT5, …) as voices."""

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from librosa.effects import time_stretch
from numpy.typing import NDArray
from transformers import AutoConfig, SpeechT5HifiGan, pipeline

from models.errors import InputError
from models.speech.audio import Waveform, resample
from models.speech.identity import Identity
from models.speech.letters import for_reader
from models.speech.options import VoiceOptions
from models.speech.seeding import reproducible, text_seed


class HuggingFaceVoice:
    """A model by hub id or folder. VITS speaks at another pace by itself; others are stretched in time afterwards."""

    def __init__(self, options: VoiceOptions) -> None:
        self._speed = options.speed
        self._pipeline = _load_pipeline(options)
        model = self._pipeline.model
        self._speaks_at_speed = hasattr(model, "speaking_rate")
        if self._speaks_at_speed:
            model.speaking_rate = model.config.speaking_rate * options.speed
        self._forward_params, speaker = _speaker(options, self._pipeline)
        self.identity: Identity = {
            "engine": type(model).__name__,
            "speed": float(options.speed),
            "weights_sha256": _weights_digest(model),
            **speaker,
            "source": options.voice,
        }
        with _explained("voice", options.voice):
            self.speak("a")  # shows a model that can't speak, or lacks a package, before any long work

    def speak(self, utterance: str) -> Waveform:
        text = for_reader(utterance)
        tokenizer = self._pipeline.tokenizer
        if tokenizer is not None and len(tokenizer(text)["input_ids"]) == 0:
            return np.zeros(0, np.float32)  # not one of its characters is known; VITS would fail
        with reproducible(text_seed(text)):
            spoken = self._pipeline(text, forward_params=self._forward_params)
            waveform = np.asarray(spoken["audio"], dtype=np.float32).reshape(-1)
            if not self._speaks_at_speed and self._speed != 1.0 and len(waveform):
                waveform = time_stretch(waveform, rate=self._speed)
        return resample(waveform, int(spoken["sampling_rate"]))


def _load_pipeline(options: VoiceOptions) -> Any:
    """The model and its vocoder as float32, whatever they are stored as: the same speech from every version of transformers."""
    with _explained("voice", options.voice):
        config = AutoConfig.from_pretrained(options.voice)
    extra = {}
    with reproducible(0):  # weights that a file lacks are drawn
        if config.model_type == "speecht5":
            with _explained("vocoder", options.vocoder):
                extra["vocoder"] = SpeechT5HifiGan.from_pretrained(options.vocoder).float()
        with _explained("voice", options.voice):
            loaded = pipeline("text-to-speech", model=options.voice, device="cpu", **extra)
    loaded.model.float()
    return loaded


@contextlib.contextmanager
def _explained(option: str, model: str) -> Iterator[None]:
    """Say what to do about a model that is not there or not whole; the libraries raise errors of all kinds for it."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        names = "espeak, melo, a hub id or a folder" if option == "voice" else "a hub id or a folder"
        raise InputError(
            f"the {option} '{model}' could not be loaded: {reason}\n"
            f"Give {names}. Without network, run `hf download <hub id> --local-dir <folder>` on another machine, copy the "
            f"folder here and pass it as --{option}."
        ) from error


def _speaker(options: VoiceOptions, loaded: Any) -> tuple[dict[str, Any], Identity]:
    """The generation parameters that choose the speaker, and what tells this voice from others of the same weights."""
    config = loaded.model.config
    if config.model_type != "speecht5":
        return {}, {}
    vector = _read_speaker_embedding(options.speaker_embedding, config.speaker_embedding_dim)
    identity = {
        "speaker_sha256": hashlib.sha256(vector.tobytes()).hexdigest(),
        "vocoder_sha256": _weights_digest(loaded.vocoder),
    }
    return {"speaker_embeddings": torch.from_numpy(vector)[None]}, identity


def _read_speaker_embedding(file: Path | None, width: int) -> NDArray[np.float32]:
    """A vector of `width` finite numbers. float32 [shape=(width,)]"""
    if file is None or not file.is_file():
        raise InputError(
            f"a SpeechT5 voice needs --speaker_embedding FILE.npy, a vector of {width} numbers; given: {file}"
        )
    try:
        vector = np.squeeze(np.asarray(np.load(file, allow_pickle=False), dtype=np.float32))
    except Exception as error:  # NumPy raises errors of many kinds for a file that is none of its own
        raise InputError(f"{file}: not a vector saved with numpy.save ({error}); {width} numbers are needed") from error
    if vector.shape != (width,) or not np.isfinite(vector).all():
        finite = "all finite" if np.isfinite(vector).all() else "not all finite"
        raise InputError(
            f"{file}: holds numbers of the shape {vector.shape}, {finite}; this voice's speaker embedding has {width}, all "
            "finite"
        )
    return vector


def _weights_digest(model: Any) -> str:
    """A checksum of the weights themselves, so that a voice is the same wherever its files lie."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
