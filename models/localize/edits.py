"""How much better a response fits the expected text with one edit than the text itself.

An edit leaves a unit out, puts anything in its place, exchanges it with the next one, or adds anything between two. "Anything" is
a token that stands for one or more frames of whatever speech there is (Pratap et al. 2022, "Star temporal classification"). The
likelihoods sum over all alignments (connectionist temporal classification), so no forced alignment of a text that was not said
is trusted; a comparison of this kind for phones is Cao et al. 2024, "A framework for phoneme-level pronunciation assessment
using CTC".
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain

import torch
from torch import Tensor
from torch.nn.functional import ctc_loss

from models.localize.lattice import Splice, spliced_likelihoods
from models.network.phone_fit import align_phones
from models.network.phones import PAUSE

STAR = -1  # in a sequence of phone classes: any speech, which `with_star` puts last
_MOST_NATS = 60.0  # of a gain: beyond that, all is said
_LEAST_PROBABILITY = 1e-6

Phones = Sequence[int]


@dataclass(frozen=True)
class Gains:
    """Log likelihood of the edited text less that of the text, in nats, within ±60.

    Attributes
    ----------
    missing, different, swapped : float32 [shape=(units,)]
        Swapped: with the better of both neighbours.
    inserted : float32 [shape=(units + 1,)]
        Before each unit and after the last.
    """

    missing: Tensor
    different: Tensor
    swapped: Tensor
    inserted: Tensor


def edit_gains(log_probabilities: Tensor, units: Sequence[Phones], stars: frozenset[int] = frozenset()) -> Gains:
    """Of every single edit; log_probabilities [shape=(frames, classes)] of one response, on the CPU.

    Parameters
    ----------
    units
        Their phones, or what is known of them already: (STAR,) or nothing.
    stars
        Gaps in which something is known to be inserted.
    """
    n, pieces = len(units), with_gaps(units, stars)
    emissions = with_star(log_probabilities).double().numpy()
    likelihoods = torch.from_numpy(spliced_likelihoods(emissions, join(pieces), _single_edits(pieces)))
    gains = (likelihoods[1:] - likelihoods[0]).clamp(-_MOST_NATS, _MOST_NATS).float()
    without, replaced, exchanged, added = gains.split([n, n, n - 1, n + 1])
    none = torch.full((1,), -_MOST_NATS)
    return Gains(without, replaced, torch.maximum(torch.cat([none, exchanged]), torch.cat([exchanged, none])), added)


def _single_edits(pieces: Sequence[Phones]) -> list[Splice]:
    """No edit, then each unit left out, each replaced, each exchanged with the next one, each gap filled; of `with_gaps`."""
    edges = [0, *accumulate(map(len, pieces))]
    units, gaps = range(1, len(pieces), 2), range(0, len(pieces), 2)

    def put(phones: Phones, first: int, end: int) -> Splice:
        return Splice(edges[first], phones, edges[end])

    missing = [put((), unit, unit + 1) for unit in units]
    different = [put((STAR,), unit, unit + 1) for unit in units]
    swapped = [put(join(pieces[unit : unit + 3][::-1]), unit, unit + 3) for unit in units[:-1]]
    inserted = [put((STAR,), gap, gap + 1) for gap in gaps]
    return [put((), 0, 0), *missing, *different, *swapped, *inserted]


def with_gaps(units: Sequence[Phones], stars: Iterable[int]) -> list[Phones]:
    """Units and the gaps before, between and after them, by turns; a gap holds STAR or nothing."""
    filled = set(stars)
    pieces: list[Phones] = []
    for gap in range(len(units) + 1):
        pieces.append((STAR,) if gap in filled else ())
        pieces += units[gap : gap + 1]
    return pieces


def log_likelihoods(log_probabilities: Tensor, sequences: Sequence[Phones]) -> Tensor:
    """log p(sequence | frames) in nats [shape=(sequences,)], of sequences that may hold STAR; at worst -1e4."""
    emissions = with_star(log_probabilities)
    targets, counts = _as_targets(sequences, emissions.shape[1])
    n_frames = emissions.shape[0]
    emissions = emissions[:, None].expand(-1, len(sequences), -1)
    lengths = torch.full((len(sequences),), n_frames)
    return -ctc_loss(emissions, targets, lengths, counts, blank=PAUSE, reduction="none").clamp(max=1e4)


def with_star(log_probabilities: Tensor) -> Tensor:
    """With a last class added, any speech: what is not silence [shape=(frames, classes + 1)]."""
    speech = (1 - log_probabilities[:, PAUSE].exp()).clamp(min=_LEAST_PROBABILITY).log()
    return torch.cat([log_probabilities, speech[:, None]], dim=1)


def place_units(log_probabilities: Tensor, units: Sequence[Phones]) -> list[tuple[int, int]] | None:
    """First frame and the one after the last of each unit on the likeliest way through all (Viterbi).

    Parameters
    ----------
    units
        Phones or STAR; one of neither is placed where the one before it ends.

    Returns
    -------
    list[tuple[int, int]] | None
        None where there are fewer frames than phones.
    """
    emissions = with_star(log_probabilities)
    targets, counts = _as_targets([join(units)], emissions.shape[1])
    path = align_phones(emissions[None], torch.tensor([len(emissions)]), targets, counts)[0]
    if (path < 0).any():
        return None
    spoken = path != PAUSE
    starts = spoken & torch.cat([torch.ones(1, dtype=torch.bool), path[1:] != path[:-1]])
    phone = torch.where(spoken, starts.cumsum(0) - 1, -1)
    places: list[tuple[int, int]] = []
    first = 0
    for unit in units:
        frames = torch.nonzero((phone >= first) & (phone < first + len(unit))).flatten().tolist()
        before = places[-1][1] if places else 0
        places.append((frames[0], frames[-1] + 1) if frames else (before, before))
        first += len(unit)
    return places


def join(units: Sequence[Phones]) -> list[int]:
    return list(chain.from_iterable(units))


def _as_targets(sequences: Sequence[Phones], n_classes: int) -> tuple[Tensor, Tensor]:
    """Padded, with STAR as the last of the classes [shape=(sequences, most)], and their lengths."""
    rows = [
        torch.tensor([n_classes - 1 if phone == STAR else phone for phone in sequence], dtype=torch.long)
        for sequence in sequences
    ]
    counts = torch.tensor([len(row) for row in rows])
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=n_classes - 1), counts
