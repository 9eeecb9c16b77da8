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
    batch, n_positions, width = hidden.shape
    hidden = as_weights(hidden, attention.q_proj)
    heard = hidden if heard is None else as_weights(heard, attention.k_proj)

    def split(states: Tensor) -> Tensor:  # (batch, heads, positions, width of a head)
        return states.view(*states.shape[:2], attention.num_heads, -1).transpose(1, 2)

    queries, keys, values = (
        split(project(states))
        for project, states in ((attention.q_proj, hidden), (attention.k_proj, heard), (attention.v_proj, heard))
    )
    if rows is not None:
        keys, values, mask = keys[rows], values[rows], None if mask is None else mask[rows]
    dropout = attention.dropout if attention.training else 0.0
    mixed = nn.functional.scaled_dot_product_attention(
        queries, keys, values, attn_mask=mask, dropout_p=dropout, is_causal=causal
    )
    return attention.out_proj(mixed.transpose(1, 2).reshape(batch, n_positions, width))


def attention_weights(attention: Any, hidden: Tensor, heard: Tensor, mask: Tensor) -> Tensor:
    """How much of each key each position looks at, as in `attend`: [shape=(batch, heads, positions, keys)]."""
    queries, keys = (
        project(states).unflatten(2, (attention.num_heads, -1)).transpose(1, 2)
        for project, states in (
            (attention.q_proj, as_weights(hidden, attention.q_proj)),
            (attention.k_proj, as_weights(heard, attention.k_proj)),
        )
    )
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
