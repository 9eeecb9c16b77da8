"""Probabilities in plain words, with what a review costs and gains.

Run: .venv/bin/python -m pytest tests/service/test_verdict.py
"""

import pytest
from fakes import checkpoints

from models.errors import InputError
from models.report.figures import ensemble_figures
from models.service.thresholds import Thresholds, explain_thresholds, judge


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


@pytest.mark.slow
def test_the_explanation_follows_the_held_out_answers() -> None:
    figures = ensemble_figures(checkpoints(), {"model2s": 1.0})
    texts = [
        explain_thresholds(Thresholds(low, high), figures) for low, high in ((0.25, 0.75), (0.05, 0.95), (0.0, 1.0))
    ]
    assert "1,200 answers" in texts[0]
    assert texts[0] != texts[1]
    assert "100% were to review." in texts[2]
    assert "held out" not in explain_thresholds(Thresholds(), {})
