"""The parts that Whisper's encoder and decoder share, run on what there is instead of on inputs of one length."""

from typing import Any

import torch
from torch import Tensor, nn


def attend(
    attention: Any,
    hidden: Tensor,
    mask: Tensor | None = None,
    heard: Tensor | None = None,
    causal: bool = False,
    rows: Tensor | None = None,
) -> Tensor:
    """Multi-head attention of a Whisper layer.

    Parameters
    ----------
    hidden : [shape=(batch, positions, width)]
        What asks.
    mask : bool [shape=(batch, 1, positions or 1, keys)]
        True where it may look; None: everywhere.
    heard : [shape=(batch, keys, width)]
        What is looked at; None: `hidden` itself.
    causal
        No position looks at a later one.
    rows : int64 [shape=(batch,)]
        Which row of `heard` and its mask each row of `hidden` looks at; None: each at its own.
    """
    keys, values = keys_and_values(attention, hidden if heard is None else heard)
    if rows is not None:
        keys, values, mask = keys[rows], values[rows], None if mask is None else mask[rows]
    return look(attention, hidden, keys, values, mask, causal)


def keys_and_values(attention: Any, heard: Tensor) -> tuple[Tensor, Tensor]:
    """What is looked at and what is seen there, each [shape=(batch, heads, keys, width of a head)]."""
    heard = as_weights(heard, attention.k_proj)
    return _split(attention, attention.k_proj(heard)), _split(attention, attention.v_proj(heard))


def look(
    attention: Any, hidden: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None, causal: bool = False
) -> Tensor:
    """As `attend`, with `keys_and_values` at hand; those of one row are looked at by all."""
    queries = _split(attention, attention.q_proj(as_weights(hidden, attention.q_proj)))
    if len(keys) != len(queries):
        keys, values = (part.expand(len(queries), -1, -1, -1) for part in (keys, values))
    dropout = attention.dropout if attention.training else 0.0
    mixed = nn.functional.scaled_dot_product_attention(
        queries, keys, values, attn_mask=mask, dropout_p=dropout, is_causal=causal
    )
    return attention.out_proj(mixed.transpose(1, 2).flatten(2))


def _split(attention: Any, states: Tensor) -> Tensor:
    return states.unflatten(2, (attention.num_heads, -1)).transpose(1, 2)


def attention_weights(attention: Any, hidden: Tensor, heard: Tensor, mask: Tensor) -> Tensor:
    """How much of each key each position looks at, as in `attend`: [shape=(batch, heads, positions, keys)]."""
    queries = _split(attention, attention.q_proj(as_weights(hidden, attention.q_proj)))
    keys = _split(attention, attention.k_proj(as_weights(heard, attention.k_proj)))
    products = queries @ keys.transpose(2, 3) / queries.shape[-1] ** 0.5
    return products.float().masked_fill(~mask, -torch.inf).softmax(dim=-1)


def feed_forward(layer: Any, hidden: Tensor) -> Tensor:
    """A layer's last part, with its norm before and the sum behind it."""
    inner = layer.activation_fn(layer.fc1(as_weights(layer.final_layer_norm(hidden), layer.fc1)))
    inner = layer.fc2(nn.functional.dropout(inner, layer.activation_dropout, layer.training))
    return add(layer, hidden, inner)


def add(layer: Any, hidden: Tensor, part: Tensor) -> Tensor:
    """The sum along the layers."""
    return hidden + nn.functional.dropout(part, layer.dropout, layer.training)


def as_weights(states: Tensor, linear: nn.Linear) -> Tensor:
    """In the number format of the weights, which `lower_precision` may have changed."""
    return states.to(linear.weight.dtype)


def within_half(hidden: Tensor) -> Tensor:
    """As Whisper does: a large activation in float16 must not become infinite."""
    if hidden.dtype != torch.float16:
        return hidden
    limit = torch.finfo(torch.float16).max - 1000
    return hidden.clamp(-limit, limit)
