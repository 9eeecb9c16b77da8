"""Phones in a verifier's frames. Run: python -m pytest tests/network/test_phone_classifier.py"""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from fakes import load

from models.network.build import make_network, network_settings
from models.network.phone_classifier import PhoneClassifier, phone_loss
from models.network.phones import PHONE_CLASSES
from models.network.pretrained import load_decoder, load_encoder
from models.network.verifier import VerifierNetwork

N_CLASSES = 5


@pytest.fixture
def classifier() -> PhoneClassifier:
    torch.manual_seed(0)
    return PhoneClassifier(12, N_CLASSES).eval()


@torch.no_grad()
def test_what_pads_a_clip_changes_nothing_of_it(classifier: PhoneClassifier) -> None:
    frames = torch.randn(1, 20, 12)
    padded = torch.cat([frames, torch.full((1, 7, 12), 50.0)], dim=1)
    alone = classifier(frames, torch.ones(1, 20, dtype=torch.bool))
    among = classifier(padded, torch.arange(27)[None] < 20)[:, :20]
    torch.testing.assert_close(among, alone)
    torch.testing.assert_close(alone.exp().sum(dim=2), torch.ones(1, 20))


def test_the_loss_is_nats_per_phone_of_the_clips_that_can_be_said(classifier: PhoneClassifier) -> None:
    lengths, counts = torch.tensor([20, 15, 3]), torch.tensor([4, 2, 5])  # five phones don't fit into three frames
    found = classifier(torch.randn(3, 20, 12), torch.arange(20) < lengths[:, None]).detach().requires_grad_()
    phones = torch.tensor([[1, 2, 2, 3, 0], [4, 1, 0, 0, 0], [1, 2, 3, 4, 1]])
    sums = torch.stack(
        [
            torch.nn.functional.ctc_loss(found[row, :length], phones[row, :count], (length,), (count,), reduction="sum")
            for row, (length, count) in enumerate(((20, 4), (15, 2)))
        ]
    )
    loss = phone_loss(found, lengths, phones, counts)
    torch.testing.assert_close(loss, sums.sum() / 6)
    loss.backward()
    assert found.grad is not None
    assert found.grad[0].abs().sum() > 0
    assert found.grad[2].abs().sum() == 0


@torch.no_grad()
def test_no_answer_depends_on_it_in_any_precision(encoder_dir: Path) -> None:
    recipe = replace(load("verifytiny"), drawn_texts=0, drawn_loss=0.0)
    plain, telling = (
        make_network(load_encoder(str(encoder_dir), 3000), recipe, classes, *load_decoder(str(encoder_dir))).eval()
        for classes in (0, len(PHONE_CLASSES))
    )
    assert isinstance(plain, VerifierNetwork)
    telling.load_state_dict(plain.state_dict(), strict=False)
    assert "phones" not in network_settings(plain)
    assert network_settings(telling)["phones"] == list(PHONE_CLASSES)
    response, frames = torch.randn(1, 80, 200), torch.tensor([200])
    tokens = torch.tensor([plain.tokenizer.encode("we play")])
    for network in (plain, telling):
        network.lower_precision(torch.bfloat16)
    one, other = (
        network(response, frames, tokens, torch.tensor([tokens.shape[1]]), torch.zeros(1, 2))["logits"]
        for network in (plain, telling)
    )
    assert torch.equal(one, other)
    weighing = make_network(
        load_encoder(str(encoder_dir), 3000), recipe, len(PHONE_CLASSES), *load_decoder(str(encoder_dir)), True
    ).eval()
    weighing.lower_precision(torch.bfloat16)
    assert {tensor.dtype for tensor in weighing.encoder.parameters()} == {torch.float32}
    with pytest.raises(ValueError, match="phones"):  # and never as if they said nothing
        weighing(response, frames, tokens, torch.tensor([tokens.shape[1]]), torch.zeros(1, 2))
