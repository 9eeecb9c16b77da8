"""Where an answer may have been begun again. Run: .venv/bin/python -m pytest tests/speech/test_attempts.py"""

import numpy as np
import pytest
from fakes import NO_ANSWERS

from models.speech.attempts import MOST_ATTEMPTS, later_attempts

SAID, PAUSE = (0.5, 0.1), (0.6, 1e-4)  # seconds and loudness


def noise(*parts: tuple[float, float]) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.concatenate([level * rng.standard_normal(int(seconds * 16_000)) for seconds, level in parts]).astype(
        np.float32
    )


def test_an_attempt_begins_before_its_sound_and_lasts_to_the_end() -> None:
    waveform = noise((0.3, 1e-4), SAID, PAUSE, SAID, (0.4, 1e-4))
    (attempt,) = later_attempts(waveform, "cat")
    assert attempt.start_seconds == pytest.approx(1.4 - 0.2, abs=0.04)
    np.testing.assert_array_equal(attempt.waveform, waveform[round(attempt.start_seconds * 16_000) :])
    assert attempt.seconds == pytest.approx(2.3 - attempt.start_seconds)


def test_no_sound_of_the_one_before_is_in_it() -> None:
    """Where the pause is as short as pauses are, what is heard before the sound is pause still."""
    for pause in (0.33, 0.36, 0.5):
        waveform = noise(SAID, (pause, 1e-4), SAID)
        (attempt,) = later_attempts(waveform, "cat")
        assert 0.5 <= attempt.start_seconds + 0.01 < 0.5 + pause


def test_the_last_ones_in_their_order() -> None:
    waveform = noise(*[part for _ in range(6) for part in (SAID, PAUSE)])
    starts = [attempt.start_seconds for attempt in later_attempts(waveform, "cat")]
    assert MOST_ATTEMPTS == len(starts) == 3
    np.testing.assert_allclose(starts, [3 * 1.1 - 0.2, 4 * 1.1 - 0.2, 5 * 1.1 - 0.2], atol=0.04)


def test_what_is_too_short_for_the_text_is_none() -> None:
    """And takes no place of one that is not: words that are said one by one don't hide where they began."""
    word = ((0.3, 0.1), (0.4, 1e-4))
    waveform = noise(SAID, PAUSE, SAID, PAUSE, *word, *word, *word, *word)
    long_text = "the dog and the cat sat on the mat at home"
    starts = [attempt.start_seconds for attempt in later_attempts(waveform, long_text)]
    np.testing.assert_allclose(starts, [1.1 - 0.2, 2.2 - 0.2, 2.9 - 0.2], atol=0.04)
    last = [attempt.start_seconds for attempt in later_attempts(waveform, "at")]
    np.testing.assert_allclose(last, [2.9 - 0.2, 3.6 - 0.2, 4.3 - 0.2], atol=0.04)


@pytest.mark.parametrize("kind", NO_ANSWERS)
def test_what_is_no_answer_has_none(kind: str) -> None:
    assert later_attempts(NO_ANSWERS[kind], "cat") == []


@pytest.mark.parametrize(
    "parts",
    [
        [(2.0, 0.1)],  # noise
        [SAID],
        [PAUSE, SAID, PAUSE],
        [(1.0, 0.0), SAID, (1.0, 0.0)],
        [SAID, (0.1, 1e-4), SAID],  # no pause, but a gap inside a word
        [SAID, PAUSE, (0.02, 0.1), (0.3, 1e-4)],  # a click
    ],
)
def test_an_answer_in_one_go_has_none(parts: list[tuple[float, float]]) -> None:
    assert later_attempts(noise(*parts), "a") == []


def test_what_is_silent_by_itself_is_none() -> None:
    """Of a recording that is hardly an answer: its end would be refused."""
    tone = np.sin(np.arange(8_000, dtype=np.float32))
    for level, n_attempts in ((1.5e-4, 1), (0.8e-4, 0)):
        waveform = np.concatenate([1.5e-4 * tone, np.zeros(8_000, np.float32), level * tone]).astype(np.float32)
        assert len(later_attempts(waveform, "a")) == n_attempts
