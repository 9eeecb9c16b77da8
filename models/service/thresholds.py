"""A probability in plain words: right, wrong, or for a person to review."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from models.ensemble.metrics import N_BINS
from models.errors import InputError
from models.report.figures import review_figures

Verdict = Literal["right", "wrong", "review"]
WORDS: dict[Verdict, str] = {
    "right": "Probably right",
    "wrong": "Probably wrong",
    "review": "Uncertain: please review",
}


@dataclass(frozen=True)
class Thresholds:
    """Below `low` an answer is called wrong, from `high` on right, between them nothing: a person is asked.

    Multiples of 0.05, since what they cost and gain is known in such steps.
    """

    low: float = 0.25
    high: float = 0.75

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high <= 1:
            raise InputError(f"the uncertain range {self.low} to {self.high}: must go up, inside [0, 1]")
        if any(abs(value * N_BINS - round(value * N_BINS)) > 1e-6 for value in (self.low, self.high)):
            raise InputError(f"the uncertain range {self.low} to {self.high}: must be multiples of {1 / N_BINS:g}")


def judge(probability: float, thresholds: Thresholds) -> Verdict:
    if probability < thresholds.low:
        return "wrong"
    return "right" if probability >= thresholds.high else "review"


def explain_thresholds(thresholds: Thresholds, figures: Mapping[str, Any]) -> str:
    """What the uncertain range means, with what it costs and gains on the clips held out in training where that is known."""
    rule = (
        f"Below {thresholds.low:.2f} an answer is called wrong, from {thresholds.high:.2f} on right; "
        "in between please listen yourself."
    )
    if not figures:
        return rule
    reviewed, accuracy = review_figures(figures["bins"], thresholds.low, thresholds.high)
    verdicts = f", and {accuracy:.0%} of the verdicts on the others were right" if reviewed < 1 else ""
    return (
        f"{rule} Of {figures['clips']:,} answers held out in training, {reviewed:.0%} were to review{verdicts}. "
        "On other children and recordings it may be worse."
    )
