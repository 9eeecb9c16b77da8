"""What is counted, for Prometheus. Nothing in it tells of an answer, a text or a person."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from models.service.batching import Batcher

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300)
_ANSWERS = (1, 2, 4, 8, 16, 32)


class Metrics:
    """Of one API; several in a process don't mix."""

    def __init__(self, batcher: Batcher) -> None:  # type: ignore[type-arg]
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        own = {"registry": self._registry}
        self._requests = Counter("requests", "Requests, by address and status", ["path", "status"], **own)
        self._seconds = Histogram("request_seconds", "Until a request was answered", ["path"], buckets=_SECONDS, **own)
        self._answers = Counter("answers", "Answers that were scored, by verdict", ["verdict"], **own)
        self._together = Histogram("answers_together", "Answers scored together", buckets=_ANSWERS, **own)
        waiting = Gauge("answers_waiting", "Answers that wait for the networks", **own)
        waiting.set_function(lambda: batcher.waiting)
        batcher.on_batch = self._together.observe

    def count_request(self, path: str, status: int, seconds: float) -> None:
        self._requests.labels(path, status).inc()
        self._seconds.labels(path).observe(seconds)

    def count_answer(self, verdict: str) -> None:
        self._answers.labels(verdict).inc()

    def text(self) -> bytes:
        """As Prometheus reads it."""
        return generate_latest(self._registry)
