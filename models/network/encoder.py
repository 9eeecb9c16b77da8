"""The Whisper encoder, run on inputs of any length."""

from typing import Any

import torch
from torch import Tensor, nn

from models.clips.features import ENCODER_STRIDE
from models.network.layers import add, attend, feed_forward, lower_attention, lower_feed_forward, within_half
from models.network.whisper import WhisperEncoder

# What makes an encoder, and nothing that changes its name between versions of transformers.
ARCHITECTURE = (
    "d_model",
    "encoder_layers",
    "encoder_attention_heads",
    "encoder_ffn_dim",
    "num_mel_bins",
    "max_source_positions",
    "activation_function",
    "dropout",
    "attention_dropout",
    "activation_dropout",
    "encoder_layerdrop",
    "scale_embedding",
)


def architecture(encoder: WhisperEncoder) -> dict[str, Any]:
    """Plain values from which `build_encoder` makes the same encoder again, without its weights."""
    return {name: getattr(encoder.config, name) for name in ARCHITECTURE}


def build_encoder(settings: dict[str, Any]) -> WhisperEncoder:
    """An encoder with weights yet to be loaded."""
    return WhisperEncoder({name: settings[name] for name in ARCHITECTURE})


def encode(
    encoder: WhisperEncoder,
    log_mel: Tensor,
    lengths: Tensor | None = None,
    boundaries: Tensor | None = None,
) -> Tensor:
    """The encoder's frames, at any length up to that of its position table.

    `transformers` runs a Whisper encoder on inputs of one length only; here the layers are run on what there is.

    Parameters
    ----------
    log_mel : [shape=(batch, n_mels, n_frames)]
    lengths : int64 [shape=(batch,)]
        Spectrogram frames of each clip. What lies beyond is shut out of convolutions and attention, so a clip gives
        the same frames in any batch. None: everything counts, as in the published models, which read the silence that
        pads a clip.
    boundaries : int64 [shape=(batch,)]
        Encoder frames (not spectrogram frames) of the first of two sides that each clip joins; needs lengths.
        Positions start anew with the second side, and each side attends to itself alone.

    Returns
    -------
    [shape=(batch, ceil(n_frames / 2), d_model)]
        Frames beyond a clip's end mean nothing.
    """
    n_frames = encoder_frames(log_mel.shape[2])
    places = torch.arange(n_frames, device=log_mel.device)
    inside, mask = None, None
    if lengths is not None:
        inside = frame_mask(lengths, log_mel.shape[2])[:, None]
        mask = frame_mask(encoder_lengths(lengths), n_frames)[:, None, None]
        log_mel = log_mel * inside
        if boundaries is not None:
            is_second = places >= boundaries[:, None]
            places = places - boundaries[:, None] * is_second
            mask = mask & (is_second[:, :, None] == is_second[:, None, :])[:, None]
    hidden = nn.functional.gelu(encoder.conv1(log_mel))
    hidden = nn.functional.gelu(encoder.conv2(hidden if inside is None else hidden * inside)).transpose(1, 2)
    hidden = hidden.contiguous() + encoder.embed_positions.weight[places]  # else all sums lie across memory, too
    hidden = nn.functional.dropout(hidden, encoder.dropout, encoder.training)
    for layer in encoder.layers:
        if not (encoder.training and encoder.layerdrop > 0 and float(torch.rand(())) < encoder.layerdrop):
            hidden = _run_layer(layer, hidden, mask)
    return encoder.layer_norm(hidden)


def lower_precision(encoder: WhisperEncoder, dtype: torch.dtype) -> None:
    """Compute the layers' matrix products in `dtype`, for inference.

    Sums along the layers with the biases that are added to them, norms, the convolutions and the first layer's attention stay in
    float32: what is rounded away there is felt in all that follows, and it is little of the work (docs/experiments.md has the
    figures).
    """
    for index, layer in enumerate(encoder.layers):
        if index > 0:
            lower_attention(layer.self_attn, dtype)
        lower_feed_forward(layer, dtype)


def encoder_frames(n_frames: int) -> int:
    """Encoder frames of so many spectrogram frames: half, rounded up."""
    return -(-n_frames // ENCODER_STRIDE)


def encoder_lengths(lengths: Tensor) -> Tensor:
    """The same for a tensor of lengths."""
    return (lengths + ENCODER_STRIDE - 1) // ENCODER_STRIDE


def frame_mask(lengths: Tensor, n_frames: int) -> Tensor:
    """True where a frame is inside the clip: bool [shape=(batch, n_frames)]."""
    return torch.arange(n_frames, device=lengths.device) < lengths[:, None]


def _run_layer(layer: Any, hidden: Tensor, mask: Tensor | None) -> Tensor:
    """A pre-norm transformer layer. mask : bool [shape=(batch, 1, frames or 1, frames)], True where attention may look."""
    hidden = add(layer, hidden, attend(layer.self_attn, layer.self_attn_layer_norm(hidden), mask))
    return within_half(feed_forward(layer, hidden))
