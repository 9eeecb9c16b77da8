"""A probability in plain words: right, wrong, or for a person to review."""

from dataclasses import dataclass
from typing import Literal

from models.ensemble.metrics import N_BINS
from models.errors import InputError

Verdict = Literal["right", "wrong", "review"]


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
