"""What waits is answered together, and who would wait too long is sent away.

Run: .venv/bin/python -m pytest tests/service/test_batching.py
"""

import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError

import pytest

from models.service.batching import Batcher, Busy

WAIT = 10.0  # seconds, far more than anything here takes


class Slow:
    """Doubles numbers, batch by batch, each when it is allowed to."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.allowed, self.begun = threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self, questions: list[int]) -> list[int | Exception]:
        self.batches.append(questions)
        self.begun.release()
        assert self.allowed.acquire(timeout=WAIT)
        if 13 in questions:
            raise OSError("unlucky")
        return [ValueError("odd") if number % 2 else 2 * number for number in questions]


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
def batcher(slow: Slow) -> Iterator[Batcher[int, int]]:
    made: Batcher[int, int] = Batcher(slow, most_at_once=3, most_waiting=4)
    yield made
    slow.allowed.release(100)
    made.close()


def begin(batcher: Batcher[int, int], slow: Slow) -> None:
    """Until the worker is busy with a first question."""
    batcher.submit(0)
    assert slow.begun.acquire(timeout=WAIT)


def test_what_waits_is_answered_together_and_in_order(slow: Slow, batcher: Batcher[int, int]) -> None:
    sizes: list[int] = []
    batcher.on_batch = sizes.append
    begin(batcher, slow)
    futures = [batcher.submit(number) for number in (2, 4, 6, 8)]
    slow.allowed.release(3)
    assert [future.result(WAIT) for future in futures] == [4, 8, 12, 16]
    assert slow.batches == [[0], [2, 4, 6], [8]]
    batcher.close()
    assert sizes == [1, 3, 1]


def test_an_error_is_its_own_askers(slow: Slow, batcher: Batcher[int, int]) -> None:
    """And what breaks a whole batch breaks no later one."""
    begin(batcher, slow)
    even, odd, unlucky = batcher.submit(2), batcher.submit(3), None
    slow.allowed.release(2)
    assert even.result(WAIT) == 4
    with pytest.raises(ValueError, match="odd"):
        odd.result(WAIT)
    unlucky = batcher.submit(13)
    slow.allowed.release(2)
    with pytest.raises(OSError, match="unlucky"):
        unlucky.result(WAIT)
    assert batcher.submit(10).result(WAIT) == 20


def test_who_would_wait_too_long_is_sent_away(slow: Slow, batcher: Batcher[int, int]) -> None:
    begin(batcher, slow)
    for _ in range(4):
        batcher.submit(2)
    with pytest.raises(Busy) as refused:
        batcher.submit(2)
    assert refused.value.retry_after_seconds >= 1
    assert batcher.waiting == 4


def test_who_would_wait_beyond_patience_is_sent_away(slow: Slow) -> None:
    """Told by how long answers have taken so far: 0.1 s each, before any has been measured."""
    batcher: Batcher[int, int] = Batcher(slow, most_at_once=1, most_waiting=100, most_seconds=0.25)
    begin(batcher, slow)
    for _ in range(3):
        batcher.submit(2)
    with pytest.raises(Busy):
        batcher.submit(2)
    slow.allowed.release(100)
    batcher.close()


def test_the_patient_wait_for_room(slow: Slow, batcher: Batcher[int, int]) -> None:
    begin(batcher, slow)
    for _ in range(4):
        batcher.submit(2)
    found: list[int] = []
    patient = threading.Thread(target=lambda: found.append(batcher.submit(10, patient=True).result(WAIT)))
    patient.start()
    patient.join(0.1)
    assert patient.is_alive()
    slow.allowed.release(10)
    patient.join(WAIT)
    assert found == [20]


def test_who_hangs_up_is_not_answered(slow: Slow, batcher: Batcher[int, int]) -> None:
    begin(batcher, slow)
    left, stays = batcher.submit(2), batcher.submit(4)
    assert left.cancel()
    slow.allowed.release(2)
    assert stays.result(WAIT) == 8
    assert slow.batches == [[0], [4]]


def test_closing_lets_nobody_wait_for_ever(slow: Slow, batcher: Batcher[int, int]) -> None:
    begin(batcher, slow)
    for _ in range(4):
        waiting = batcher.submit(2)
    ended: list[Exception] = []

    def wait_for_room() -> None:
        try:
            batcher.submit(2, patient=True)
        except RuntimeError as error:
            ended.append(error)

    patient = threading.Thread(target=wait_for_room)
    patient.start()
    closing = threading.Thread(target=batcher.close)
    closing.start()
    with pytest.raises(CancelledError):
        waiting.result(WAIT)
    slow.allowed.release(100)
    closing.join(WAIT)
    patient.join(WAIT)
    assert "closed" in str(ended[0])
    with pytest.raises(RuntimeError, match="closed"):
        batcher.submit(2)
