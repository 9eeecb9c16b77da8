"""Probabilities in plain words.

Run: .venv/bin/python -m pytest tests/service/test_verdict.py
"""

import pytest

from models.errors import InputError
from models.service.thresholds import Thresholds, judge


@pytest.mark.parametrize(
    ("probability", "verdict"),
    [
        (0.0, "wrong"),
        (0.2499, "wrong"),
        (0.25, "review"),
        (0.5, "review"),
        (0.7499, "review"),
        (0.75, "right"),
        (1.0, "right"),
    ],
)
def test_verdicts(probability: float, verdict: str) -> None:
    assert judge(probability, Thresholds()) == verdict


def test_without_an_uncertain_range_nothing_is_to_review() -> None:
    assert {judge(place / 100, Thresholds(0.5, 0.5)) for place in range(101)} == {"right", "wrong"}


@pytest.mark.parametrize(("low", "high"), [(-0.05, 0.5), (0.5, 1.05), (0.6, 0.4), (0.23, 0.75), (float("nan"), 0.5)])
def test_thresholds_that_make_no_sense(low: float, high: float) -> None:
    with pytest.raises(InputError, match="uncertain range"):
        Thresholds(low, high)
