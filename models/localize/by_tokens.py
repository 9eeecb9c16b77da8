"""Localization by the tokens that a verifier judges: method "tokens", which needs no reference.

A word was said where each of its tokens was. Of a word that was not, the text without it is read too: where nothing else was said
in its place, it is missing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from models.clips.features import FRAMES_PER_SECOND
from models.ensemble.metrics import sigmoid
from models.localize.looks import following_heads, word_spans
from models.localize.model import LoadedModel, clip_scalars
from models.localize.result import Alignment, Array, Kind, Localization, Seconds, Unit
from models.localize.unit_scores import UNLIKELY
from models.network.decoder import cross_attention
from models.network.phones import FRAME_SECONDS
from models.network.verifier import VerifierNetwork
from models.speech.audio import Waveform


@dataclass(frozen=True)
class ReadText:
    """What a verifier says of one text.

    Attributes
    ----------
    logit
        Of the whole answer.
    said
        Probability of each word.
    nothing_before
        Probability that nothing was said before each word, and before the end, that the text lacks.
    """

    logit: float
    said: list[float]
    nothing_before: list[float]


class Listener:
    """One response, heard once, of which any text can be asked."""

    @torch.inference_mode()
    def __init__(self, network: VerifierNetwork, log_mel: Tensor, scalars: Tensor) -> None:
        self._network, self._scalars = network, scalars
        self._heard, self._mask = network.hear(log_mel[None], torch.tensor([log_mel.shape[1]], device=log_mel.device))

    @torch.inference_mode()
    def read(self, texts: Sequence[str]) -> list[ReadText]:
        network, device = self._network, self._heard.device
        encoded = [torch.tensor(network.tokenizer.encode(text)) for text in texts]
        tokens = nn.utils.rnn.pad_sequence(encoded, batch_first=True).to(device)
        counts = torch.tensor([len(one) for one in encoded], device=device)
        rows = torch.zeros(len(texts), dtype=torch.int64, device=device)
        logits, judged = network.judge(self._heard, self._mask, tokens, counts, rows)
        whole = network.answer(network.pooling(logits, judged), self._scalars.expand(len(texts), -1), None)["logits"]
        of_tokens = sigmoid(logits.double().cpu().numpy())
        return [self._of_words(*each) for each in zip(texts, whole.tolist(), of_tokens, strict=True)]

    @torch.inference_mode()
    def look(self, text: str) -> tuple[Array, list[int]]:
        """Where each token of the text looks, by each head [shape=(heads, tokens, frames)], and which word it belongs to."""
        tokens = torch.tensor([self._network.tokenizer.encode(text)], device=self._heard.device)
        weights = cross_attention(self._network.decoder, tokens, self._heard, self._mask)[0].cpu().numpy()
        first = self._network.n_prompt
        return weights[:, first:-1], self._network.tokenizer.words(text)[first:-1]

    def _of_words(self, text: str, logit: float, of_tokens: np.ndarray) -> ReadText:
        words = np.array(self._network.tokenizer.words(text))
        n = len(text.split())
        firsts = [int(np.argmax(words == word)) for word in range(n + 1)]
        said = [float(of_tokens[: len(words)][words == word, 0].min()) for word in range(n)]
        if of_tokens.shape[1] > 1:
            return ReadText(logit, said, of_tokens[firsts, 1].tolist())
        return ReadText(logit, said, [*[1.0] * n, float(of_tokens[firsts[-1], 0])])  # its end alone tells of more


def localize_by_tokens(model: LoadedModel, text: str, task: str, grade: str, response: Waveform) -> Localization:
    """Judge each word of the text by its tokens, with times from where they look.

    Parameters
    ----------
    response
        At 16 kHz.

    Raises
    ------
    InputError
        Naming a text that the model's tokenizer does not take.
    """
    network = model.network
    assert isinstance(network, VerifierNetwork)
    spectrum = model.spectrum(response)
    listener = Listener(network, spectrum.to(model.device), clip_scalars(task, grade).to(model.device))
    found, words = listener.read([text])[0], text.split()
    kinds = _kinds(listener, words, found)
    every_look, owners = listener.look(text)
    looks = following_heads(every_look)
    end = spectrum.shape[1] / FRAMES_PER_SECOND
    spans = [(start * FRAME_SECONDS, stop * FRAME_SECONDS) for start, stop in word_spans(looks, owners, len(words))]
    return Localization(
        expected_text=text,
        method="tokens",
        unit="word",
        probability=float(sigmoid(np.array([found.logit]))[0]),
        units=_units(words, kinds, found, [(min(start, end), min(stop, end)) for start, stop in spans]),
        gap_scores=tuple(found.nothing_before),
        response_seconds=end,
        response_log_mel=spectrum.numpy(),
        alignment=_alignment(looks, owners, len(words)),
    )


def _kinds(listener: Listener, words: Sequence[str], found: ReadText) -> list[Kind]:
    """Of each word."""
    kinds: list[Kind] = ["right" if score >= UNLIKELY else "different" for score in found.said]
    doubted = [place for place, kind in enumerate(kinds) if kind != "right"]
    if len(words) == 1 or not doubted:
        return kinds
    without = listener.read([" ".join([*words[:place], *words[place + 1 :]]) for place in doubted])
    for place, read in zip(doubted, without, strict=True):
        if read.nothing_before[place] >= UNLIKELY:
            kinds[place] = "missing"
    return kinds


def _units(words: Sequence[str], kinds: Sequence[Kind], found: ReadText, spans: Sequence[Seconds]) -> tuple[Unit, ...]:
    """In order, with a mark where more was said."""
    units: list[Unit] = []
    for gap, score in enumerate(found.nothing_before):
        at = spans[gap][0] if gap < len(words) else spans[-1][1]
        if score < UNLIKELY:
            units.append(Unit("", "inserted", score, at, at))
        if gap < len(words):
            stop = at if kinds[gap] == "missing" else spans[gap][1]
            units.append(Unit(words[gap], kinds[gap], found.said[gap], at, stop))
    return tuple(units)


def _alignment(looks: Array, owners: Sequence[int], n_words: int) -> Alignment:
    """Rows through the tokens of the text."""
    edges = [*np.searchsorted(owners, range(n_words)).tolist(), len(owners)]
    rows = tuple((float(start), float(stop)) for start, stop in pairwise(edges))
    return Alignment((looks / looks.max(axis=1, keepdims=True)).astype(np.float32), "expected text", len(owners), rows)
