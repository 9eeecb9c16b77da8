"""The parts that Whisper's encoder and decoder share, run on what there is instead of on inputs of one length."""

from typing import Any

import torch
from torch import Tensor, nn

from models.base.compute import bfloat16_is_fast


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
    return _split(attention, project(attention.k_proj, heard)), _split(attention, project(attention.v_proj, heard))


def look(
    attention: Any, hidden: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None, causal: bool = False
) -> Tensor:
    """As `attend`, with `keys_and_values` at hand; those of one row are looked at by all."""
    queries = _split(attention, project(attention.q_proj, hidden))
    keys, values = keys.to(queries.dtype), values.to(queries.dtype)
    if len(keys) != len(queries):
        keys, values = (part.expand(len(queries), -1, -1, -1) for part in (keys, values))
    dropout = attention.dropout if attention.training else 0.0
    mixed = nn.functional.scaled_dot_product_attention(
        queries, keys, values, attn_mask=mask, dropout_p=dropout, is_causal=causal
    )
    return project(attention.out_proj, mixed.transpose(1, 2).flatten(2))


def _split(attention: Any, states: Tensor) -> Tensor:
    return states.unflatten(2, (attention.num_heads, -1)).transpose(1, 2)


def attention_weights(attention: Any, hidden: Tensor, heard: Tensor, mask: Tensor) -> Tensor:
    """How much of each key each position looks at, as in `attend`: [shape=(batch, heads, positions, keys)]."""
    queries = _split(attention, project(attention.q_proj, hidden))
    keys = _split(attention, project(attention.k_proj, heard))
    products = queries @ keys.to(queries.dtype).transpose(2, 3) / queries.shape[-1] ** 0.5
    return products.float().masked_fill(~mask, -torch.inf).softmax(dim=-1)


def feed_forward(layer: Any, hidden: Tensor) -> Tensor:
    """A layer's last part, with its norm before and the sum behind it."""
    inner = _inner(layer, as_weights(layer.final_layer_norm(hidden), layer.fc1))
    inner = nn.functional.dropout(inner, layer.activation_dropout, layer.training)
    return add(layer, hidden, project(layer.fc2, inner))


def _inner(layer: Any, states: Tensor) -> Tensor:
    """A layer's inner units. Where the bias was left in float32, sum and activation are computed in it, and rounded once."""
    weight, bias = layer.fc1.weight, layer.fc1.bias
    if bias.dtype == weight.dtype:
        return layer.activation_fn(layer.fc1(states))
    return torch.ops.mkldnn._linear_pointwise(states, weight, bias, "gelu", [], "none")


def _fuses(layer: Any, dtype: torch.dtype) -> bool:
    """Whether oneDNN computes a product with its activation in one go: in bf16, on a CPU that has it."""
    on_cpu = layer.fc1.weight.device.type == "cpu" and dtype == torch.bfloat16 and bfloat16_is_fast()
    return on_cpu and layer.activation_fn is nn.functional.gelu and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def add(layer: Any, hidden: Tensor, part: Tensor) -> Tensor:
    """The sum along the layers."""
    return hidden + nn.functional.dropout(part, layer.dropout, layer.training)


def lower(linear: nn.Linear, dtype: torch.dtype) -> None:
    """Compute a linear layer's product in `dtype`, for inference; its bias stays as it is.

    A bias that is rounded is wrong by the same in every frame, which does not cancel out as other roundings do.
    """
    linear.weight.data = linear.weight.data.to(dtype)


def lower_feed_forward(layer: Any, dtype: torch.dtype) -> None:
    """The same of a layer's last part; of its inner units the bias stays only where no pass over all of them is needed for it."""
    if _fuses(layer, dtype):
        lower(layer.fc1, dtype)
    else:
        layer.fc1.to(dtype)
    lower(layer.fc2, dtype)


def lower_attention(attention: Any, dtype: torch.dtype) -> None:
    """The same of an attention's products; queries and values are multiplied in `dtype`, whatever their biases are."""
    for linear in (attention.q_proj, attention.k_proj, attention.v_proj):
        linear.to(dtype)
    lower(attention.out_proj, dtype)


def project(linear: nn.Linear, states: Tensor) -> Tensor:
    """A linear layer of states, multiplied in the number format of the weights; a bias in another one is added in its own."""
    states = as_weights(states, linear)
    if linear.bias is None or linear.bias.dtype == linear.weight.dtype:
        return linear(states)
    return nn.functional.linear(states, linear.weight) + linear.bias


def as_weights(states: Tensor, linear: nn.Linear) -> Tensor:
    """In the number format of the weights, which `lower_precision` may have changed."""
    return states.to(linear.weight.dtype)


def within_half(hidden: Tensor) -> Tensor:
    """As Whisper does: a large activation in float16 must not become infinite."""
    if hidden.dtype != torch.float16:
        return hidden
    limit = torch.finfo(torch.float16).max - 1000
    return hidden.clamp(-limit, limit)
