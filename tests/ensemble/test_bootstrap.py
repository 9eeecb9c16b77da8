"""What is drawn for intervals. Run: python -m pytest tests/ensemble/test_bootstrap.py"""

import numpy as np
import pytest

from models.ensemble import bootstrap
from models.ensemble.bootstrap import draw_counts


def test_draws_of_few_units_stay_those_of_the_documents() -> None:
    units = np.arange(300) // 3
    drawn = np.random.default_rng(5).multinomial(100, np.full(100, 1 / 100), 40)
    np.testing.assert_array_equal(draw_counts(units, 40, 5), drawn.T[units])


def test_many_units_are_drawn_as_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each draw is of as many units as there are, each as likely, with replacement."""
    monkeypatch.setattr(bootstrap, "_MANY_UNITS", 50)
    counts = draw_counts(np.arange(200), 4000)
    assert (counts.shape, counts.dtype) == ((200, 4000), np.float32)
    np.testing.assert_array_equal(counts.sum(axis=0), 200)
    assert np.abs(counts.mean(axis=1) - 1).max() < 5 / np.sqrt(4000)
    assert counts.var() == pytest.approx(1 - 1 / 200, abs=0.01)
    several = draw_counts(np.arange(400) // 2, 10)
    np.testing.assert_array_equal(several[::2], several[1::2])
    np.testing.assert_array_equal(several[::2], draw_counts(np.arange(200), 10))
