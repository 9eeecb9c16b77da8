"""A trained network that is ready to be asked about single clips."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from models.clips.features import frames_for_seconds, log_mel, magnitude_spectrogram
from models.clips.groups import GRADES, TASKS
from models.clips.tables import scalars
from models.ensemble.checkpoint import Checkpoint
from models.ensemble.rebuild import check_weights, rebuild_network
from models.errors import InputError
from models.inference.scoring import Member
from models.network.aligned import AlignedNetwork
from models.network.comparison import ComparisonNetwork
from models.recipe import Recipe
from models.speech.samples import SAMPLE_RATE_HZ, Waveform, check_is_answer, check_samples

Speak = Callable[[str], Waveform]  # the voice that the model knows, on a text


@dataclass(frozen=True)
class LoadedModel:
    """A network in memory, with what asking it takes.

    Attributes
    ----------
    name
        What messages call it.
    reads_phones
        Whether its phone classifier is asked, where it has one.
    """

    name: str
    network: ComparisonNetwork
    recipe: Recipe
    device: torch.device
    reads_phones: bool = True

    @property
    def aligned(self) -> AlignedNetwork | None:
        return self.network if isinstance(self.network, AlignedNetwork) else None

    @property
    def n_mels(self) -> int:
        return int(self.network.encoder.config.num_mel_bins)

    @property
    def max_frames(self) -> int:
        return frames_for_seconds(self.recipe.max_seconds)

    def heard_seconds(self, waveform: Waveform) -> float:
        """How much of it the model hears."""
        return min(len(waveform) / SAMPLE_RATE_HZ, self.recipe.max_seconds)

    def spectrum(self, waveform: Waveform) -> Tensor:
        """Log-mel of as much as the model hears: float32 [shape=(n_mels, frames)], on the CPU."""
        return log_mel(magnitude_spectrogram(torch.from_numpy(waveform), self.max_frames), self.n_mels)


def load_model(model: Checkpoint | Member | LoadedModel, device: torch.device | str = "cpu") -> LoadedModel:
    """The network of a checkpoint or of an ensemble's member, in float32; what is loaded already is left as it is."""
    if isinstance(model, LoadedModel):
        return model
    checkpoint = model.checkpoint if isinstance(model, Member) else model
    check_weights(checkpoint)
    network = rebuild_network(checkpoint, device)
    return LoadedModel(checkpoint.file_name, network, checkpoint.recipe, torch.device(device))


def clip_scalars(task: str, grade: str) -> Tensor:
    """Task and grade as a network takes them: float32 [shape=(1, 2)]."""
    for name, value, known in (("task", task, TASKS), ("grade", grade, GRADES)):
        if value not in known:
            raise InputError(f"{name} {value!r}: must be one of {', '.join(known)}")
    return torch.from_numpy(scalars(pd.DataFrame({"task": [task], "grade": [grade]})))


def check_response(response: Waveform) -> Waveform:
    """float32; refused where it is no answer."""
    if response.ndim != 1:
        raise InputError(f"a response of shape {response.shape}: must be one channel at 16 kHz")
    check_samples(response)
    check_is_answer(response)
    return np.ascontiguousarray(response, dtype=np.float32)
