"""The likeliest way through an answer whose words may be begun again. Run: python -m pytest tests/network/test_restarts.py"""

import itertools

import numpy as np
import pytest
import torch
from torchaudio.functional import forced_align

from models.network.phones import PAUSE
from models.network.restarts import RESTART_NATS, spoken_path

N_CLASSES = 7
PHONES, WORDS = np.array([1, 2, 3, 4, 5, 6]), np.array([0, 0, 1, 1, 2, 2])


def spoken(*phones: int) -> np.ndarray:
    """Two frames of each, with a pause behind it."""
    classes = [frame for phone in phones for frame in (phone, phone, PAUSE)]
    return torch.nn.functional.one_hot(torch.tensor(classes), N_CLASSES).float().mul(9).log_softmax(dim=1).numpy()


def heard(path: np.ndarray | None) -> list[int]:
    assert path is not None
    return [int(phone) for phone, _ in itertools.groupby(path.tolist()) if phone != PAUSE]


@pytest.mark.parametrize("seed", range(5))
def test_where_nothing_is_said_again_it_is_the_way_of_ctc(seed: int) -> None:
    """A single word of one phone has nowhere to go back to; of more, forced alignment is the oracle where going back costs."""
    rng = np.random.default_rng(seed)
    frames = torch.from_numpy(rng.normal(size=(25, N_CLASSES))).log_softmax(dim=1).float()
    phones = rng.integers(1, N_CLASSES, 5)
    ours = spoken_path(frames.numpy(), phones, np.zeros(5, np.int64))
    theirs, scores = forced_align(frames[None], torch.from_numpy(phones)[None], blank=PAUSE)
    assert ours is not None
    score = frames.numpy()[np.arange(25), ours].sum()
    assert score >= float(scores.sum()) - 1e-4  # it may go back, and only where that pays
    if score <= float(scores.sum()) + RESTART_NATS - 1e-4:
        assert ours.tolist() == theirs[0].tolist()


@pytest.mark.parametrize(
    "said",
    [
        [1, 2, 3, 4, 5, 6],
        [1, 2, 3, 4, 3, 4, 5, 6],  # a word said twice
        [1, 2, 3, 3, 4, 5, 6],  # begun, then said
        [1, 2, 3, 4, 1, 2, 3, 4, 5, 6],  # begun again from the start
        [1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6],  # all of it twice
        [1, 2, 3, 4, 3, 4, 3, 4, 5, 6],
    ],
)
def test_what_is_said_again_is_no_more_than_the_text(said: list[int]) -> None:
    frames = spoken(*said)
    path = spoken_path(frames, PHONES, WORDS)
    assert heard(path) == said
    assert path is not None
    np.testing.assert_allclose(frames[np.arange(len(frames)), path], frames.max(axis=1))


@pytest.mark.parametrize(
    "said", [[1, 2, 5, 6], [1, 2, 3, 5, 6], [1, 2, 5, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6, 4], [1, 2, 3, 4, 5, 4, 5, 6]]
)
def test_what_is_missing_or_other_still_falls_behind(said: list[int]) -> None:
    """Left out, said before their turn, an end that goes back without going on, a word that is begun in its middle."""
    frames = spoken(*said)
    path = spoken_path(frames, PHONES, WORDS)
    assert path is not None
    assert (frames.max(axis=1) - frames[np.arange(len(frames)), path]).sum() > RESTART_NATS


def test_equal_phones_have_a_pause_between_them() -> None:
    """Or they would be one."""
    phones, words = np.array([1, 1, 2]), np.array([0, 0, 0])
    assert heard(spoken_path(spoken(1, 1, 2), phones, words)) == [1, 1, 2]
    frames = spoken(1, 2)
    without = np.delete(frames, 2, axis=0)  # two frames of each phone, nothing between them
    path = spoken_path(without, phones, words)
    assert path is not None
    assert path.tolist()[:3] == [1, PAUSE, 1]
    assert spoken_path(without[:3], phones, words) is None


def test_of_more_phones_than_frames_there_is_no_way() -> None:
    assert spoken_path(spoken(1)[:2], PHONES, WORDS) is None
