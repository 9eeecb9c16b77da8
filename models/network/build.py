"""Building networks: for training, from pretrained weights; afterwards, from what a checkpoint holds."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor
from transformers.models.whisper.modeling_whisper import WhisperDecoder, WhisperEncoder

from models.clips.features import frames_for_seconds
from models.clips.tokens import TextTokenizer
from models.errors import InputError
from models.network.aligned import AlignedNetwork, MatchedNetwork
from models.network.comparison import ComparisonNetwork
from models.network.decoder import decoder_architecture, load_decoder
from models.network.encoder import architecture, load_encoder, locate_encoder
from models.network.joint import JointNetwork
from models.network.phones import read_phones
from models.network.verifier import VerifierNetwork
from models.recipe import Recipe

# Beside a pretrained encoder: the weights of an aligned network's other parts, which were pretrained with it.
COMPARISON_FILE = "comparison.safetensors"


def make_network(
    encoder: WhisperEncoder,
    recipe: Recipe,
    phone_classes: int = 0,
    decoder: WhisperDecoder | None = None,
    tokenizer: TextTokenizer | None = None,
) -> ComparisonNetwork:
    """The kind of network that a recipe asks for.

    Parameters
    ----------
    phone_classes
        Of a phone classifier, where there is one.
    decoder, tokenizer
        Of a verifier.

    Raises
    ------
    InputError
        Where a verifier is to be made without them.
    """
    if recipe.layout == "text":
        if decoder is None or tokenizer is None:
            raise InputError(f"{recipe.name}: a verifier needs a decoder and its tokenizer")
        return VerifierNetwork(encoder, decoder, recipe, tokenizer)
    if recipe.layout == "apart":
        return AlignedNetwork(encoder, recipe, phone_classes)
    if recipe.layout == "matched":
        return MatchedNetwork(encoder, recipe, phone_classes)
    return JointNetwork(encoder, recipe)


def pretrained_network(recipe: Recipe) -> ComparisonNetwork:
    """A network to train: its encoder is pretrained, and so is what compares frames where the encoder's folder has it."""
    source = locate_encoder(recipe.encoder)
    encoder = load_encoder(source, frames_for_seconds(recipe.max_seconds))
    if recipe.layout == "text":
        return make_network(encoder, recipe, 0, *load_decoder(source))
    file = Path(source) / COMPARISON_FILE
    if recipe.layout == "joined" or not file.is_file():
        return make_network(encoder, recipe)
    weights = {name: tensor.float() for name, tensor in load_file(file).items()}
    network = make_network(encoder, recipe, len(weights["phone_head.bias"]))
    network.phone_names = read_phones(Path(source), network.phone_classes)
    if isinstance(network, MatchedNetwork):
        weights = {**_part(weights, "phone_head."), **_part(weights, "pooling.", "matching.")}  # its head is its own
    try:
        left_out = network.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        raise InputError(f"{file}: does not fit the recipe's head; give --head linear ({error})") from error
    if left_out.unexpected_keys:
        raise InputError(f"{file}: holds weights that the network does not have, such as {left_out.unexpected_keys[0]}")
    for name, parameter in network.named_parameters():
        if name.startswith("phone_head."):  # what it tells has no gradient
            parameter.requires_grad_(False)
    return network


def _part(weights: Mapping[str, Tensor], prefix: str, new_prefix: str | None = None) -> dict[str, Tensor]:
    """The weights of one part of a network, under another name where one is given."""
    prefixed = {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}
    return {f"{new_prefix or prefix}{name}": tensor for name, tensor in prefixed.items()}


def network_settings(network: ComparisonNetwork) -> dict[str, Any]:
    """Plain values from which, with the recipe, `rebuild_network` makes the same network again."""
    if isinstance(network, VerifierNetwork):
        decoder, tokenizer = decoder_architecture(network.decoder), network.tokenizer.to_dict()
        return {**architecture(network.encoder), "decoder": decoder, "tokenizer": tokenizer}
    phones = {"phone_classes": network.phone_classes, "phones": list(network.phone_names)}
    return {**architecture(network.encoder), **phones}
