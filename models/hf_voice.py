"""Text-to-speech models of the Hugging Face hub (VITS, SpeechT5, …) as voices."""

import contextlib
import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from librosa.effects import time_stretch
from transformers import AutoConfig, SpeechT5HifiGan, pipeline

from models.audio import Waveform, resample
from models.errors import InputError
from models.files import sha256_of_file
from models.voices import Identity, VoiceOptions, text_seed


class HuggingFaceVoice:
    """A model by hub id or folder. VITS speaks at another pace by itself; others are stretched in time afterwards."""

    def __init__(self, options: VoiceOptions) -> None:
        self._speed = options.speed
        try:
            self._pipeline = _load_pipeline(options)
        except (OSError, ValueError, ImportError) as error:
            raise InputError(
                f"the voice '{options.voice}' could not be loaded: {str(error).splitlines()[0]}\n"
                "Give espeak, melo, a hub id or a folder. Without network, run `hf download <hub id> --local-dir <folder>` "
                "on another machine, copy the folder here and pass it as --voice."
            ) from error
        model = self._pipeline.model
        self._speaks_at_speed = hasattr(model, "speaking_rate")
        if self._speaks_at_speed:
            model.speaking_rate = model.config.speaking_rate * options.speed
        self._forward_params, speaker = _speaker(options, model)
        self.identity: Identity = {
            "engine": type(model).__name__,
            "speed": options.speed,
            "weights_sha256": _weights_digest(model),
            **speaker,
            "source": options.voice,
        }

    def speak(self, text: str) -> Waveform:
        with _one_thread():  # the order of additions, and with it the last bit, depends on the number of threads
            torch.manual_seed(text_seed(text))
            spoken = self._pipeline(text, forward_params=self._forward_params)
        waveform = np.asarray(spoken["audio"], dtype=np.float32).reshape(-1)
        if not self._speaks_at_speed and self._speed != 1.0:
            waveform = time_stretch(waveform, rate=self._speed)
        return resample(waveform, int(spoken["sampling_rate"]))


def _load_pipeline(options: VoiceOptions) -> Any:
    config = AutoConfig.from_pretrained(options.voice)
    extra = {"vocoder": SpeechT5HifiGan.from_pretrained(options.vocoder)} if config.model_type == "speecht5" else {}
    return pipeline("text-to-speech", model=options.voice, device="cpu", **extra)


def _speaker(options: VoiceOptions, model: Any) -> tuple[dict[str, Any], Identity]:
    """The generation parameters that choose the speaker, and what of them belongs to the identity."""
    if model.config.model_type != "speecht5":
        return {}, {}
    file = options.speaker_embedding
    width = model.config.speaker_embedding_dim
    if file is None or not file.is_file():
        raise InputError(
            f"a SpeechT5 voice needs --speaker_embedding FILE.npy, a vector of {width} numbers; given: {file}"
        )
    vector = np.load(file, allow_pickle=False).astype(np.float32).reshape(-1)
    if vector.shape != (width,) or not np.isfinite(vector).all():
        raise InputError(
            f"{file}: holds {vector.shape[0]} numbers; this voice's speaker embedding has {width}, all finite"
        )
    return {"speaker_embeddings": torch.from_numpy(vector)[None]}, {"speaker_sha256": sha256_of_file(file)}


def _weights_digest(model: Any) -> str:
    """A checksum of the weights themselves, so that a voice is the same wherever its files lie."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
