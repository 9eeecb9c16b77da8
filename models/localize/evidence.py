"""Both sides of a clip as an aligned network hears them, and the evidence for and against every edit of the text."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from models.errors import InputError
from models.localize.accepted import pronounce_as_heard
from models.localize.cuts import Span, Spans, logits_without
from models.localize.edits import STAR, Phones, edit_gains, place_units, with_gaps
from models.localize.model import LoadedModel
from models.localize.result import Kind
from models.localize.spans import around_gaps, between, evenly, loud_frames
from models.localize.unit_scores import Evidence, phone_features
from models.localize.units import Pronunciation, pronounce, pronounce_as_read
from models.network.aligned import AlignedNetwork, EncodedClips
from models.network.phone_fit import greedy_phones
from models.network.phones import PHONE_CLASSES


@dataclass(frozen=True)
class HeardClip:
    """One clip as an aligned network hears it.

    Attributes
    ----------
    reads_phones
        Whether the network has a phone classifier whose classes are known.
    log_probabilities : float32 [shape=(frames, classes)]
        Of the response's phones, on the CPU.
    pronunciation
        Of those that are accepted the one that fits the response best.
    reference_spans
        Encoder frames of each unit.
    sounds
        Whether each encoder frame of the response is loud enough for speech.
    scalars : [shape=(1, 2)]
        Task and grade.
    """

    network: AlignedNetwork
    reference: EncodedClips
    response: EncodedClips
    reads_phones: bool
    log_probabilities: Tensor
    pronunciation: Pronunciation
    reference_spans: list[Span]
    sounds: list[bool]
    scalars: Tensor

    @property
    def table(self) -> str:
        """The coefficients that go with this kind of network and unit."""
        return f"{self.pronunciation.unit}, {'phones and ' if self.reads_phones else ''}network"


@dataclass(frozen=True)
class Known:
    """Departures from the text that are settled: how units were said, where something was inserted, and what of both sides
    the network is not to hear any more."""

    kinds: dict[int, Kind] = field(default_factory=dict)
    inserted: frozenset[int] = frozenset()
    reference_cuts: Spans = ()
    response_cuts: Spans = ()

    def said(self, units: Sequence[Phones]) -> list[Phones]:
        """What stands for each unit in the response: its phones, any speech, or nothing."""
        stand_ins: dict[Kind, Phones] = {"missing": (), "different": (STAR,)}
        return [stand_ins.get(self.kinds.get(place, "right"), unit) for place, unit in enumerate(units)]


@dataclass(frozen=True)
class Finding:
    """What a network says of a clip and of every edit of its text.

    Attributes
    ----------
    response_spans, gap_spans
        Encoder frames of each unit, and of what might have been inserted in each gap.
    logit
        The network's, of all that is not cut.
    """

    response_spans: list[Span]
    gap_spans: list[Span]
    logit: float
    evidence: Evidence


@torch.inference_mode()
def hear(
    model: LoadedModel, text: str, utterances: Sequence[str], scalars: Tensor, reference: Tensor, response: Tensor
) -> HeardClip:
    """Encode both sides [shape=(n_mels, frames)], once.

    Parameters
    ----------
    utterances
        What the reference says for the text, then what is accepted too, as from `accepted_utterances`.
    """
    network = model.aligned
    if network is None:
        raise InputError(f"{model.name}: reads both sides as one input; --method alignment needs an aligned model")
    left, right = (_encode(network, side, model.device) for side in (reference, response))
    reads_phones = model.reads_phones and network.phone_names == PHONE_CLASSES
    said = _pronounce(text, utterances[0], left if reads_phones else None)
    heard = pronounce_as_heard(text, utterances, _log_probabilities(right)) if reads_phones else None
    pronunciation = heard or said
    spoken = (
        said if len(said.phones) == len(pronunciation.phones) else pronunciation
    )  # phones of a word can be more or fewer
    placed = place_units(_log_probabilities(left), spoken.phones) if reads_phones else None
    spans = placed or evenly(spoken.phones, 0, left.frames.shape[1])
    return HeardClip(
        network,
        left,
        right,
        reads_phones,
        _log_probabilities(right),
        pronunciation,
        spans,
        loud_frames(response),
        scalars.to(model.device),
    )


@torch.inference_mode()
def find_evidence(heard: HeardClip, known: Known) -> Finding:
    """For and against every edit beside what is known already."""
    spans, gaps = _spans_by_phones(heard, known) if heard.reads_phones else _spans_by_attention(heard)
    logit, evidence = _ask_network(heard, known, spans, gaps)
    if heard.reads_phones:
        units = heard.pronunciation.phones
        counts = np.array([len(phones) for phones in units], float)
        frames = np.array([end - start for start, end in gaps], float)
        settled = np.array([place in known.kinds for place in range(len(units))])
        settled = np.concatenate([settled, [gap in known.inserted for gap in range(len(gaps))]])
        gains = edit_gains(heard.log_probabilities, known.said(units), known.inserted)
        of_phones = phone_features(gains, counts, frames, settled)
        evidence = Evidence({**of_phones.units, **evidence.units}, {**of_phones.gaps, **evidence.gaps})
    return Finding(spans, gaps, logit, evidence)


def _encode(network: AlignedNetwork, log_mel: Tensor, device: torch.device) -> EncodedClips:
    lengths = torch.tensor([log_mel.shape[1]], device=device)
    return network.encode(log_mel[None].to(device), lengths)


def _pronounce(text: str, utterance: str, reference: EncodedClips | None) -> Pronunciation:
    """By espeak-ng, else as read in the reference, else without phones: words of lengths that go with their letters."""
    found = pronounce(text, utterance)
    if found is None and reference is not None:
        phones, counts = greedy_phones(reference.phone_logits, reference.lengths)
        found = pronounce_as_read(text, phones[0, : int(counts[0])].tolist())
    if found is None:
        words = text.split()
        found = Pronunciation("word", tuple(words), tuple((STAR,) * len(word) for word in words))
    return found


def _log_probabilities(clip: EncodedClips) -> Tensor:
    return clip.phone_logits[0].log_softmax(-1).cpu()


def _spans_by_phones(heard: HeardClip, known: Known) -> tuple[list[Span], list[Span]]:
    """Of the units in the response, and of what would have been inserted in each gap."""
    said, n_frames = known.said(heard.pronunciation.phones), len(heard.log_probabilities)

    def place(stars: frozenset[int]) -> list[Span] | None:
        return place_units(heard.log_probabilities, with_gaps(said, stars))

    whole = place(known.inserted)
    spans = whole[1::2] if whole else evenly(heard.pronunciation.phones, 0, n_frames)
    gaps = []
    for gap, nothing in enumerate(between(spans, n_frames)):
        placed = place(known.inserted | {gap})
        gaps.append(placed[2 * gap] if placed else nothing)
    return spans, gaps


def _spans_by_attention(heard: HeardClip) -> tuple[list[Span], list[Span]]:
    """Of the counterparts of the reference's units, and of a word's length around each gap."""
    from librosa.sequence import dtw

    weights = heard.network.pooling.attention(heard.reference.frames[0], heard.response.frames[0]).cpu()
    path = dtw(C=1 - weights.numpy(), backtrack=True)[1][::-1]  # (steps, 2): reference frame, response frame
    edges = [int(path[np.searchsorted(path[:, 0], start)][1]) for start, _ in heard.reference_spans]
    spans = list(zip(edges, [*edges[1:], weights.shape[1]], strict=True))
    return spans, around_gaps(spans, weights.shape[1])


def _ask_network(heard: HeardClip, known: Known, spans: Sequence[Span], gaps: Sequence[Span]) -> tuple[float, Evidence]:
    """The logit of the whole, and by how much it grows where a unit is cut out of the reference or of both sides, or what
    might be inserted out of the response."""
    left, right = known.reference_cuts, known.response_cuts
    cuts = [(left, right)]
    cuts += [((*left, span), right) for span in heard.reference_spans]
    cuts += [((*left, span), (*right, other)) for span, other in zip(heard.reference_spans, spans, strict=True)]
    cuts += [(left, (*right, span)) for span in gaps]
    found = logits_without(heard.network, heard.reference, heard.response, cuts, heard.scalars)
    logits, n = found.double().numpy(), len(spans)
    grown, whole = logits - logits[0], float(logits[0])
    units = {"cut_reference": grown[1 : n + 1], "cut_both": grown[n + 1 : 2 * n + 1], "whole": np.full(n, whole)}
    return whole, Evidence(units, {"cut_response": grown[2 * n + 1 :], "whole": np.full(n + 1, whole)})
