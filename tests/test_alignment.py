"""The alignment comparator and the aligned network.

Run: .venv/bin/python -m pytest tests/test_alignment.py
"""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from test_recipe import load

from models.aligned import AlignedNetwork
from models.alignment import AlignmentPooling, relative_positions
from models.build import COMPARISON_FILE, pretrained_network
from models.dataset import pad_together
from models.encoder import load_encoder
from models.errors import InputError
from models.evidence import greedy_phones, phone_evidence


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


def test_a_network_with_phones_does_not_see_its_neighbours(encoder_dir: Path) -> None:
    torch.manual_seed(0)
    network = AlignedNetwork(load_encoder(str(encoder_dir), 400), load("alignsmall"), phone_classes=5).eval()
    features = [torch.randn(80, frames) for frames in (90, 55, 200, 31)]
    arguments = {"scalars": torch.rand(2, 2), "reference_rows": torch.tensor([0, 1])}
    arguments["reference"], arguments["reference_frames"] = pad_together(features[:2])
    arguments["response"], arguments["response_frames"] = pad_together(features[2:])
    with torch.no_grad():
        together = network(**arguments)["logits"]
        for row in range(2):
            own = {name: value[row : row + 1] for name, value in arguments.items()} | {
                "reference_rows": torch.tensor([0])
            }
            torch.testing.assert_close(network(**own)["logits"], together[row : row + 1], rtol=0, atol=1e-5)


def test_pretrained_parts_are_found_beside_the_encoder(encoder_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(encoder_dir, tmp_path / "encoder")
    recipe = replace(load("alignsmall"), encoder=str(tmp_path / "encoder"), max_seconds=4.0)
    torch.manual_seed(0)
    trained = AlignedNetwork(load_encoder(str(encoder_dir), 400), recipe, phone_classes=5)
    weights = {name: value for name, value in trained.state_dict().items() if not name.startswith("encoder.")}
    assert pretrained_network(recipe).phone_classes == 0
    save_file(weights, tmp_path / "encoder" / COMPARISON_FILE)
    found = pretrained_network(recipe).state_dict()
    assert found.keys() == trained.state_dict().keys()
    assert all(torch.equal(found[name], value) for name, value in weights.items())
    with pytest.raises(InputError, match=COMPARISON_FILE):
        pretrained_network(replace(recipe, head="hidden-7"))
    save_file({**weights, "other": torch.zeros(1)}, tmp_path / "encoder" / COMPARISON_FILE)
    with pytest.raises(InputError, match="other"):
        pretrained_network(recipe)


def test_the_shipped_encoder_is_found_from_anywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    network = pretrained_network(load("aligntiny"))
    assert network.phone_classes > 40
    joint = pretrained_network(replace(load("model3mapd"), encoder=load("aligntiny").encoder))
    assert torch.equal(joint.encoder.conv1.weight, network.encoder.conv1.weight)


def test_evidence_tells_a_matching_response_from_another() -> None:
    """Frames that spell the reference's classes lose nothing; others lose more, per phone and in all."""
    spelt = torch.tensor([[0, 1, 1, 2, 0, 3, 3, 0]])
    other = torch.tensor([[0, 2, 2, 1, 0, 1, 3, 0]])
    logits = [8.0 * torch.nn.functional.one_hot(classes, 4) for classes in (spelt, other)]
    lengths = torch.tensor([8])
    same = phone_evidence(logits[0], lengths, logits[0], lengths)
    different = phone_evidence(logits[0], lengths, logits[1], lengths)
    torch.testing.assert_close(same, torch.zeros(1, 2))
    assert (different > 1).all()
    phones, counts = greedy_phones(logits[0], lengths)
    assert (phones.tolist(), counts.tolist()) == ([[1, 2, 3]], [3])
