"""Localization by the alignment that an aligned network computes anyway: method "alignment".

Every single edit of the expected text is tried, and judged twice: by the phones that the network reads in the response
(`models/edits.py`), and by the network itself with the piece in question cut out (`models/occlusion.py`). A network without a
phone classifier, such as one on Whisper's encoder, is asked the second way only.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.aligned import AlignedNetwork, EncodedClips
from models.audio import Waveform
from models.edits import STAR, edit_gains, join, place_units
from models.errors import InputError
from models.evidence import greedy_phones
from models.loaded import LoadedModel, clip_scalars
from models.located import Alignment, Kind, Localization, Unit
from models.metrics import sigmoid
from models.occlusion import NOTHING, Span, logits_without
from models.pretrain.phones import FRAME_SECONDS, PHONE_CLASSES
from models.pronunciation import Pronunciation, pronounce, pronounce_as_read
from models.unit_scores import UNLIKELY, Evidence, Probabilities, likeliest_kind, phone_features, score_evidence
from models.unit_spans import around_gaps, between, evenly, loud_frames, widened

_MISSING, _EMPTY_GAP = (0.02, 0.96, 0.02), (0.98, 0.02)  # probabilities of what is plain to see


@dataclass(frozen=True)
class HeardClip:
    """Both sides as the network hears them, and what was found out.

    reads_phones : whether the network has a phone classifier whose classes are known
    reference_spans, response_spans : encoder frames of each unit
    sounds : whether each encoder frame of the response is loud enough for speech
    """

    reference: EncodedClips
    response: EncodedClips
    reads_phones: bool
    pronunciation: Pronunciation
    reference_spans: list[Span]
    response_spans: list[Span]
    sounds: list[bool]
    logit: float
    evidence: Evidence

    @property
    def table(self) -> str:
        return f"{self.pronunciation.unit}, {'phones and ' if self.reads_phones else ''}network"


def localize_by_frames(
    model: LoadedModel, text: str, task: str, grade: str, reference: Waveform, response: Waveform
) -> Localization:
    """reference, response : at 16 kHz; raises InputError where the model is not an aligned one"""
    spectrum = model.spectrum(response)
    heard = hear(model, text, clip_scalars(task, grade), model.spectrum(reference), spectrum)
    probabilities = nothing_said(heard) or score_evidence(heard.table, heard.evidence)
    end = spectrum.shape[1] / 100
    return Localization(
        expected_text=text,
        method="alignment",
        unit=heard.pronunciation.unit,
        probability=float(sigmoid(np.array([heard.logit]))[0]),
        units=_units(heard, probabilities, end),
        gap_scores=tuple(probabilities.gaps[:, 0].tolist()),
        response_seconds=end,
        response_log_mel=spectrum.numpy(),
        alignment=_alignment(model, heard),
    )


@torch.inference_mode()
def hear(
    model: LoadedModel,
    text: str,
    scalars: Tensor,
    reference: Tensor,
    response: Tensor,
    pronunciation: Pronunciation | None = None,
) -> HeardClip:
    """Encode both sides [shape=(n_mels, frames)] once, and try every edit.

    pronunciation : of the text; None: found here
    """
    network = model.aligned
    if network is None:
        raise InputError(f"{model.name}: reads both sides as one input; --method alignment needs an aligned model")
    sides = [_encode(network, side, model.device) for side in (reference, response)]
    reads_phones = model.reads_phones and network.phone_classes == len(PHONE_CLASSES)
    pronunciation = pronunciation or _pronounce(text, sides[0] if reads_phones else None)
    log_probabilities = sides[1].phone_logits[0].log_softmax(-1).cpu()
    if reads_phones:
        spans = [_spans_by_phones(side, pronunciation) for side in sides]
        gaps = _gap_spans(log_probabilities, pronunciation, spans[1])
    else:
        spans = _spans_by_attention(network, sides, pronunciation)
        gaps = around_gaps(spans[1], sides[1].frames.shape[1])
    logit, evidence = _ask_network(network, sides, spans, gaps, scalars.to(model.device))
    if reads_phones:
        counts = np.array([len(phones) for phones in pronunciation.phones], float)
        frames = np.array([end - start for start, end in gaps], float)
        of_phones = phone_features(edit_gains(log_probabilities, pronunciation.phones), counts, frames)
        evidence = Evidence({**of_phones.units, **evidence.units}, {**of_phones.gaps, **evidence.gaps})
    return HeardClip(
        sides[0], sides[1], reads_phones, pronunciation, spans[0], spans[1], loud_frames(response), logit, evidence
    )


def nothing_said(heard: HeardClip) -> Probabilities | None:
    """Of a response in which no phone can be read, or too short for the text's: no unit was said. None for others.

    One edit says nothing about such answers: with a word less, the text fits as badly as before.
    """
    if not heard.reads_phones:
        return None
    logits, lengths = heard.response.phone_logits, heard.response.lengths
    n_phones = len(join(heard.pronunciation.phones))
    if int(greedy_phones(logits, lengths)[1]) and n_phones <= int(lengths[0]):
        return None
    n_units = len(heard.pronunciation.texts)
    return Probabilities(np.tile(_MISSING, (n_units, 1)), np.tile(_EMPTY_GAP, (n_units + 1, 1)))


def _encode(network: AlignedNetwork, log_mel: Tensor, device: torch.device) -> EncodedClips:
    lengths = torch.tensor([log_mel.shape[1]], device=device)
    return network.encode(log_mel[None].to(device), lengths)


def _pronounce(text: str, reference: EncodedClips | None) -> Pronunciation:
    """By espeak-ng, else as read in the reference, else without phones: words of lengths that go with their letters."""
    found = pronounce(text)
    if found is None and reference is not None:
        phones, counts = greedy_phones(reference.phone_logits, reference.lengths)
        found = pronounce_as_read(text, phones[0, : int(counts[0])].tolist())
    if found is None:
        words = text.split()
        found = Pronunciation("word", tuple(words), tuple((STAR,) * len(word) for word in words))
    return found


def _spans_by_phones(side: EncodedClips, pronunciation: Pronunciation) -> list[Span]:
    log_probabilities = side.phone_logits[0].log_softmax(-1).cpu()
    placed = place_units(log_probabilities, pronunciation.phones)
    return placed or evenly(pronunciation.phones, 0, len(log_probabilities))


def _gap_spans(log_probabilities: Tensor, pronunciation: Pronunciation, response_spans: Sequence[Span]) -> list[Span]:
    """What would have been inserted in each gap."""
    spans = []
    for gap, nothing in enumerate(between(response_spans, len(log_probabilities))):
        units = [*pronunciation.phones[:gap], (STAR,), *pronunciation.phones[gap:]]
        placed = place_units(log_probabilities, units)
        spans.append(placed[gap] if placed else nothing)
    return spans


def _spans_by_attention(
    network: AlignedNetwork, sides: Sequence[EncodedClips], pronunciation: Pronunciation
) -> list[list[Span]]:
    """Units evenly through the reference, by their numbers of phones or letters, and their counterparts in the response."""
    from librosa.sequence import dtw

    weights = network.pooling.attention(sides[0].frames[0], sides[1].frames[0]).cpu()
    path = dtw(C=1 - weights.numpy(), backtrack=True)[1][::-1]  # (steps, 2): reference frame, response frame
    of_reference = evenly(pronunciation.phones, 0, weights.shape[0])
    edges = [int(path[np.searchsorted(path[:, 0], start)][1]) for start, _ in of_reference]
    return [of_reference, list(zip(edges, [*edges[1:], weights.shape[1]], strict=True))]


def _ask_network(
    network: AlignedNetwork,
    sides: Sequence[EncodedClips],
    spans: Sequence[Sequence[Span]],
    gaps: Sequence[Span],
    scalars: Tensor,
) -> tuple[float, Evidence]:
    """The logit of the whole, and by how much it grows where a unit is cut out of the reference or of both sides, or what
    might be inserted out of the response."""
    cuts = [(NOTHING, NOTHING), *((span, NOTHING) for span in spans[0]), *zip(*spans, strict=True)]
    cuts += [(NOTHING, span) for span in gaps]
    logits = logits_without(network, sides[0], sides[1], cuts, scalars).double().numpy()
    n = len(spans[0])
    grown = logits - logits[0]
    units = {"cut_reference": grown[1 : n + 1], "cut_both": grown[n + 1 : 2 * n + 1], "whole": np.full(n, logits[0])}
    return float(logits[0]), Evidence(
        units, {"cut_response": grown[2 * n + 1 :], "whole": np.full(n + 1, float(logits[0]))}
    )


def _units(heard: HeardClip, probabilities: Probabilities, response_seconds: float) -> tuple[Unit, ...]:
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
    spans = _final_spans(heard, pieces)
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


def _final_spans(heard: HeardClip, pieces: Sequence[tuple[str, Kind, float, tuple[int, ...]]]) -> list[Span]:
    n_frames = heard.response.frames.shape[1]
    said = [piece[3] for piece in pieces]
    if heard.reads_phones and any(said):
        log_probabilities = heard.response.phone_logits[0].log_softmax(-1).cpu()
        placed = place_units(log_probabilities, said)
        if placed is not None:
            return widened(placed, said, heard.sounds)
    spans, gaps = iter(heard.response_spans), between(heard.response_spans, n_frames)
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


def _alignment(model: LoadedModel, heard: HeardClip) -> Alignment:
    network = model.aligned
    assert network is not None
    with torch.inference_mode():
        weights = network.pooling.attention(heard.reference.frames[0], heard.response.frames[0])
    times = tuple((start * FRAME_SECONDS, end * FRAME_SECONDS) for start, end in heard.reference_spans)
    return Alignment(weights.float().cpu().numpy(), weights.shape[0] * FRAME_SECONDS, times)
