"""The comparison network: one contract for every recipe, and the parts that tell them apart.

Run: .venv/bin/python -m pytest tests/network/test_network.py
"""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from fakes import DESIGN, ROOT, load
from torch import nn

from models.clips.batches import Clip, collate_apart, collate_joined, collate_matched, collate_text, pad_together
from models.network.build import make_network
from models.network.comparison import (
    ComparisonNetwork,
    half_weights,
    load_weights,
    parameter_groups,
)
from models.network.encoder import encode
from models.network.joint import AttentionAndMeanPooling, AttentionPooling, MeanPooling
from models.network.pretrained import load_decoder, load_encoder
from models.recipe import PUBLISHED, Layout, Recipe

WIDTH = 16
ALL = sorted(path.stem.removeprefix("train_") for path in ROOT.glob("train_*.py"))
KINDS = [(name, {}) for name in ALL]
KINDS += [(name, change) for name in PUBLISHED for change in ({"joint": "matched"}, {"padding": "fixed"})]

SHIFT = (
    "pooling.score.bias",
    "pooling.attention.score.bias",
)  # a softmax is the same after a shift: zero but for rounding


def make(name: str, encoder_dir: Path, **changes: object) -> ComparisonNetwork:
    torch.manual_seed(0)
    recipe = replace(load(name), **changes)
    text = load_decoder(str(encoder_dir)) if recipe.layout == "text" else ()
    return make_network(load_encoder(str(encoder_dir), 400), recipe, 0, *text)


def batch(n_clips: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(n_clips, 80, 400, generator=generator), torch.rand(n_clips, 2, generator=generator)


def clips(layout: Layout) -> list[Clip]:
    """Three clips as the data set would give them to a model: two of them share a reference."""
    log_mel, scalars = batch()
    common = [{"scalars": scalars[row], "labels": torch.tensor(float(row == 1))} for row in range(3)]
    if layout == "text":
        tokens = [torch.tensor([3, 4, *text, 2]) for text in ([5, 9, 30], [40], [5, 6, 7, 8, 9, 10])]
        return [Clip(response=log_mel[row, :, : 300 - 45 * row], tokens=tokens[row], **common[row]) for row in range(3)]
    if layout != "apart":
        return [
            Clip(log_mel=log_mel[row, :, : 300 - 45 * row], reference_frames=90 + 31 * row, **common[row])
            for row in range(3)
        ]
    references = [log_mel[0, :, :90], log_mel[1, :, :55], log_mel[0, :, :90]]
    return [
        Clip(
            reference=references[row],
            reference_key=row % 2,
            response=log_mel[row, :, 100 : 171 + 60 * row],
            **common[row],
        )
        for row in range(3)
    ]


def collate(recipe: Recipe, some: list[Clip]) -> dict[str, torch.Tensor]:
    if recipe.layout in ("apart", "text"):
        return collate_apart(some) if recipe.layout == "apart" else collate_text(some)
    fixed_frames = 400 if recipe.padding == "fixed" else None
    return (collate_matched if recipe.layout == "matched" else collate_joined)(some, fixed_frames)


@pytest.mark.parametrize(("name", "changes"), KINDS)
def test_contract(name: str, changes: dict[str, str], encoder_dir: Path) -> None:
    """Shape, type, independence of the neighbours in a batch, gradients everywhere, weights that survive a checkpoint."""
    network = make(name, encoder_dir, **changes)
    recipe = replace(load(name), **changes)
    whole = collate(recipe, clips(recipe.layout))
    network.train()(**whole)["loss"].backward()
    trainable = {key: parameter for key, parameter in network.named_parameters() if parameter.requires_grad}
    assert not [
        key
        for key, parameter in trainable.items()
        if parameter.grad is None or not (parameter.grad.abs().sum() > 0 or key in SHIFT)
    ]
    assert "encoder.embed_positions.weight" not in trainable

    network.eval()
    other = make(name, encoder_dir, seed=7, **changes).eval()
    load_weights(other, half_weights(network))
    with torch.no_grad():
        together = network(**whole)["logits"]
        alone = torch.cat([network(**collate(recipe, [clip]))["logits"] for clip in clips(recipe.layout)])
        rounded = other(**whole)["logits"]
        del whole["labels"]
        assert "loss" not in network(**whole)
    assert together.shape == (3,)
    assert together.dtype == torch.float32
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)
    torch.testing.assert_close(together, rounded, atol=1e-2, rtol=0)


@pytest.mark.parametrize("name", DESIGN)
def test_parts_are_the_recipes(name: str, encoder_dir: Path) -> None:
    network = make(name, encoder_dir)
    pooling, head, init_std, dropout, where = DESIGN[name][1:6]
    kinds = {"mean": MeanPooling, "attention": AttentionPooling, "attention+mean": AttentionAndMeanPooling}
    assert type(network.pooling) is kinds[pooling]
    n_inputs = (2 if pooling == "attention+mean" else 1) * WIDTH + 2
    widths = {"linear": [n_inputs, 1], "hidden-d": [n_inputs, WIDTH, 1], "hidden-128": [n_inputs, 128, 1]}[head]
    assert [type(layer) for layer in network.head] == [nn.Linear] * (len(widths) - 1)  # no activation between them
    assert [layer.in_features for layer in network.head] + [1] == widths
    assert (network.frame_dropout.p, network.pooled_dropout.p) == ((dropout, 0) if where == "frames" else (0, dropout))
    if init_std:
        assert float(network.head[0].weight.detach().std()) == pytest.approx(init_std, rel=0.1)
        assert not network.head[0].bias.any()


def test_mean_pooling() -> None:
    frames = torch.randn(2, 7, WIDTH)
    torch.testing.assert_close(MeanPooling(WIDTH)(frames), frames.sum(1) / 7)


def test_attention_pooling_is_a_softmax_of_one_score_per_frame() -> None:
    pooling, frames = AttentionPooling(WIDTH), torch.randn(2, 7, WIDTH)
    scores = frames @ pooling.score.weight[0] + pooling.score.bias
    weights = scores.exp() / scores.exp().sum(1, keepdim=True)
    torch.testing.assert_close(pooling(frames), torch.einsum("bt,btd->bd", weights, frames))
    assert pooling.score.weight.shape == (1, WIDTH)


def test_both_poolings_side_by_side() -> None:
    pooling, frames = AttentionAndMeanPooling(WIDTH), torch.randn(2, 7, WIDTH)
    pooled = pooling(frames)
    torch.testing.assert_close(pooled[:, :WIDTH], pooling.attention(frames))
    torch.testing.assert_close(pooled[:, WIDTH:], frames.mean(1))


def test_masked_frames_have_no_part_in_pooling() -> None:
    frames, mask = torch.randn(2, 7, WIDTH), torch.arange(7) < torch.tensor([[7], [4]])
    for pooling in (MeanPooling(WIDTH), AttentionPooling(WIDTH), AttentionAndMeanPooling(WIDTH)):
        pooled = pooling(frames.masked_fill(~mask[:, :, None], 1e6), mask)
        torch.testing.assert_close(pooled[0], pooling(frames[:1])[0])
        torch.testing.assert_close(pooled[1], pooling(frames[1:, :4])[0])


def test_sides_are_heard_apart_where_they_are_told_apart(encoder_dir: Path) -> None:
    """A response gives the same frames after any reference, its places counted anew; without boundaries it does not."""
    encoder = load_encoder(str(encoder_dir), 400).eval()
    response, pause = torch.randn(80, 180), torch.zeros(80, 8)
    joined = [torch.cat([torch.randn(80, n_frames), pause, response], dim=1) for n_frames in (112, 52)]
    log_mel, lengths = pad_together(joined)
    with torch.no_grad():
        apart = encode(encoder, log_mel, lengths, torch.tensor([60, 30]))
        mixed = encode(encoder, log_mel, lengths)
    torch.testing.assert_close(apart[0, 60:150], apart[1, 30:120])
    assert not torch.allclose(mixed[0, 60:150], mixed[1, 30:120], atol=1e-3)


@pytest.mark.parametrize("reference_frames", [0, 399])
def test_a_matched_network_survives_an_empty_side(reference_frames: int, encoder_dir: Path) -> None:
    network = make("model2s", encoder_dir, joint="matched").eval()
    log_mel, scalars = batch(1)
    logits = network(log_mel, torch.tensor([400]), torch.tensor([reference_frames]), scalars)["logits"]
    assert bool(logits.isfinite().all())


def test_task_and_grade_enter_after_pooling(encoder_dir: Path) -> None:
    network = make("model2m", encoder_dir).eval()
    log_mel, scalars = batch()
    with torch.no_grad():
        pooled = encode(network.encoder, log_mel).mean(1)
        expected = network.head[0](torch.cat([pooled, scalars], 1))[:, 0]
        torch.testing.assert_close(network(log_mel, scalars)["logits"], expected)


def test_loss_is_binary_cross_entropy_and_finite_far_out(encoder_dir: Path) -> None:
    network = make("model2m", encoder_dir).eval()
    log_mel, scalars = batch()
    labels = torch.tensor([1.0, 0.0, 1.0])
    with torch.no_grad():
        outputs = network(log_mel, scalars, labels)
        p = outputs["logits"].sigmoid()
        expected = -(labels * p.log() + (1 - labels) * (1 - p).log()).mean()
        torch.testing.assert_close(outputs["loss"], expected)
        network.head[0].bias.fill_(1e4)
        assert float(network(log_mel, scalars, labels)["loss"]) == pytest.approx(1e4 / 3, rel=0.01)


def test_logits_stay_float32_under_autocast(encoder_dir: Path) -> None:
    network = make("model3mcp", encoder_dir).eval()
    log_mel, scalars = batch()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        frames = encode(network.encoder, log_mel)
        mixed = network(log_mel, scalars)["logits"]
        network.head[-1].bias.fill_(20.0)
        shifted = network(log_mel, scalars)["logits"]
    assert frames.dtype == torch.bfloat16 or network.encoder.layer_norm.weight.dtype == torch.float32
    assert mixed.dtype == torch.float32
    assert len(set(shifted.tolist())) == 3  # bf16 could not tell 20.01 from 20.02


def test_what_weight_decay_reaches(encoder_dir: Path) -> None:
    network = make("model3mcp", encoder_dir)
    decayed, free = parameter_groups(network, replace(load("model3mcp"), weight_decay=0.1))
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.1, 0.0)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    with_decay = {names[id(parameter)] for parameter in decayed["params"]}
    without = {names[id(parameter)] for parameter in free["params"]}
    trainable = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert with_decay | without == trainable
    assert not with_decay & without
    assert "encoder.layers.0.fc1.weight" in with_decay
    assert "encoder.conv1.weight" in with_decay
    assert {
        "encoder.layers.0.fc1.bias",
        "encoder.layer_norm.weight",
        "encoder.layers.1.final_layer_norm.weight",
    } <= without
    assert {"head.0.weight", "head.1.weight", "pooling.attention.score.weight"} <= without


def test_dropout_acts_in_training_only(encoder_dir: Path) -> None:
    for name in ("model3mapd", "model3mb"):
        network = make(name, encoder_dir)
        log_mel, scalars = batch()
        with torch.no_grad():
            assert not torch.equal(network.train()(log_mel, scalars)["logits"], network(log_mel, scalars)["logits"])
            assert torch.equal(network.eval()(log_mel, scalars)["logits"], network(log_mel, scalars)["logits"])
