"""Steps as CUDA graphs: the same losses and gradients as without. What needs a GPU is skipped where there is none."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.material import member_of, recipe_of
from models.ensemble.checkpoint import load_checkpoint
from models.ensemble.rebuild import rebuild_network
from models.errors import InputError
from models.network.comparison import ComparisonNetwork
from models.training.fold import prepare, train_fold
from models.training.graphs import BUCKET_FRAMES, GraphedSteps, rounded_up
from models.training.job import TrainingJob

Batch = dict[str, Tensor]
on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def batch_of(n_frames: int, *lengths: int) -> Batch:
    """Clips of two lengths, or all of the batch's."""
    generator = torch.Generator().manual_seed(n_frames)
    size = len(lengths) or 2
    batch = {
        "log_mel": torch.randn(size, 80, n_frames, generator=generator),
        "scalars": torch.rand(size, 2, generator=generator),
        "labels": torch.tensor([0.0, 1.0]),
    }
    return {**batch, "frames": torch.tensor(lengths)} if lengths else batch


def network_of(**changes: object) -> ComparisonNetwork:
    return rebuild_network(member_of("nano", recipe_of(**changes)).checkpoint)


@pytest.mark.parametrize("batch", [batch_of(100, 100, 60), batch_of(100)])
def test_what_rounds_a_length_up_has_no_effect(batch: Batch) -> None:
    network = network_of().eval()
    longer = rounded_up(batch, 400)
    assert longer["log_mel"].shape[2] == BUCKET_FRAMES
    torch.testing.assert_close(network(**longer)["loss"], network(**batch)["loss"], atol=1e-5, rtol=0)


def test_no_length_is_rounded_beyond_the_longest() -> None:
    assert rounded_up(batch_of(350, 350, 20), 400)["log_mel"].shape[2] == 400
    fixed = batch_of(400)
    assert rounded_up(fixed, 400) is fixed  # as published: the silence that pads it is read
    assert rounded_up(batch_of(BUCKET_FRAMES, 20, 30), 400)["log_mel"].shape[2] == BUCKET_FRAMES


@pytest.mark.parametrize(
    ("name", "changes", "named"),
    [
        ("model2s", {}, "no GPU"),
        ("aligntiny", {}, "aligntiny"),
        ("verifytiny", {}, "verifytiny"),
        ("model2s", {"gradient_accumulation_steps": 2}, "gradient_accumulation_steps"),
    ],
)
def test_what_can_not_be_recorded_is_refused(
    make_job: Callable[..., TrainingJob], name: str, changes: dict[str, Any], named: str
) -> None:
    job = make_job(name)
    job = replace(job, options=replace(job.options, device="cpu", cuda_graphs=True, **changes))
    with pytest.raises(InputError, match=f"--cuda_graphs: .*{named}.*leave it out"):
        prepare(job, restart=False)


def test_layers_that_are_dropped_at_random_are_refused() -> None:
    network = network_of()
    network.encoder.config.encoder_layerdrop = 0.1
    with pytest.raises(InputError, match="dropped"):
        GraphedSteps(network, None, 400)


@pytest.fixture
def trained() -> tuple[ComparisonNetwork, GraphedSteps]:
    network = network_of(pooling="attention+mean").cuda().train()
    return network, GraphedSteps(network, None, 400)


@on_gpu
def test_losses_and_gradients_are_those_of_an_ordinary_step(
    trained: tuple[ComparisonNetwork, GraphedSteps],
) -> None:
    """Of lengths met before, too, and after the optimiser has changed weights and taken gradients away."""
    network, step = trained
    twin = network_of(pooling="attention+mean").cuda().train()
    optimizers = [torch.optim.AdamW(one.parameters(), lr=1e-3, fused=True) for one in (network, twin)]
    for batch in [batch_of(100, 100, 60), batch_of(300, 250, 300), batch_of(120, 90, 120), batch_of(100)]:
        on_card = {name: value.cuda() for name, value in batch.items()}
        loss, expected = step(on_card), twin(**on_card)["loss"]
        expected.backward()
        torch.testing.assert_close(loss, expected.detach(), atol=1e-5, rtol=1e-5)
        for own, other in zip(network.parameters(), twin.parameters(), strict=True):
            if own.requires_grad:
                torch.testing.assert_close(own.grad, other.grad, atol=1e-4, rtol=1e-3)
        for one, optimizer in zip((network, twin), optimizers, strict=True):
            optimizer.step()
            one.zero_grad()
    assert len(step._recorded) == 2  # lengths of 160 and 320 frames


@on_gpu
def test_dropout_is_drawn_anew_and_recording_draws_nothing() -> None:
    network = network_of(dropout=0.5).cuda().train()
    batch = {name: value.cuda() for name, value in batch_of(100, 100, 60).items()}
    torch.manual_seed(0)
    step = GraphedSteps(network, None, 400)
    first = [float(step(batch)) for _ in range(3)]  # the first records
    torch.manual_seed(0)
    assert [float(step(batch)) for _ in range(3)] == first
    assert len(set(first)) == 3


@on_gpu
@pytest.mark.slow
def test_a_fold_is_trained_on_a_gpu(make_job: Callable[..., TrainingJob]) -> None:
    """And gives what a fold without graphs gives, but for rounding."""
    job = make_job("model2s", epochs=2, padding="batch", dropout=0.0, augment="none")
    options = replace(job.options, device="cuda", precision="fp32", num_workers=2)
    found = []
    for cuda_graphs in (True, False):
        path = train_fold(replace(job, options=replace(options, cuda_graphs=cuda_graphs)))
        found.append(load_checkpoint(path).oof.predictions)
        path.unlink()
    np.testing.assert_allclose(*found, atol=2e-3)
