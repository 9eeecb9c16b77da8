"""The alignment comparator and the aligned network.

Run: .venv/bin/python -m pytest tests/network/test_alignment.py
"""

import itertools
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from fakes import load
from safetensors.torch import save_file

from models.clips.batches import Clip, collate_apart, collate_matched, pad_together
from models.errors import InputError
from models.network.aligned import AlignedNetwork
from models.network.alignment import AlignmentPooling, relative_positions
from models.network.phone_fit import N_PHONE_FIT, WINDOWS_FRAMES, align_phones, greedy_phones, phone_fit
from models.network.pretrained import COMPARISON_FILE, load_encoder, pretrained_network


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
    matched = pretrained_network(replace(load("model3mapd"), encoder=load("aligntiny").encoder, joint="matched"))
    found, expected = matched.matching.state_dict(), network.pooling.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize(("name", "joint"), [("aligntiny", "plain"), ("model3mcp", "matched")])
def test_every_trained_weight_of_the_shipped_encoders_models_has_a_gradient(name: str, joint: str) -> None:
    """A weight without one would stop training on several GPUs."""
    recipe = replace(load(name), encoder=load("aligntiny").encoder, joint=joint)
    network = pretrained_network(recipe)
    torch.manual_seed(0)
    clips = [
        Clip(
            log_mel=torch.randn(80, 150),
            reference=torch.randn(80, 90),
            reference_key=row,
            response=torch.randn(80, 120),
            reference_frames=70,
            scalars=torch.ones(2),
            labels=torch.tensor(float(row)),
        )
        for row in range(2)
    ]
    network(**(collate_matched if recipe.layout == "matched" else collate_apart)(clips))["loss"].backward()
    trained = {name: parameter.grad for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert not [name for name, gradient in trained.items() if gradient is None or not gradient.abs().sum() > 0]
    assert not [name for name in trained if name.startswith("phone_head.")]


def test_evidence_tells_a_matching_response_from_another() -> None:
    """Frames that spell the reference's classes lose nothing; others lose more."""
    spelt = torch.tensor([[0, 1, 1, 2, 0, 3, 3, 0]])
    other = torch.tensor([[0, 2, 2, 1, 0, 1, 3, 0]])
    logits = [8.0 * torch.nn.functional.one_hot(classes, 4) for classes in (spelt, other)]
    lengths = torch.tensor([8])
    same = phone_fit(logits[0], lengths, logits[0], lengths)
    different = phone_fit(logits[0], lengths, logits[1], lengths)
    torch.testing.assert_close(same, torch.zeros(1, N_PHONE_FIT))
    assert (different > 1).all()
    phones, counts = greedy_phones(logits[0], lengths)
    assert (phones.tolist(), counts.tolist()) == ([[1, 2, 3]], [3])


def certain(classes: list[int], n_frames: int | None = None, n_classes: int = 12) -> torch.Tensor:
    """Logits that are all but sure of a class per frame [shape=(1, frames, classes)]."""
    padded = classes + [0] * ((n_frames or len(classes)) - len(classes))
    return 8.0 * torch.nn.functional.one_hot(torch.tensor([padded]), n_classes).float()


def test_phones_are_aligned_where_they_are_spoken() -> None:
    heard = [0, 3, 3, 0, 3, 5, 5, 0, 0, 7]
    logits = torch.cat([certain(heard), certain([2, 2], 10), certain([4, 4], 10)])
    phones = torch.tensor([[3, 3, 5, 7], [2, 0, 0, 0], [4, 4, 4, 0]])
    path = align_phones(logits.log_softmax(-1), torch.tensor([10, 2, 4]), phones, torch.tensor([4, 1, 3]))
    assert path[0].tolist() == heard
    assert path[1].tolist() == [2, 2] + [0] * 8
    assert path[2].tolist() == [-1] * 10  # three times the same phone takes five frames


def test_the_path_is_the_likeliest() -> None:
    """Against all paths of a short clip."""
    torch.manual_seed(1)
    log_probabilities = torch.randn(1, 6, 4).log_softmax(-1)
    expected = [2, 1, 1]

    def collapsed(path: tuple[int, ...]) -> list[int]:
        return [phone for phone, _ in itertools.groupby(path) if phone]

    paths = [path for path in itertools.product(range(4), repeat=6) if collapsed(path) == expected]
    best = max(paths, key=lambda path: sum(float(log_probabilities[0, at, phone]) for at, phone in enumerate(path)))
    found = align_phones(log_probabilities, torch.tensor([6]), torch.tensor([expected]), torch.tensor([3]))
    assert found[0].tolist() == list(best)


def test_evidence_says_where_it_is_missing() -> None:
    words = [0, 1, 1, 2, 2, 0, 0, 3, 3, 4, 4, 0]
    frames = torch.tensor([12])
    windows, rest = slice(0, len(WINDOWS_FRAMES)), len(WINDOWS_FRAMES)
    worst_phone, three_phones, mean, pauses, whole = range(rest, N_PHONE_FIT)

    def evidence(expected: list[int], heard: list[int]) -> torch.Tensor:
        return phone_fit(certain(expected), torch.tensor([len(expected)]), certain(heard), frames)[0]

    assert float(evidence(words, words).abs().max()) < 1e-3
    extra = evidence([0, 1, 1, 2, 2, 0], words)  # more was said than expected: speech where pauses belong
    assert float(extra[pauses]) > 3 > 0.1 > float(extra[worst_phone])
    missing = evidence(words, [0, 1, 1, 2, 2, 0, 0, 0, 0, 0, 0, 0])
    assert float(missing[worst_phone]) > 2
    assert float(missing[pauses]) < 0.1
    swapped = evidence(words, [0, 3, 3, 4, 4, 0, 0, 1, 1, 2, 2, 0])
    assert float(swapped[whole]) > float(missing[whole])
    assert bool((missing[windows].diff() >= 0).all())
    assert float(missing[three_phones]) >= float(missing[worst_phone])
    assert float(missing[mean]) > 0


@pytest.mark.parametrize("expected", [[0, 0, 0], [1, 2, 3, 4] * 5, [0, 5, 5]])
def test_evidence_is_finite_whatever_was_expected_and_heard(expected: list[int]) -> None:
    for heard in (certain([0, 5, 5, 0]), torch.full((1, 4, 12), torch.nan)):
        found = phone_fit(certain(expected), torch.tensor([len(expected)]), heard, torch.tensor([4]))
        assert found.shape == (1, N_PHONE_FIT)
        assert bool(found.isfinite().all())


def test_evidence_of_a_clip_is_the_same_in_any_batch() -> None:
    torch.manual_seed(2)
    reference, response = torch.randn(5, 40, 12) * 3, torch.randn(5, 60, 12) * 3
    reference_lengths, response_lengths = torch.tensor([40, 12, 30, 25, 8]), torch.tensor([60, 60, 20, 44, 31])
    together = phone_fit(reference, reference_lengths, response, response_lengths)
    for row in range(5):
        one = slice(row, row + 1)
        n_reference, n_response = int(reference_lengths[row]), int(response_lengths[row])
        alone = phone_fit(
            reference[one, :n_reference], reference_lengths[one], response[one, :n_response], response_lengths[one]
        )
        torch.testing.assert_close(alone[0], together[row], rtol=0, atol=1e-5)
