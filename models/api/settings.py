"""What the one who started the API decides."""

from dataclasses import dataclass

from models.service.identity import ModelName
from models.service.thresholds import Thresholds


@dataclass(frozen=True)
class ApiSettings:
    """Limits of what is taken.

    Attributes
    ----------
    max_score_bytes, max_batch_bytes
        Of a request's body, with one answer and with a table of them.
    max_waiting
        Answers; twice as many may be on their way in or out.
    max_wait_seconds
        For a score. Who would wait longer is told to ask again.
    requests_per_minute
        Of each key.
    """

    thresholds: Thresholds
    model: ModelName
    max_score_bytes: int
    max_batch_bytes: int
    max_waiting: int
    max_wait_seconds: float
    requests_per_minute: int
