"""Questions that wait for the networks are answered together, by one thread; who would wait too long is sent away."""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

Question = TypeVar("Question")
Reply = TypeVar("Reply")

_SMOOTHING = 0.1  # of the time that an answer takes


class Busy(Exception):
    """As many wait as may; `retry_after_seconds` tells when there may be room again."""

    def __init__(self, waiting: int, retry_after_seconds: int) -> None:
        super().__init__(f"{waiting} answers are waiting already; ask again in {retry_after_seconds} s")
        self.retry_after_seconds = retry_after_seconds


class Batcher(Generic[Question, Reply]):
    """Hands what waits to `work`, up to `most_at_once` together: a batch grows while the one before it is worked on.

    Parameters
    ----------
    work
        Gives for each question its reply, or the error that its asker is to get; what it raises, all of a batch get.
    most_waiting
        Further ones are refused.
    most_seconds
        Who would wait for longer, as far as that can be told, is refused too.

    Attributes
    ----------
    on_batch
        Told of each batch how many were in it.
    """

    def __init__(
        self,
        work: Callable[[list[Question]], Sequence[Reply | Exception]],
        most_at_once: int,
        most_waiting: int,
        most_seconds: float = math.inf,
    ) -> None:
        self._work, self._most_at_once = work, most_at_once
        self._most_waiting, self._most_seconds = most_waiting, most_seconds
        self._waiting: deque[tuple[Question, Future[Reply]]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._seconds_each = 0.1  # until something has been measured
        self.on_batch: Callable[[int], None] = lambda n_questions: None
        self._worker = threading.Thread(target=self._answer_all, name="scoring", daemon=True)
        self._worker.start()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def is_alive(self) -> bool:
        return self._worker.is_alive()

    def submit(self, question: Question, patient: bool = False) -> "Future[Reply]":
        """The reply to come. A future that is cancelled before its turn is not worked on.

        Parameters
        ----------
        patient
            Wait for room, as a table's answers do, of which the next ones follow by themselves.

        Raises
        ------
        Busy
            Where there is no room, and the asker is not patient.
        """
        future: Future[Reply] = Future()
        with self._changed:
            while self._is_full() and not self._closed:
                if not patient:
                    raise Busy(len(self._waiting), self._retry_after_seconds())
                self._changed.wait()
            if self._closed:
                raise RuntimeError("the service is closed")
            self._waiting.append((question, future))
            self._changed.notify_all()
        return future

    def close(self) -> None:
        """What waits is cancelled; what is being worked on is finished."""
        with self._changed:
            self._closed = True
            for _, future in self._waiting:
                future.cancel()
            self._waiting.clear()
            self._changed.notify_all()
        self._worker.join()

    def _is_full(self) -> bool:
        n_waiting = len(self._waiting)
        return n_waiting >= self._most_waiting or n_waiting * self._seconds_each > self._most_seconds

    def _retry_after_seconds(self) -> int:
        """Until half of what waits is answered."""
        return max(1, math.ceil(self._seconds_each * len(self._waiting) / 2))

    def _answer_all(self) -> None:
        while batch := self._next_batch():
            started = time.monotonic()
            questions = [question for question, _ in batch]
            try:
                replies = self._work(questions)
            except Exception as error:
                replies = [error] * len(batch)
            each = (time.monotonic() - started) / len(batch)
            self._seconds_each += _SMOOTHING * (each - self._seconds_each)
            self.on_batch(len(batch))
            for (_, future), reply in zip(batch, replies, strict=True):
                if isinstance(reply, Exception):
                    future.set_exception(reply)
                else:
                    future.set_result(reply)

    def _next_batch(self) -> list[tuple[Question, "Future[Reply]"]]:
        """Waits for one; empty in the end."""
        batch: list[tuple[Question, Future[Reply]]] = []
        with self._changed:
            while not batch:
                while not self._waiting:
                    if self._closed:
                        return []
                    self._changed.wait()
                while self._waiting and len(batch) < self._most_at_once:
                    question, future = self._waiting.popleft()
                    if future.set_running_or_notify_cancel():
                        batch.append((question, future))
                self._changed.notify_all()
        return batch
