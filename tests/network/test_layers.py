"""What inference computes in fewer digits, and what not. Run: .venv/bin/python -m pytest tests/network/test_layers.py"""

from pathlib import Path

import pytest
import torch
from torch import nn

from models.base.compute import bfloat16_is_fast
from models.network import layers
from models.network.encoder import encode, lower_precision
from models.network.layers import feed_forward, lower_feed_forward, project
from models.network.pretrained import load_encoder
from models.network.whisper import WhisperEncoder

BF16 = torch.bfloat16


@pytest.fixture
def encoder(encoder_dir: Path) -> WhisperEncoder:
    """Whose biases are as large as what they are added to, as in trained ones."""
    encoder = load_encoder(str(encoder_dir), 400).eval()
    generator = torch.Generator().manual_seed(0)
    for name, weight in encoder.named_parameters():
        if name.endswith(("out_proj.bias", "fc1.bias", "fc2.bias")):
            weight.data = 2 * torch.randn(weight.shape, generator=generator)
    return encoder


def _error(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).square().mean().sqrt())


@torch.no_grad()
def test_a_bias_is_not_rounded() -> None:
    linear = nn.Linear(8, 4)
    bias = linear.bias.clone()
    layers.lower(linear, BF16)
    found = project(linear, torch.zeros(3, 8))
    assert not torch.equal(bias, bias.to(BF16).float())
    assert torch.equal(found, bias.expand(3, -1))


@torch.no_grad()
def test_frames_keep_the_digits_of_biases(encoder: WhisperEncoder) -> None:
    """Against the same with biases in bf16, as each part's `.to` would make them."""
    log_mel = torch.randn(2, 80, 400, generator=torch.Generator().manual_seed(1))
    exact = encode(encoder, log_mel)
    lower_precision(encoder, BF16)
    kept = _error(encode(encoder, log_mel), exact)
    for index, layer in enumerate(encoder.layers):
        for part in (layer.self_attn, layer.fc1, layer.fc2):
            if index or part is not layer.self_attn:
                part.to(BF16)
    assert 0 < kept < 0.75 * _error(encode(encoder, log_mel), exact)


@torch.no_grad()
@pytest.mark.parametrize("fast", [True, False])
def test_inner_units_with_and_without_one_step_for_all(
    encoder: WhisperEncoder, monkeypatch: pytest.MonkeyPatch, fast: bool
) -> None:
    """The processors and versions of torch that lack it compute nearly the same."""
    if fast and not bfloat16_is_fast():
        pytest.skip("this processor does not multiply bfloat16")
    monkeypatch.setattr(layers, "bfloat16_is_fast", lambda: fast)
    layer, states = encoder.layers[0], torch.randn(2, 5, encoder.config.d_model)
    exact = feed_forward(layer, states)
    lower_feed_forward(layer, BF16)
    assert (layer.fc1.weight.dtype, layer.fc1.bias.dtype) == (BF16, torch.float32 if fast else BF16)
    found = feed_forward(layer, states)
    assert found.dtype == torch.float32
    assert not torch.equal(found, exact)
    torch.testing.assert_close(found, exact, atol=0.05, rtol=0.01)
