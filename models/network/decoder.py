"""The Whisper decoder, given a whole text at once (teacher forcing)."""

from typing import Any

import torch
from torch import Tensor, nn

from models.network.layers import (
    add,
    attend,
    attention_weights,
    feed_forward,
    lower_attention,
    lower_feed_forward,
    within_half,
)
from models.network.whisper import WhisperDecoder

# What makes a decoder, and nothing that changes its name between versions of transformers.
ARCHITECTURE = (
    "d_model",
    "vocab_size",
    "decoder_layers",
    "decoder_attention_heads",
    "decoder_ffn_dim",
    "max_target_positions",
    "activation_function",
    "dropout",
    "attention_dropout",
    "activation_dropout",
    "scale_embedding",
    "pad_token_id",
)


def decoder_architecture(decoder: WhisperDecoder) -> dict[str, Any]:
    """Plain values from which `build_decoder` makes the same decoder again, without its weights."""
    return {name: getattr(decoder.config, name) for name in ARCHITECTURE}


def build_decoder(settings: dict[str, Any]) -> WhisperDecoder:
    """A decoder with weights yet to be loaded."""
    return WhisperDecoder({name: settings[name] for name in ARCHITECTURE})


def decode(
    decoder: WhisperDecoder,
    tokens: Tensor,
    heard: Tensor,
    heard_mask: Tensor,
    rows: Tensor | None = None,
    asked: list[Tensor] | None = None,
) -> Tensor:
    """The decoder's last hidden states, each at the position of a token that it has been fed.

    Parameters
    ----------
    tokens : int64 [shape=(texts, tokens)]
        Padded at the end, with anything: no token sees a later one.
    heard : [shape=(batch, frames, d_model)]
        The encoder's frames.
    heard_mask : bool [shape=(batch, frames)]
        Those that count.
    rows : int64 [shape=(texts,)]
        Which clip each text is read with; None: each with its own.
    asked
        Is given each layer's states as they look at the frames.

    Returns
    -------
    [shape=(texts, tokens, d_model)]
    """
    mask = heard_mask[:, None, None]
    hidden = decoder.embed_tokens(tokens) + decoder.embed_positions.weight[: tokens.shape[1]]
    hidden = nn.functional.dropout(hidden, decoder.dropout, decoder.training)
    for layer in decoder.layers:
        hidden = add(layer, hidden, attend(layer.self_attn, layer.self_attn_layer_norm(hidden), causal=True))
        looking = layer.encoder_attn_layer_norm(hidden)
        if asked is not None:
            asked.append(looking)
        hidden = add(layer, hidden, attend(layer.encoder_attn, looking, mask, heard, rows=rows))
        hidden = within_half(feed_forward(layer, hidden))
    return decoder.layer_norm(hidden)


def cross_attention(decoder: WhisperDecoder, tokens: Tensor, heard: Tensor, heard_mask: Tensor) -> Tensor:
    """Where each token looks, by every head of every layer [shape=(batch, heads of all layers, tokens, frames)].

    Parameters
    ----------
    tokens, heard, heard_mask
        As for `decode`.
    """
    asked: list[Tensor] = []
    decode(decoder, tokens, heard, heard_mask, asked=asked)
    mask = heard_mask[:, None, None]
    looks = zip(decoder.layers, asked, strict=True)
    return torch.cat([attention_weights(layer.encoder_attn, states, heard, mask) for layer, states in looks], dim=1)


def lower_decoder_precision(decoder: WhisperDecoder, dtype: torch.dtype) -> None:
    """Compute matrix products in `dtype`, for inference: on a CPU the values of what was heard, and nothing else.

    Texts are short, so that the rest is little of the work but for the keys, whose rounding is felt in the score
    (docs/experiments.md has the figures). A GPU is slower by far in float32; there all of the layers' products are in `dtype`.
    """
    on_cpu = decoder.embed_tokens.weight.device.type == "cpu"
    for layer in decoder.layers:
        if on_cpu:
            layer.encoder_attn.v_proj.to(dtype)
            continue
        lower_attention(layer.self_attn, dtype)
        lower_attention(layer.encoder_attn, dtype)
        lower_feed_forward(layer, dtype)
