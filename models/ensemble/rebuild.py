"""Trained networks, from what a checkpoint holds."""

import torch

from models.clips.tokens import tokenizer_from_dict
from models.ensemble.checkpoint import Checkpoint
from models.errors import InputError
from models.network.build import make_network
from models.network.comparison import ComparisonNetwork
from models.network.decoder import build_decoder
from models.network.encoder import build_encoder
from models.network.phones import PHONE_CLASSES


def rebuild_network(checkpoint: Checkpoint, device: torch.device | str = "cpu") -> ComparisonNetwork:
    """The trained network in float32, in evaluation mode. No random weights are drawn first."""
    with torch.device("meta"):
        network = _blank_network(checkpoint)
    weights = {name: tensor.to(device).float() for name, tensor in checkpoint.weights.items()}
    network.load_state_dict(weights, assign=True)
    return network.eval()


def check_weights(checkpoint: Checkpoint) -> None:
    """That the weights are those of the checkpoint's network, without reading or making any.

    Raises
    ------
    InputError
        Naming the first that is missing, surplus or of another shape.
    """
    try:
        with torch.device("meta"):
            network = _blank_network(checkpoint)
    except Exception as error:  # settings of a stranger can fail in almost any way
        raise InputError(
            f"{checkpoint.file_name}: no network can be built from its recipe and encoder ({type(error).__name__}: "
            f"{str(error)[:200]}); train it again"
        ) from error
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in checkpoint.weights.items()}
    wrong = [name for name in {**expected, **found} if expected.get(name) != found.get(name)]
    if wrong:
        raise InputError(
            f"{checkpoint.file_name}: {len(wrong)} weights do not fit its recipe and encoder, the first {wrong[0]!r} "
            f"(expected {expected.get(wrong[0])}, found {found.get(wrong[0])}); train it again"
        )


def _blank_network(checkpoint: Checkpoint) -> ComparisonNetwork:
    settings = checkpoint.encoder
    encoder, tokenizer = build_encoder(settings), tokenizer_from_dict(settings.get("tokenizer"))
    decoder = build_decoder(settings["decoder"]) if "decoder" in settings else None
    phones, weighs = settings.get("phone_classes", 0), settings.get("weighs_phones", False)
    network = make_network(encoder, checkpoint.recipe, phones, decoder, tokenizer, weighs)
    network.phone_names = tuple(settings.get("phones", network.phone_names))  # older ones name none
    if weighs and network.phone_names != PHONE_CLASSES:
        raise InputError("its scores rest on phones that are not those of this version")
    return network
