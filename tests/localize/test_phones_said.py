"""How well the phones of words were said. Run: python -m pytest tests/localize/test_phones_said.py"""

import numpy as np
import pytest
import torch

from models.localize import phones_said
from models.localize.phones_said import gains_of_words
from models.network.phones import PAUSE

N_CLASSES = 8


def spoken(*phones: int) -> torch.Tensor:
    """A response that says these phones, three frames each with a pause behind it."""
    classes = [frame for phone in phones for frame in (phone, phone, phone, PAUSE)]
    return torch.nn.functional.one_hot(torch.tensor(classes), N_CLASSES).float().mul(6).log_softmax(dim=1)


def test_the_word_with_another_phone_fits_worst() -> None:
    found = gains_of_words(spoken(1, 2, 3, 7, 5, 6), [[1, 2], [3, 4], [5, 6]])
    assert found is not None
    assert found["phone_worst"].argmax() == found["phone_mean"].argmax() == 1
    as_expected = gains_of_words(spoken(1, 2, 3, 4, 5, 6), [[1, 2], [3, 4], [5, 6]])
    assert as_expected is not None
    assert as_expected["phone_worst"].max() < 0.3 < found["phone_worst"][1] - 2


def test_the_word_that_lacks_a_phone_is_told_by_leaving_one_out() -> None:
    found = gains_of_words(spoken(1, 2, 3, 5, 6), [[1, 2], [3, 4], [5, 6]])
    assert found is not None
    assert found["phone_missing"].argmax() == 1
    assert found["phone_missing"][1] > 0 > found["phone_missing"][[0, 2]].max()


def test_a_word_without_phones_is_as_good_as_the_others() -> None:
    with_none, without = (gains_of_words(spoken(1, 2, 3), reading) for reading in ([[1, 2], [], [3]], [[1, 2], [3]]))
    assert with_none is not None
    assert without is not None
    for name, values in with_none.items():
        np.testing.assert_allclose(values[[0, 2]], without[name])
        assert without[name].min() <= values[1] <= without[name].max()
    assert gains_of_words(spoken(1), [[], []]) is None


def test_of_several_pronunciations_the_one_that_was_said_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phones_said, "accepted_utterances", lambda *_: ("one", "other"))
    monkeypatch.setattr(phones_said, "read_accepted", lambda _: [[[1, 2]], [[1, 3]]])
    heard = spoken(1, 3)
    found = phones_said.phones_said(heard, "deletion", "cat")
    expected = gains_of_words(heard, [[1, 3]])
    assert found is not None
    assert expected is not None
    assert {name: values.tolist() for name, values in found.items()} == {
        name: values.tolist() for name, values in expected.items()
    }


def test_nothing_is_told_where_nothing_reads_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phones_said, "read_accepted", lambda _: [])
    assert phones_said.phones_said(spoken(1, 2), "deletion", "cat") is None
