"""Building networks: for training, from pretrained weights; afterwards, from what a checkpoint holds."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from models.aligned import AlignedNetwork
from models.checkpoint import Checkpoint
from models.encoder import architecture, build_encoder, load_encoder, locate_encoder
from models.errors import InputError
from models.features import frames_for_seconds
from models.matched import MatchedNetwork
from models.network import ComparisonNetwork, JointNetwork
from models.recipe import Recipe

# Beside a pretrained encoder: the weights of an aligned network's other parts, which were pretrained with it.
COMPARISON_FILE = "comparison.safetensors"


def make_network(encoder: WhisperEncoder, recipe: Recipe, phone_classes: int = 0) -> ComparisonNetwork:
    """The kind of network that a recipe asks for."""
    if recipe.layout == "apart":
        return AlignedNetwork(encoder, recipe, phone_classes)
    if recipe.layout == "matched":
        return MatchedNetwork(encoder, recipe, phone_classes)
    return JointNetwork(encoder, recipe)


def pretrained_network(recipe: Recipe) -> ComparisonNetwork:
    """A network to train: its encoder is pretrained, and so is what compares frames where the encoder's folder has it."""
    source = locate_encoder(recipe.encoder)
    encoder = load_encoder(source, frames_for_seconds(recipe.max_seconds))
    file = Path(source) / COMPARISON_FILE
    if recipe.layout == "joined" or not file.is_file():
        return make_network(encoder, recipe)
    weights = {name: tensor.float() for name, tensor in load_file(file).items()}
    network = make_network(encoder, recipe, len(weights["phone_head.bias"]))
    if isinstance(network, MatchedNetwork):
        weights = {**_part(weights, "phone_head."), **_part(weights, "pooling.", "matching.")}  # its head is its own
    try:
        left_out = network.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        raise InputError(f"{file}: does not fit the recipe's head; give --head linear ({error})") from error
    if left_out.unexpected_keys:
        raise InputError(f"{file}: holds weights that the network does not have, such as {left_out.unexpected_keys[0]}")
    for name, parameter in network.named_parameters():
        if name.startswith("phone_head."):  # evidence has no gradient
            parameter.requires_grad_(False)
    return network


def _part(weights: Mapping[str, Tensor], prefix: str, new_prefix: str | None = None) -> dict[str, Tensor]:
    """The weights of one part of a network, under another name where one is given."""
    prefixed = {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}
    return {f"{new_prefix or prefix}{name}": tensor for name, tensor in prefixed.items()}


def network_settings(network: ComparisonNetwork) -> dict[str, Any]:
    """Plain values from which, with the recipe, `rebuild_network` makes the same network again."""
    return {**architecture(network.encoder), "phone_classes": network.phone_classes}


def rebuild_network(checkpoint: Checkpoint, device: torch.device | str = "cpu") -> ComparisonNetwork:
    """The trained network in float32, in evaluation mode. No random weights are drawn first."""
    with torch.device("meta"):
        network = _blank_network(checkpoint)
    weights = {name: tensor.to(device).float() for name, tensor in checkpoint.weights.items()}
    network.load_state_dict(weights, assign=True)
    return network.eval()


def check_weights(checkpoint: Checkpoint) -> None:
    """That the weights are those of the checkpoint's network, without reading or making any.

    raises : InputError naming the first that is missing, surplus or of another shape
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
    encoder = build_encoder(checkpoint.encoder)
    return make_network(encoder, checkpoint.recipe, checkpoint.encoder.get("phone_classes", 0))
