"""What a decoder would write down, beside all texts that it could. Run: python -m pytest tests/network/test_beam_search.py"""

import itertools
import json
from pathlib import Path

import pytest
import torch
from fakes import load

from models.network.beam_search import search
from models.network.build import make_network
from models.network.decoder import decode
from models.network.pretrained import load_decoder, load_encoder
from models.network.verifier import VerifierNetwork


@pytest.fixture
def verifier(encoder_dir: Path) -> VerifierNetwork:
    """Random weights, made larger, so that some texts are far likelier than others."""
    torch.manual_seed(0)
    network = make_network(load_encoder(str(encoder_dir), 3000), load("verifytiny"), 0, *load_decoder(str(encoder_dir)))
    assert isinstance(network, VerifierNetwork)
    with torch.no_grad():
        network.decoder.layer_norm.weight.mul_(20)
    return network.eval()


@pytest.fixture
def heard(verifier: VerifierNetwork) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.no_grad():
        return verifier.hear(torch.randn(1, 80, 150, generator=torch.Generator().manual_seed(1)), torch.tensor([150]))


@torch.no_grad()
def log_probability(verifier: VerifierNetwork, heard: tuple[torch.Tensor, torch.Tensor], fed: list[int]) -> float:
    tokens = torch.tensor([fed])
    states = decode(verifier.decoder, tokens, *heard)[0, verifier.n_prompt - 1 : -1]
    written = (states @ verifier.decoder.embed_tokens.weight.T).log_softmax(dim=1)
    return float(written[torch.arange(len(written)), tokens[0, verifier.n_prompt :]].sum())


def test_the_likeliest_of_all_texts_are_found(
    verifier: VerifierNetwork, heard: tuple[torch.Tensor, torch.Tensor]
) -> None:
    """With as many beams as there are tokens, those of at most two tokens are all looked at."""
    tokenizer = verifier.tokenizer
    letters = sorted(set(range(verifier.decoder.config.vocab_size)) - tokenizer.silent)
    texts = [text for length in range(3) for text in itertools.product(letters, repeat=length)]
    every = sorted(
        ((log_probability(verifier, heard, [*tokenizer.prompt, *text, tokenizer.end]), text) for text in texts),
        reverse=True,
    )
    found = search(verifier, *heard, beams=len(letters), most_tokens=3)
    assert [one.text for one in found[:5]] == [tokenizer.decode(text) for _, text in every[:5]]
    assert [one.log_probability for one in found[:5]] == pytest.approx([total for total, _ in every[:5]], abs=1e-4)


@pytest.mark.parametrize("row", ["<|0.00|>", "a row without a token"])
def test_what_stands_for_no_text_is_never_written(
    row: str, verifier: VerifierNetwork, heard: tuple[torch.Tensor, torch.Tensor]
) -> None:
    """Though it is the likeliest to come first: each text is as likely as its own letters are."""
    tokens = json.loads(verifier.tokenizer.content)["added_tokens"]
    silent = next((one["id"] for one in tokens if one["content"] == row), verifier.decoder.config.vocab_size - 1)
    with torch.no_grad():
        states = decode(verifier.decoder, torch.tensor([verifier.tokenizer.prompt]), *heard)[0, -1]
        highest = (states @ verifier.decoder.embed_tokens.weight.T).max()
        verifier.decoder.embed_tokens.weight[silent] = states * (highest + 1) / (states @ states)
    found = search(verifier, *heard, beams=3, most_tokens=4)
    fed = [[*verifier.tokenizer.prompt, *encoded(verifier, one.text)] for one in found]
    assert [one.log_probability for one in found] == pytest.approx(
        [log_probability(verifier, heard, tokens) for tokens in fed], abs=1e-4
    )


def without_stopping(
    verifier: VerifierNetwork, heard: tuple[torch.Tensor, torch.Tensor], beams: int, most_tokens: int
) -> list[tuple[float, str]]:
    """Beam search to the last token, each text read anew."""
    tokenizer = verifier.tokenizer
    letters = sorted(set(range(verifier.decoder.config.vocab_size)) - tokenizer.silent)
    live: list[tuple[float, list[int]]] = [(0.0, [])]
    ended: list[tuple[float, str]] = []
    for _ in range(most_tokens):
        longer = []
        for total, text in live:
            with torch.no_grad():
                states = decode(verifier.decoder, torch.tensor([[*tokenizer.prompt, *text]]), *heard)[0, -1]
            following = (states @ verifier.decoder.embed_tokens.weight.T).log_softmax(dim=0).tolist()
            ended.append((total + following[tokenizer.end], tokenizer.decode(text)))
            longer += [(total + following[letter], [*text, letter]) for letter in letters]
        live = sorted(longer, reverse=True)[:beams]
    return sorted(ended, reverse=True)[:beams]


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("end_share", [-3.0, 0.5])
def test_what_stops_early_loses_nothing(
    beams: int, end_share: float, verifier: VerifierNetwork, heard: tuple[torch.Tensor, torch.Tensor]
) -> None:
    """Where texts end late, and where they end soon."""
    with torch.no_grad():
        states = decode(verifier.decoder, torch.tensor([verifier.tokenizer.prompt]), *heard)[0, -1]
        verifier.decoder.embed_tokens.weight[verifier.tokenizer.end] = end_share * states / states.norm()
    expected = without_stopping(verifier, heard, beams, 7)
    assert (len(expected[0][1]) > 1) == (end_share < 0)
    found = search(verifier, *heard, beams=beams, most_tokens=7)
    assert [one.text for one in found] == [text for _, text in expected]
    assert [one.log_probability for one in found] == pytest.approx([total for total, _ in expected], abs=1e-4)


def test_what_is_given_up_has_ended_too(verifier: VerifierNetwork, heard: tuple[torch.Tensor, torch.Tensor]) -> None:
    """No text is longer than asked for, and each is scored with its end."""
    found = search(verifier, *heard, beams=4, most_tokens=3)
    fed = [[*verifier.tokenizer.prompt, *tokens] for one in found for tokens in [encoded(verifier, one.text)]]
    assert max(map(len, fed)) <= verifier.n_prompt + 3
    assert [one.log_probability for one in found] == pytest.approx(
        [log_probability(verifier, heard, tokens) for tokens in fed], abs=1e-4
    )


def encoded(verifier: VerifierNetwork, text: str) -> list[int]:
    vocabulary = json.loads(verifier.tokenizer.content)["model"]["vocab"]
    return [*(vocabulary[letter] for letter in text), verifier.tokenizer.end]
