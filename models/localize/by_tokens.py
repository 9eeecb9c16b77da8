"""Localization by the tokens that a verifier judges: method "tokens", which needs no reference.

Each word of the text has its tokens' logits and those of the gaps around it. And each word is left out once: where the text
without it fits better, and nothing else was said in its place, it is missing. Of networks that write, what the likeliest
transcripts hold in each place speaks too, and of those that tell phones how these fit, for how well a word was said.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from torch import Tensor

from models.ensemble.metrics import Values, sigmoid
from models.localize.heard import Transcripts, transcript, weigh, with_heard, written_as_expected
from models.localize.listener import SUREST, Listener
from models.localize.looks import following_heads, word_spans
from models.localize.model import LoadedModel, clip_scalars
from models.localize.phones_said import phones_said
from models.localize.read_text import ReadText
from models.localize.result import Alignment, Array, Localization, Seconds, Unit
from models.localize.said_well import said_well
from models.localize.spans import loud_frames, within
from models.localize.unit_scores import (
    UNLIKELY,
    WRITING,
    Evidence,
    Probabilities,
    likeliest_kind,
    score_evidence,
    table_of_width,
)
from models.network.phones import FRAME_SECONDS
from models.network.verifier import VerifierNetwork
from models.speech.arpabet import Phones
from models.speech.audio import Waveform
from models.speech.pronunciation import accepted_utterances

TABLE = "word, tokens"  # of coefficients, and the network's width


def localize_by_tokens(
    model: LoadedModel, text: str, task: str, grade: str, response: Waveform, given: tuple[Phones, ...] = ()
) -> Localization:
    """Judge each word of the text by its tokens, with times from where they look.

    Parameters
    ----------
    response
        At 16 kHz.
    given
        Pronunciations of the text, where there are any.

    Raises
    ------
    InputError
        Naming a text that the model's tokenizer does not take.
    """
    network = model.network
    assert isinstance(network, VerifierNetwork)
    spectrum = model.spectrum(response)
    listener = Listener(network, spectrum.to(model.device), clip_scalars(task, grade).to(model.device))
    words, end = text.split(), model.heard_seconds(response)
    hypotheses = listener.hypotheses() if listener.can_write else []
    written = weigh(hypotheses, task) if hypotheses else None
    found, evidence = find_evidence(listener, words, written)
    width = int(network.decoder.config.d_model)
    whole = _whole(network, listener, found, task, text, given)
    probabilities = _probabilities(evidence, width, written is not None, whole)
    times, alignment = _look(listener, text, spectrum, end)
    well = said_well(found, width, evidence.units.get("written"), phones_said(listener.phones(), task, text, given))
    units = _units(words, probabilities, well, times)
    heard = written if listener.stands_by(hypotheses) else None
    return Localization(
        expected_text=text,
        method="tokens",
        unit="word",
        probability=whole,
        units=units if heard is None else with_heard(units, heard),
        gap_scores=tuple(probabilities.gaps[:, 0].tolist()),
        response_seconds=end,
        response_log_mel=spectrum.numpy(),
        alignment=alignment,
        transcript=None if heard is None else transcript(heard),
    )


def table_name(width: int, writes: bool = False) -> str:
    """What coefficients that are fitted on such networks are to be called."""
    return f"{TABLE}, width {width}{WRITING if writes else ''}"


def _whole(
    network: VerifierNetwork, listener: Listener, found: ReadText, task: str, text: str, given: Sequence[Phones]
) -> float:
    """The probability that the answer was right."""
    logit = found.whole
    if network.phone_evidence is not None:
        logit = listener.weigh_phones(logit, accepted_utterances(task, text, tuple(given)))
    return float(sigmoid(np.array([logit]))[0])


def _probabilities(evidence: Evidence, width: int, writes: bool, whole: float) -> Probabilities:
    """Of each word and gap. A single word is right where the answer is; without it there is no text to be asked of."""
    suffixes = [WRITING] if writes else []
    found = score_evidence(table_of_width(TABLE, width, *suffixes), evidence)
    return replace(found, units=np.array([[whole, 0.0, 1 - whole]])) if len(found.units) == 1 else found


def _look(listener: Listener, text: str, spectrum: Tensor, end: float) -> tuple[list[Seconds], Alignment]:
    """When each word was spoken, not behind the second `end`, and where its tokens look."""
    every_look, owners = listener.look(text)
    looks, n_words = following_heads(every_look), len(text.split())
    spans = within(word_spans(looks, owners, n_words), loud_frames(spectrum))
    times = [(_seconds(start, end), _seconds(stop, end)) for start, stop in spans]
    return times, _alignment(looks, owners, n_words)


def _seconds(frame: int, end: float) -> float:
    return min(frame * FRAME_SECONDS, end)


def find_evidence(
    listener: Listener, words: Sequence[str], written: Transcripts | None = None
) -> tuple[ReadText, Evidence]:
    """What is said of the text, and the features of each word and gap; those of transcripts where there are any."""
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
    beside = np.concatenate([[SUREST], found.least, [SUREST]])
    gaps = {
        "gap": found.gaps,
        "likely": found.likely,
        "before": beside[:-1],
        "after": beside[1:],
        "others": np.array([np.delete(found.gaps, gap).min() for gap in range(n + 1)]),
        "end": np.full(n + 1, found.end),
        "whole": np.full(n + 1, found.whole),
    }
    if written is not None:
        units["written"], gaps["written"] = written_as_expected(words, written)
    return found, Evidence(units, gaps)


def _units(
    words: Sequence[str], probabilities: Probabilities, well: Values, times: Sequence[Seconds]
) -> tuple[Unit, ...]:
    """In order, with a mark where more was said; what is missing has no length.

    A word that is doubted more than the gap beside it explains what was said there.
    """
    right = np.concatenate([[1.0], probabilities.units[:, 0], [1.0]])
    units: list[Unit] = []
    for gap, (nothing, _) in enumerate(probabilities.gaps.tolist()):
        at = times[gap][0] if gap < len(words) else times[-1][1]
        if nothing < min(UNLIKELY, right[gap], right[gap + 1]):
            units.append(Unit("", "inserted", nothing, at, at))
        if gap < len(words):
            kind = likeliest_kind(probabilities.units[gap])
            stop = at if kind == "missing" else times[gap][1]
            score, of_well = float(probabilities.units[gap, 0]), float(well[gap])
            units.append(Unit(words[gap], kind, score, at, stop, None if kind == "missing" else of_well))
    return tuple(units)


def _alignment(looks: Array, owners: Sequence[int], n_words: int) -> Alignment:
    """Rows through the tokens of the text."""
    edges = [*np.searchsorted(owners, range(n_words)).tolist(), len(owners)]
    rows = tuple((float(start), float(stop)) for start, stop in pairwise(edges))
    return Alignment((looks / looks.max(axis=1, keepdims=True)).astype(np.float32), "expected text", len(owners), rows)
