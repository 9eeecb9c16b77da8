"""What a decoder would write down of what it hears: the likeliest texts, by beam search."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.network.decoder import decode
from models.network.layers import as_weights
from models.network.verifier import VerifierNetwork


@dataclass(frozen=True)
class Hypothesis:
    """One way to write an answer down.

    Attributes
    ----------
    text
        As Whisper writes: a capital first, a full stop last.
    log_probability
        Of its tokens and the end, each after those before it, in nats.
    """

    text: str
    log_probability: float


@torch.inference_mode()
def search(
    network: VerifierNetwork, heard: Tensor, heard_mask: Tensor, beams: int, most_tokens: int
) -> list[Hypothesis]:
    """The likeliest texts of one clip, the likeliest first; at most as many as there are beams.

    Parameters
    ----------
    heard : [shape=(1, frames, width)]
        Of `VerifierNetwork.hear`; and its mask, bool [shape=(1, frames)].
    beams
        How many unfinished texts are kept at each token.
    most_tokens
        After these a text that has not ended is given up.
    """
    prompt, end = network.tokenizer.prompt, network.tokenizer.end
    live = torch.tensor([prompt], device=heard.device)
    totals = torch.zeros(1, device=heard.device)
    ended: list[tuple[float, list[int]]] = []
    silent = torch.tensor(sorted(network.tokenizer.marks - {end}), device=heard.device)
    for _ in range(min(most_tokens, network.tokenizer.most_tokens - len(prompt))):
        scores = totals[:, None] + _next_log_probabilities(network, live, heard, heard_mask, silent)
        texts = live[:, len(prompt) :].tolist()
        ended = sorted([*ended, *zip(scores[:, end].tolist(), texts, strict=True)], reverse=True)[:beams]
        scores[:, end] = -torch.inf
        best, places = scores.flatten().topk(min(beams, scores.numel()))
        totals = best[best.isfinite()]
        rows, tokens = (part[: len(totals)] for part in (places // scores.shape[1], places % scores.shape[1]))
        live = torch.cat([live[rows], tokens[:, None]], dim=1)
        # No total grows: what is behind as many ended ones as there are beams stays there.
        if not len(totals) or (len(ended) == beams and float(totals.max()) < ended[-1][0]):
            break
    return [Hypothesis(network.tokenizer.decode(tokens), total) for total, tokens in ended]


def _next_log_probabilities(
    network: VerifierNetwork, tokens: Tensor, heard: Tensor, heard_mask: Tensor, silent: Tensor
) -> Tensor:
    """Of each token of the vocabulary to come next, float32 [shape=(texts, vocabulary)]; minus infinity of the `silent`."""
    rows = torch.zeros(len(tokens), dtype=torch.int64, device=tokens.device)
    last = decode(network.decoder, tokens, heard, heard_mask, rows)[:, -1]
    states = as_weights(last, network.decoder.layers[0].fc1)
    products = nn.functional.linear(states, network.decoder.embed_tokens.weight.to(states.dtype)).float()
    return products.log_softmax(dim=1).index_fill(1, silent, -torch.inf)
