"""Texts that differ in one place, likelihoods of all at once. Run: python -m pytest tests/localize/test_lattice.py"""

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor

from models.localize.edits import STAR, Phones, edit_gains, join, log_likelihoods, with_gaps
from models.localize.lattice import Splice, spliced_likelihoods

N_CLASSES = 5  # few, so that phones repeat


def gains_one_by_one(log_probabilities: Tensor, units: list[Phones], stars: frozenset[int]) -> list[list[float]]:
    """Of each edit by the whole likelihood of its own text: missing, different, swapped with the next one, inserted."""

    def likelihoods(texts: list[list[Phones]], filled: list[frozenset[int]]) -> Tensor:
        sequences = [join(with_gaps(text, gaps)) for text, gaps in zip(texts, filled, strict=True)]
        return log_likelihoods(log_probabilities, sequences) if texts else torch.zeros(0)

    n = len(units)
    swapped = [[*units[:i], units[i + 1], units[i], *units[i + 2 :]] for i in range(n - 1)]
    replaced = [[[*units[:i], other, *units[i + 1 :]] for i in range(n)] for other in ((), (STAR,))]
    whole = likelihoods([units], [stars])
    found = [likelihoods(texts, [stars] * len(texts)) for texts in (*replaced, swapped)]
    found.append(likelihoods([units] * (n + 1), [stars | {gap} for gap in range(n + 1)]))
    return [(values - whole).clamp(-60, 60).tolist() for values in found]


def heard(n_frames: int, sureness: float, seed: int) -> Tensor:
    """In float64, so that the oracle errs less than what is compared."""
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(n_frames, N_CLASSES, generator=generator).double() * sureness).log_softmax(-1)


spoken = st.lists(st.integers(1, N_CLASSES - 1), max_size=4).map(tuple)
some_units = st.lists(st.one_of(spoken, st.just((STAR,))), min_size=1, max_size=6)


@given(
    st.integers(1, 50), st.sampled_from([0.5, 3.0, 30.0]), some_units, st.frozensets(st.integers(0, 6)), st.integers(0)
)
@example(12, 3.0, [(1,), (1,), (2,), (2,), (2,)], frozenset(), 0)  # equal phones meet where one is left out
@example(12, 3.0, [(1,), (STAR,), (2,)], frozenset({0, 1, 2, 3}), 0)
@example(12, 3.0, [(), (), ()], frozenset(), 0)
@example(1, 0.5, [(1, 2)], frozenset({1}), 0)  # impossible with any edit
@example(3, 0.5, [(1, 2), (3,), (4,)], frozenset(), 0)  # … without one
def test_every_edit_gains_what_its_own_text_would(
    n_frames: int, sureness: float, units: list[Phones], stars: frozenset[int], seed: int
) -> None:
    stars = frozenset(gap for gap in stars if gap <= len(units))
    log_probabilities = heard(n_frames, sureness, seed % 2**32)
    missing, different, swapped, inserted = gains_one_by_one(log_probabilities, units, stars)
    found = edit_gains(log_probabilities, units, stars)
    best_swap = [max(pair) for pair in zip([-60.0, *swapped], [*swapped, -60.0], strict=True)]
    assert found.missing.tolist() == pytest.approx(missing, abs=1e-4)
    assert found.different.tolist() == pytest.approx(different, abs=1e-4)
    assert found.swapped.tolist() == pytest.approx(best_swap, abs=1e-4)
    assert found.inserted.tolist() == pytest.approx(inserted, abs=1e-4)


def test_a_sentence_in_float32() -> None:
    """As networks give it: 200 frames, 40 classes, 25 phones."""
    generator = torch.Generator().manual_seed(0)
    log_probabilities = (torch.randn(200, 40, generator=generator) * 4).log_softmax(-1)
    units: list[Phones] = [(int(phone),) for phone in torch.randint(1, 40, (25,), generator=generator)]
    found = edit_gains(log_probabilities, units)
    missing, different, _, inserted = gains_one_by_one(log_probabilities, units, frozenset())
    assert found.missing.dtype == torch.float32
    for gains, expected in ((found.missing, missing), (found.different, different), (found.inserted, inserted)):
        assert gains.tolist() == pytest.approx(expected, abs=1e-3)


def test_what_no_frame_allows_is_as_unlikely_as_can_be() -> None:
    log_probabilities = heard(8, 1.0, 0)
    log_probabilities[:, 3] = -torch.inf
    with np.errstate(all="raise", under="ignore"):
        found = spliced_likelihoods(
            log_probabilities.numpy(), [1, 3, 2], [Splice(0, (), 0), Splice(1, (), 2), Splice(1, (4, 4), 2)]
        )
    expected = log_likelihoods(log_probabilities, [[1, 3, 2], [1, 2], [1, 4, 4, 2]]).tolist()
    assert expected[0] == -1e4
    assert found.tolist() == pytest.approx(expected, abs=1e-4)
