"""How much of an answer a model hears, by how it reads reference and response.

Run: .venv/bin/python -m pytest tests/clips/test_hearing.py
"""

import numpy as np
import pytest
from fakes import recipe

from models.clips.hearing import hears, response_room, told_cut, told_unheard
from models.inference.hearing import shares_of_hearing

JOINT, MATCHED, APART, TEXT = (recipe(name, 8.0) for name in ("model2s", "matchedmodel", "alignsmall", "verifymodel"))


def test_joint_models_hear_the_reference_first() -> None:
    assert [one.layout for one in (JOINT, MATCHED, APART, TEXT)] == ["joined", "matched", "apart", "text"]
    assert [response_room(one, 3.0) for one in (JOINT, MATCHED, APART, TEXT)] == [5.0, 5.0, 8.0, 8.0]
    assert response_room(JOINT, 9.0) == 0.0


@pytest.mark.parametrize(
    ("response", "reference", "expected"),
    [(5, 3, True), (5, 7.4, True), (5, 7.6, False), (5, 9, False), (0.2, 7.7, True)],
)
def test_of_which_answers_something_is_heard(response: float, reference: float, expected: bool) -> None:
    assert hears(JOINT, response, reference) == hears(MATCHED, response, reference) == expected
    assert hears(APART, response, reference)
    assert hears(TEXT, response, reference)


def test_what_is_not_heard_is_told() -> None:
    assert told_cut([JOINT, MATCHED, APART, TEXT], 5.0, 3.0) == ""
    assert "first 5 s of the recording's 6.0 s" in told_cut([JOINT, APART], 6.0, 3.0)
    assert "the reference takes 3.0 s" in told_cut([JOINT, APART], 6.0, 3.0)
    assert told_cut([TEXT], 6.0, 30.0) == ""
    assert "first 8 s of the recording's 9.0 s" in told_cut([TEXT], 9.0, 3.0)
    assert "reference's 9.0 s" in told_cut([APART], 6.0, 9.0)
    assert "1 of 2 models hear nothing" in told_cut([JOINT, TEXT], 6.0, 9.0)
    assert "9.0 s" in told_unheard([JOINT], 9.0)


def test_who_hears_nothing_has_no_share() -> None:
    hear = np.array([[True, False, False], [True, True, False], [True, True, False]])
    found = shares_of_hearing([0.5, 0.3, 0.2], hear)
    np.testing.assert_array_equal(found[:, 0], [0.5, 0.3, 0.2])
    np.testing.assert_allclose(found[:, 1], [0.0, 0.6, 0.4])
    np.testing.assert_array_equal(found[:, 2], [0.5, 0.3, 0.2])
