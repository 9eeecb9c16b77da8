"""The alignment comparator.

Run: .venv/bin/python -m pytest tests/test_alignment.py
"""

import pytest
import torch

from models.alignment import AlignmentPooling, relative_positions


def clips(lengths: list[int], width: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Random frames, with wild values in the padding, and their mask."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    frames = torch.randn(len(lengths), max(lengths), width, generator=generator)
    return torch.where(mask[:, :, None], frames, 50.0), mask


@pytest.mark.parametrize("width", [24, 768])
def test_padding_has_no_effect(width: int) -> None:
    torch.manual_seed(0)
    pooling = AlignmentPooling(width).eval()
    reference, reference_mask = clips([9, 40, 23], width, 1)
    response, response_mask = clips([31, 5, 60], width, 2)
    together = pooling(reference, reference_mask, response, response_mask)
    assert together.shape == (3, pooling.out_features)
    for row in range(3):
        own, heard = reference[row][reference_mask[row]][None], response[row][response_mask[row]][None]
        ones = torch.ones(1, own.shape[1], dtype=torch.bool), torch.ones(1, heard.shape[1], dtype=torch.bool)
        torch.testing.assert_close(pooling(own, ones[0], heard, ones[1])[0], together[row], rtol=0, atol=1e-5)


def test_gradients_ignore_padding_and_are_finite() -> None:
    pooling = AlignmentPooling(16)
    reference, reference_mask = clips([4, 20], 16, 3)
    response, response_mask = clips([20, 7], 16, 4)
    reference.requires_grad_()
    pooling(reference, reference_mask, response, response_mask).sum().backward()
    assert reference.grad is not None
    assert bool(reference.grad.isfinite().all())
    assert float(reference.grad[~reference_mask].abs().max()) == 0.0
    assert float(reference.grad[reference_mask].abs().max()) > 0.0


def test_one_frame_is_enough() -> None:
    one = torch.ones(1, 1, dtype=torch.bool)
    assert bool(AlignmentPooling(16)(torch.randn(1, 1, 16), one, torch.randn(1, 1, 16), one).isfinite().all())


def test_order_matters() -> None:
    """Two halves in the other order are the same set of frames, but not the same speech."""
    torch.manual_seed(1)
    pooling = AlignmentPooling(16)
    frames, mask = clips([40], 16, 6)
    turned = torch.cat([frames[:, 20:], frames[:, :20]], dim=1)
    difference = pooling(frames, mask, frames, mask) - pooling(frames, mask, turned, mask)
    assert float(difference.detach().abs().max()) > 1e-2


def test_relative_positions_run_from_0_to_1() -> None:
    mask = torch.arange(10) < torch.tensor([10, 4])[:, None]
    torch.testing.assert_close(relative_positions(mask)[1, :4], torch.tensor([0, 0.25, 0.5, 0.75]))
