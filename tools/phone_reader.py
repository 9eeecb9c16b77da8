"""The phone classifier of a pretrained encoder, by itself."""

import torch
from torch import Tensor

from models.clips.features import FRAMES_PER_SECOND, log_mel, magnitude_spectrogram
from models.errors import InputError
from models.network.aligned import AlignedNetwork
from models.network.phones import PHONE_CLASSES
from models.network.pretrained import pretrained_network
from models.recipe import Recipe
from models.speech.arpabet import espeak_class
from models.speech.audio import Waveform
from models.speech.pronunciation import utterance_of
from models.speech.reading import read_words

MAX_SECONDS = 16.0

Classes = tuple[int, ...]  # of phones


def load_reader(encoder: str) -> AlignedNetwork:
    """A pretrained encoder with its phone classifier.

    Raises
    ------
    InputError
        Where it has none, or one of other classes than espeak-ng's.
    """
    recipe = Recipe(name="reader", encoder=encoder, pooling="alignment", seed=0, data_seed=0, max_seconds=MAX_SECONDS)
    network = pretrained_network(recipe).eval()
    if (
        not isinstance(network, AlignedNetwork)
        or network.phone_head is None
        or tuple(network.phone_names) != PHONE_CLASSES
    ):
        raise InputError(f"--encoder {encoder}: has no such phone classifier; take assets/encoders/phonetic-tiny")
    return network


def phone_classes(task: str, text: str) -> tuple[Classes, ...]:
    """Of each word of a text, as espeak-ng says it."""
    words = read_words(utterance_of(task, text))
    found = ([espeak_class(name) for name in names] for names in words)
    return tuple(tuple(index for index in classes if index) for classes in found)


def magnitudes_of(waveform: Waveform) -> Tensor:
    """[shape=(201, spectrogram frames)]"""
    return magnitude_spectrogram(torch.from_numpy(waveform), round(MAX_SECONDS * FRAMES_PER_SECOND))


@torch.inference_mode()
def read_phones(network: AlignedNetwork, magnitudes: Tensor) -> Tensor:
    """Log-probabilities of the classes [shape=(encoder frames, classes)]."""
    spectrum = log_mel(magnitudes, int(network.encoder.config.num_mel_bins))
    clip = network.encode(spectrum[None], torch.tensor([spectrum.shape[1]]))
    return clip.phone_logits[0].log_softmax(dim=-1)
