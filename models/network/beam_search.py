"""What a decoder would write down of what it hears: the likeliest texts, by beam search."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.network.layers import add, as_weights, feed_forward, keys_and_values, look, within_half
from models.network.verifier import VerifierNetwork
from models.network.whisper import WhisperDecoder


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


class _Writer:
    """A decoder that writes on at several texts of one clip, each token by token; what it has written it does not read again."""

    def __init__(self, decoder: WhisperDecoder, heard: Tensor, heard_mask: Tensor) -> None:
        self._decoder, self._mask = decoder, heard_mask[:, None, None]
        self._heard = [keys_and_values(layer.encoder_attn, heard) for layer in decoder.layers]
        self._written: list[tuple[Tensor, Tensor]] = []
        self._length = 0

    def write(self, rows: Tensor, tokens: Tensor) -> Tensor:
        """The log-probability of each token of the vocabulary to come next, float32 [shape=(texts, vocabulary)].

        Parameters
        ----------
        rows : int64 [shape=(texts,)]
            Which of the texts so far each goes on from.
        tokens : int64 [shape=(texts, tokens)]
            With which: of the prompt all at once, then one at a time.
        """
        decoder, length = self._decoder, self._length + tokens.shape[1]
        hidden = decoder.embed_tokens(tokens) + decoder.embed_positions.weight[self._length : length]
        for place, layer in enumerate(decoder.layers):
            states = layer.self_attn_layer_norm(hidden)
            keys, values = self._with_earlier(place, rows, keys_and_values(layer.self_attn, states))
            hidden = add(layer, hidden, look(layer.self_attn, states, keys, values, causal=tokens.shape[1] > 1))
            states = layer.encoder_attn_layer_norm(hidden)
            hidden = add(layer, hidden, look(layer.encoder_attn, states, *self._heard[place], self._mask))
            hidden = within_half(feed_forward(layer, hidden))
        self._length = length
        last = as_weights(decoder.layer_norm(hidden)[:, -1], decoder.layers[0].fc1)
        products = nn.functional.linear(last, decoder.embed_tokens.weight.to(last.dtype))
        return products.float().log_softmax(dim=1)

    def _with_earlier(self, place: int, rows: Tensor, new: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """A layer's keys and values of all tokens so far."""
        if place == len(self._written):
            self._written.append(new)
        else:
            earlier = self._written[place]
            self._written[place] = (
                torch.cat([earlier[0][rows], new[0]], dim=2),
                torch.cat([earlier[1][rows], new[1]], dim=2),
            )
        return self._written[place]


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
    silent = torch.tensor(sorted(network.tokenizer.silent - {end}), device=heard.device)
    writer = _Writer(network.decoder, heard, heard_mask)
    texts: list[list[int]] = [[]]
    totals = torch.zeros(1, device=heard.device)
    rows, tokens = torch.zeros(1, dtype=torch.int64, device=heard.device), torch.tensor([prompt], device=heard.device)
    ended: list[tuple[float, list[int]]] = []
    for _ in range(min(most_tokens, network.tokenizer.most_tokens - len(prompt))):
        scores = totals[:, None] + writer.write(rows, tokens).index_fill(1, silent, -torch.inf)
        ended = sorted([*ended, *zip(scores[:, end].tolist(), texts, strict=True)], reverse=True)[:beams]
        scores[:, end] = -torch.inf
        best, places = scores.flatten().topk(min(beams, scores.numel()))
        totals = best[best.isfinite()]
        rows, tokens = (part[: len(totals)] for part in (places // scores.shape[1], places % scores.shape[1]))
        texts = [[*texts[row], token] for row, token in zip(rows.tolist(), tokens.tolist(), strict=True)]
        tokens = tokens[:, None]
        # No total grows: what is behind as many ended ones as there are beams stays there.
        if not len(totals) or (len(ended) == beams and float(totals.max()) < ended[-1][0]):
            break
    return [Hypothesis(network.tokenizer.decode(text), total) for total, text in ended]
