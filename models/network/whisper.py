"""Whisper's encoder and decoder: their parts, under the names that published weights have.

How they are run is told in encoder.py and decoder.py, on what there is instead of on inputs of one length. transformers has the
same parts, and takes seconds to import; it is needed for weights that were published, not for networks that were trained here.
"""

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from models.errors import InputError

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": nn.functional.gelu,
    "relu": nn.functional.relu,
    "silu": nn.functional.silu,
}
_KERNEL = 3  # of both convolutions


class Attention(nn.Module):
    """Projections of multi-head attention; keys have no bias, which would change nothing."""

    def __init__(self, width: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        if width % num_heads:
            raise InputError(f"a width of {width} can't be shared by {num_heads} attention heads")
        self.num_heads, self.dropout = num_heads, dropout
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj, self.q_proj, self.out_proj = (nn.Linear(width, width) for _ in range(3))


class Layer(nn.Module):
    """A pre-norm transformer layer; those of a decoder attend to the encoder's frames as well."""

    def __init__(self, config: SimpleNamespace, num_heads: int, inner: int, attends_to_encoder: bool) -> None:
        super().__init__()
        width = config.d_model
        self.dropout, self.activation_dropout = config.dropout, config.activation_dropout
        self.activation_fn = _activation(config.activation_function)
        self.self_attn = Attention(width, num_heads, config.attention_dropout)
        self.self_attn_layer_norm = nn.LayerNorm(width)
        if attends_to_encoder:
            self.encoder_attn = Attention(width, num_heads, config.attention_dropout)
            self.encoder_attn_layer_norm = nn.LayerNorm(width)
        self.fc1, self.fc2 = nn.Linear(width, inner), nn.Linear(inner, width)
        self.final_layer_norm = nn.LayerNorm(width)


class WhisperEncoder(nn.Module):
    """Two convolutions, a fixed table of positions, layers, a norm.

    Parameters
    ----------
    settings
        The names of `encoder.ARCHITECTURE`, as transformers' configuration has them; kept as `config`.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__()
        self.config = config = SimpleNamespace(**settings)
        width = config.d_model
        self.dropout, self.layerdrop = config.dropout, config.encoder_layerdrop
        self.conv1 = nn.Conv1d(config.num_mel_bins, width, _KERNEL, padding=1)
        self.conv2 = nn.Conv1d(width, width, _KERNEL, stride=2, padding=1)
        self.embed_positions = _table(config.max_source_positions, width)
        heads, inner = config.encoder_attention_heads, config.encoder_ffn_dim
        self.layers: Any = nn.ModuleList(Layer(config, heads, inner, False) for _ in range(config.encoder_layers))
        self.layer_norm = nn.LayerNorm(width)


class WhisperDecoder(nn.Module):
    """Tables of tokens and positions, layers that attend to an encoder's frames, a norm.

    Parameters
    ----------
    settings
        The names of `decoder.ARCHITECTURE`.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__()
        self.config = config = SimpleNamespace(**settings)
        self.dropout = config.dropout
        self.embed_tokens = _table(config.vocab_size, config.d_model)
        self.embed_positions = _table(config.max_target_positions, config.d_model)
        heads, inner = config.decoder_attention_heads, config.decoder_ffn_dim
        self.layers: Any = nn.ModuleList(Layer(config, heads, inner, True) for _ in range(config.decoder_layers))
        self.layer_norm = nn.LayerNorm(config.d_model)


def _activation(name: str) -> Callable[[Tensor], Tensor]:
    """Of a layer's inner units, by transformers' name.

    Raises
    ------
    InputError
        Where it is none that a Whisper has.
    """
    if name not in _ACTIVATIONS:
        raise InputError(f"activation function {name!r}: must be one of {', '.join(_ACTIVATIONS)}, as of any Whisper")
    return _ACTIVATIONS[name]


def _table(rows: int, width: int) -> nn.Embedding:
    """Of weights yet to be loaded, which are not trained; drawing them on torch's meta device would import its compiler."""
    return nn.Embedding.from_pretrained(torch.zeros(rows, width), freeze=True)
