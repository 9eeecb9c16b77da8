"""Which kind of network a recipe asks for, and the plain values from which it is built again."""

from typing import Any

from models.clips.tokens import TextTokenizer
from models.errors import InputError
from models.network.aligned import AlignedNetwork, MatchedNetwork
from models.network.comparison import ComparisonNetwork
from models.network.decoder import decoder_architecture
from models.network.encoder import architecture
from models.network.joint import JointNetwork
from models.network.verifier import VerifierNetwork
from models.network.whisper import WhisperDecoder, WhisperEncoder
from models.recipe import Recipe


def make_network(
    encoder: WhisperEncoder,
    recipe: Recipe,
    phone_classes: int = 0,
    decoder: WhisperDecoder | None = None,
    tokenizer: TextTokenizer | None = None,
    weighs_phones: bool = False,
) -> ComparisonNetwork:
    """The kind of network that a recipe asks for.

    Parameters
    ----------
    phone_classes
        Of a phone classifier, where there is one.
    decoder, tokenizer
        Of a verifier.
    weighs_phones
        As of `VerifierNetwork`.

    Raises
    ------
    InputError
        Where a verifier is to be made without them.
    """
    if recipe.layout == "text":
        if decoder is None or tokenizer is None:
            raise InputError(f"{recipe.name}: a verifier needs a decoder and its tokenizer")
        return VerifierNetwork(encoder, decoder, recipe, tokenizer, phone_classes, weighs_phones)
    if recipe.layout == "apart":
        return AlignedNetwork(encoder, recipe, phone_classes)
    if recipe.layout == "matched":
        return MatchedNetwork(encoder, recipe, phone_classes)
    return JointNetwork(encoder, recipe)


def network_settings(network: ComparisonNetwork) -> dict[str, Any]:
    """Plain values from which, with the recipe, `rebuild_network` makes the same network again."""
    phones = {"phone_classes": network.phone_classes, "phones": list(network.phone_names)}
    if isinstance(network, VerifierNetwork):
        decoder, tokenizer = decoder_architecture(network.decoder), network.tokenizer.to_dict()
        settings = {**architecture(network.encoder), "decoder": decoder, "tokenizer": tokenizer}
        weighs = {"weighs_phones": network.phone_evidence is not None}
        return {**settings, **phones, **weighs} if network.phone_classes else settings
    return {**architecture(network.encoder), **phones}
