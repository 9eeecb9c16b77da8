"""Localization by the tokens that a verifier judges: method "tokens", which needs no reference.

Each word of the text has its tokens' logits and those of the gaps around it. And each word is left out once: where the text
without it fits better, and nothing else was said in its place, it is missing.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from models.clips.features import FRAMES_PER_SECOND
from models.ensemble.metrics import Values, sigmoid
from models.localize.looks import following_heads, word_spans
from models.localize.model import LoadedModel, clip_scalars
from models.localize.read_text import ReadText
from models.localize.result import Alignment, Array, Localization, Seconds, Unit
from models.localize.said_well import said_well
from models.localize.spans import loud_frames, within
from models.localize.unit_scores import UNLIKELY, Evidence, Probabilities, has_table, likeliest_kind, score_evidence
from models.network.decoder import cross_attention
from models.network.phones import FRAME_SECONDS
from models.network.verifier import VerifierNetwork
from models.speech.audio import Waveform

_USUAL_WIDTH = 512  # whisper-base's; networks of another size answer on other scales
_SUREST = 12.0  # logits beyond it say no more
_TEXTS_AT_ONCE = 16  # of a long text there are many


class Listener:
    """One response, heard once, of which any text can be asked."""

    @torch.inference_mode()
    def __init__(self, network: VerifierNetwork, log_mel: Tensor, scalars: Tensor) -> None:
        self._network, self._scalars = network, scalars
        self._heard, self._mask = network.hear(log_mel[None], torch.tensor([log_mel.shape[1]], device=log_mel.device))

    def read(self, texts: Sequence[str]) -> list[ReadText]:
        parts = (texts[start : start + _TEXTS_AT_ONCE] for start in range(0, len(texts), _TEXTS_AT_ONCE))
        return [found for part in parts for found in self._read_some(part)]

    @torch.inference_mode()
    def _read_some(self, texts: Sequence[str]) -> list[ReadText]:
        network, device = self._network, self._heard.device
        encoded = [torch.tensor(network.tokenizer.encode(text)) for text in texts]
        tokens = nn.utils.rnn.pad_sequence(encoded, batch_first=True).to(device)
        counts = torch.tensor([len(one) for one in encoded], device=device)
        rows = torch.zeros(len(texts), dtype=torch.int64, device=device)
        logits, judged = network.judge(self._heard, self._mask, tokens, counts, rows)
        whole = network.answer(network.pooling(logits, judged), self._scalars.expand(len(texts), -1), None)["logits"]
        of_tokens = logits.double().cpu().numpy().clip(-_SUREST, _SUREST)
        return [self._of_words(*each) for each in zip(texts, whole.tolist(), of_tokens, strict=True)]

    @torch.inference_mode()
    def look(self, text: str) -> tuple[Array, list[int]]:
        """Where each token of the text looks, by each head [shape=(heads, tokens, frames)], and which word it belongs to."""
        tokens = torch.tensor([self._network.tokenizer.encode(text)], device=self._heard.device)
        weights = cross_attention(self._network.decoder, tokens, self._heard, self._mask)[0].cpu().numpy()
        first = self._network.n_prompt
        return weights[:, first:-1], self._network.tokenizer.words(text)[first:-1]

    def _of_words(self, text: str, whole: float, of_tokens: Values) -> ReadText:
        words = np.array(self._network.tokenizer.words(text))
        n = len(text.split())
        said, gaps, likely = of_tokens[: len(words)].T
        least = np.array([said[words == word].min() for word in range(n)])
        of_words = [likely[words == word] for word in range(n + 1)]
        least_likely, means = (np.array([take(word) for word in of_words]) for take in (np.min, np.mean))
        firsts = [int(np.argmax(words == word)) for word in range(n + 1)]
        return ReadText(whole, least, least_likely, means, gaps[firsts], float(said[firsts[-1]]))


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
    words = text.split()
    found, evidence = find_evidence(listener, words)
    probabilities = score_evidence(table_of(network), evidence)
    whole = float(sigmoid(np.array([found.whole]))[0])
    if len(words) == 1:  # it is right where the answer is; without it there is no text to be asked of
        probabilities = replace(probabilities, units=np.array([[whole, 0.0, 1 - whole]]))
    every_look, owners = listener.look(text)
    looks = following_heads(every_look)
    end = spectrum.shape[1] / FRAMES_PER_SECOND
    spans = within(word_spans(looks, owners, len(words)), loud_frames(spectrum))
    return Localization(
        expected_text=text,
        method="tokens",
        unit="word",
        probability=whole,
        units=_units(
            words,
            probabilities,
            said_well(found),
            [(_seconds(start, end), _seconds(stop, end)) for start, stop in spans],
        ),
        gap_scores=tuple(probabilities.gaps[:, 0].tolist()),
        response_seconds=end,
        response_log_mel=spectrum.numpy(),
        alignment=_alignment(looks, owners, len(words)),
    )


def table_of(network: VerifierNetwork) -> str:
    """The coefficients that were fitted on networks of this size, or else those of the usual one."""
    own = table_name(int(network.decoder.config.d_model))
    return own if has_table(own) else table_name(_USUAL_WIDTH)


def table_name(width: int) -> str:
    return f"word, tokens, width {width}"


def _seconds(frame: int, end: float) -> float:
    return min(frame * FRAME_SECONDS, end)


def find_evidence(listener: Listener, words: Sequence[str]) -> tuple[ReadText, Evidence]:
    """What is said of the text, and the features of each word and gap."""
    n = len(words)
    texts = [" ".join([*words[:place], *words[place + 1 :]]) for place in range(n)] if n > 1 else []
    found, *without = listener.read([" ".join(words), *texts])
    units = {
        "least": found.least,
        "likely": found.likely[:-1],
        "gap_without": np.array([read.gaps[place] for place, read in enumerate(without)] or [0.0]),
        "gain_without": np.array([read.whole - found.whole for read in without] or [0.0]),
        "next_without": np.array([read.likely[place] for place, read in enumerate(without)] or [0.0]),
        "gap_before": found.gaps[:-1],
        "gap_after": found.gaps[1:],
        "whole": np.full(n, found.whole),
    }
    beside = np.concatenate([[_SUREST], found.least, [_SUREST]])
    gaps = {
        "gap": found.gaps,
        "likely": found.likely,
        "before": beside[:-1],
        "after": beside[1:],
        "others": np.array([np.delete(found.gaps, gap).min() for gap in range(n + 1)]),
        "end": np.full(n + 1, found.end),
        "whole": np.full(n + 1, found.whole),
    }
    return found, Evidence(units, gaps)


def _units(
    words: Sequence[str], probabilities: Probabilities, well: Values, spans: Sequence[Seconds]
) -> tuple[Unit, ...]:
    """In order, with a mark where more was said; what is missing has no length.

    A word that is doubted more than the gap beside it explains what was said there.
    """
    right = np.concatenate([[1.0], probabilities.units[:, 0], [1.0]])
    units: list[Unit] = []
    for gap, (nothing, _) in enumerate(probabilities.gaps.tolist()):
        at = spans[gap][0] if gap < len(words) else spans[-1][1]
        if nothing < min(UNLIKELY, right[gap], right[gap + 1]):
            units.append(Unit("", "inserted", nothing, at, at))
        if gap < len(words):
            kind = likeliest_kind(probabilities.units[gap])
            stop = at if kind == "missing" else spans[gap][1]
            score, of_well = float(probabilities.units[gap, 0]), float(well[gap])
            units.append(Unit(words[gap], kind, score, at, stop, None if kind == "missing" else of_well))
    return tuple(units)


def _alignment(looks: Array, owners: Sequence[int], n_words: int) -> Alignment:
    """Rows through the tokens of the text."""
    edges = [*np.searchsorted(owners, range(n_words)).tolist(), len(owners)]
    rows = tuple((float(start), float(stop)) for start, stop in pairwise(edges))
    return Alignment((looks / looks.max(axis=1, keepdims=True)).astype(np.float32), "expected text", len(owners), rows)
