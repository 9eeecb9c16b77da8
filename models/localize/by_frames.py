"""Localization by the alignment that an aligned network computes anyway: method "alignment".

Every single edit of the expected text is tried, and judged twice: by the phones that the network reads in the response
(`edits.py`), and by the network itself with the piece in question cut out (`cuts.py`). A network without a
phone classifier, such as one on Whisper's encoder, is asked the second way only.
"""

from collections.abc import Sequence

import numpy as np
import torch

from models.ensemble.metrics import sigmoid
from models.localize.cuts import Span
from models.localize.decide import find_departures
from models.localize.edits import STAR, place_units
from models.localize.evidence import Finding, HeardClip, hear
from models.localize.model import LoadedModel, clip_scalars
from models.localize.result import Alignment, Kind, Localization, Unit
from models.localize.spans import between, widened
from models.localize.unit_scores import UNLIKELY, Probabilities, likeliest_kind
from models.network.phones import FRAME_SECONDS
from models.speech.audio import Waveform


def localize_by_frames(
    model: LoadedModel,
    text: str,
    task: str,
    grade: str,
    utterances: Sequence[str],
    reference: Waveform,
    response: Waveform,
) -> Localization:
    """Judge every single edit of the text by the frames of an aligned network.

    Parameters
    ----------
    utterances
        What the reference says for the text, then what is accepted too.
    reference, response
        At 16 kHz; raises InputError where the model is not an aligned one.
    """
    spectrum = model.spectrum(response)
    heard = hear(model, text, utterances, clip_scalars(task, grade), model.spectrum(reference), spectrum)
    finding, probabilities = find_departures(heard)
    end = model.heard_seconds(response)
    return Localization(
        expected_text=text,
        method="alignment",
        unit=heard.pronunciation.unit,
        probability=float(sigmoid(np.array([finding.logit]))[0]),
        units=_units(heard, finding, probabilities, end),
        gap_scores=tuple(probabilities.gaps[:, 0].tolist()),
        response_seconds=end,
        response_log_mel=spectrum.numpy(),
        alignment=_alignment(heard),
    )


def _units(
    heard: HeardClip, finding: Finding, probabilities: Probabilities, response_seconds: float
) -> tuple[Unit, ...]:
    """In order, with times on the likeliest way through what was found to be said."""
    pieces: list[tuple[str, Kind, float, tuple[int, ...]]] = []
    texts, phones = heard.pronunciation.texts, heard.pronunciation.phones
    for place, gap in enumerate(probabilities.gaps):
        if gap[0] < UNLIKELY:
            pieces.append(("", "inserted", float(gap[0]), (STAR,)))
        if place < len(texts):
            score = float(probabilities.units[place, 0])
            kind = likeliest_kind(probabilities.units[place])
            said = {"right": phones[place], "missing": (), "different": (STAR,)}[kind]
            pieces.append((texts[place], kind, score, said))
    spans = _final_spans(heard, finding, pieces)
    return tuple(
        Unit(
            text,
            kind,
            score,
            min(start * FRAME_SECONDS, response_seconds),
            min(end * FRAME_SECONDS, response_seconds),
        )
        for (text, kind, score, _), (start, end) in zip(pieces, spans, strict=True)
    )


def _final_spans(
    heard: HeardClip, finding: Finding, pieces: Sequence[tuple[str, Kind, float, tuple[int, ...]]]
) -> list[Span]:
    n_frames = heard.response.frames.shape[1]
    said = [piece[3] for piece in pieces]
    if heard.reads_phones and any(said):
        placed = place_units(heard.log_probabilities, said)
        if placed is not None:
            return widened(placed, said, heard.sounds)
    spans, gaps = iter(finding.response_spans), between(finding.response_spans, n_frames)
    found: list[Span] = []
    seen = 0
    for _, kind, _, _ in pieces:
        if kind == "inserted":
            found.append(gaps[seen])
            continue
        seen += 1
        start, end = next(spans)
        found.append((start, start) if kind == "missing" else (start, end))
    return found


def _alignment(heard: HeardClip) -> Alignment:
    with torch.inference_mode():
        weights = heard.network.pooling.attention(heard.reference.frames[0], heard.response.frames[0])
    times = tuple((start * FRAME_SECONDS, end * FRAME_SECONDS) for start, end in heard.reference_spans)
    return Alignment(weights.float().cpu().numpy(), "reference", weights.shape[0] * FRAME_SECONDS, times)
