"""One departure from the text after the other: what is found first explains away what it made look wrong around it.

A single edit is tried against the text as it stands. Where a child departs from it twice, each departure spoils the evidence
about the units beside it; so the surest one is settled first, and the rest is judged again with it in place.
"""

from dataclasses import replace

import numpy as np

from models.ensemble.metrics import Values
from models.localize.edits import join
from models.localize.evidence import Finding, HeardClip, Known, find_evidence
from models.localize.unit_scores import UNLIKELY, Probabilities, likeliest_kind, score_evidence
from models.network.phone_fit import greedy_phones

MOST_ROUNDS = 6  # an answer with more departures is another text
_TIE = 1e-6
_MISSING, _EMPTY_GAP = (0.02, 0.96, 0.02), (0.98, 0.02)  # probabilities of what is plain to see


def find_departures(heard: HeardClip) -> tuple[Finding, Probabilities]:
    """What was found in the text as it stands, and the probabilities when all departures are settled."""
    known = Known()
    first = finding = find_evidence(heard, known)
    nothing = _nothing_said(heard)
    if nothing is not None:
        return first, nothing
    probabilities = score_evidence(heard.table, first.evidence)
    for _ in range(MOST_ROUNDS):
        place = _surest(probabilities, known)
        if place is None:
            break
        known = _settle(heard, finding, probabilities, known, place)
        finding = find_evidence(heard, known)
        floor = float(np.concatenate([probabilities.units[:, 0], probabilities.gaps[:, 0]])[place])
        probabilities = _update(probabilities, score_evidence(heard.table, finding.evidence), known, floor)
    return first, probabilities


def _surest(probabilities: Probabilities, known: Known) -> int | None:
    """Of what is unlikely and not settled: the place of the least likely unit, or n + that of a gap; None where all is."""
    n = len(probabilities.units)
    scores = np.concatenate([probabilities.units[:, 0], probabilities.gaps[:, 0]])
    scores[[*known.kinds, *(n + gap for gap in known.inserted)]] = 1.0
    place = int(np.argmin(scores))
    return place if scores[place] < UNLIKELY else None


def _settle(heard: HeardClip, finding: Finding, probabilities: Probabilities, known: Known, place: int) -> Known:
    """With one more departure known, and what it spoiled kept from the network."""
    gap = place - len(probabilities.units)
    if gap >= 0:
        cuts = (*known.response_cuts, finding.gap_spans[gap])
        return replace(known, inserted=known.inserted | {gap}, response_cuts=cuts)
    kind = likeliest_kind(probabilities.units[place])
    response = () if kind == "missing" else (finding.response_spans[place],)
    return Known(
        {**known.kinds, place: kind},
        known.inserted,
        (*known.reference_cuts, heard.reference_spans[place]),
        (*known.response_cuts, *response),
    )


def _update(before: Probabilities, after: Probabilities, known: Known, floor: float) -> Probabilities:
    """New values for what is not settled. What comes to light later is no surer than what was settled before it.

    Parameters
    ----------
    floor
        The probability of what was settled last.
    """

    def keep(old: Values, new: Values, settled: list[int]) -> Values:
        new = new.copy()
        right = np.maximum(new[:, 0], min(1.0, floor + _TIE))
        new[:, 1:] *= ((1 - right) / (1 - new[:, 0]).clip(min=_TIE))[:, None]
        new[:, 0] = right
        new[settled] = old[settled]
        return new

    return Probabilities(
        keep(before.units, after.units, list(known.kinds)), keep(before.gaps, after.gaps, sorted(known.inserted))
    )


def _nothing_said(heard: HeardClip) -> Probabilities | None:
    """Of a response in which no phone can be read, or too short for the text's: no unit was said. None for others.

    Edits say nothing about such answers: with a word less, the text fits as badly as before.
    """
    if not heard.reads_phones:
        return None
    logits, lengths = heard.response.phone_logits, heard.response.lengths
    n_phones = len(join(heard.pronunciation.phones))
    if int(greedy_phones(logits, lengths)[1]) and n_phones <= int(lengths[0]):
        return None
    n_units = len(heard.pronunciation.texts)
    return Probabilities(np.tile(_MISSING, (n_units, 1)), np.tile(_EMPTY_GAP, (n_units + 1, 1)))
