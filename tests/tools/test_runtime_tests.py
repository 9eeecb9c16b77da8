"""The list of tests that must pass on the runtime's versions names tests that there are.

Run: .venv/bin/python -m pytest tests/tools/test_runtime_tests.py
"""

import pytest

from tools import runtime_tests


def test_every_listed_test_is_there() -> None:
    assert runtime_tests.stale_names() == []


def test_a_test_that_was_moved_or_renamed_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime_tests, "INFERENCE_TESTS", ["base/test_lock", "base/test_gone"])
    left_out = [
        "base/test_lock.py::test_the_lock_is_given_back_after_an_error",
        "base/test_lock.py::test_the_lock",
        "test_lock.py::test_x",
    ]
    monkeypatch.setattr(runtime_tests, "LEFT_OUT", dict.fromkeys(left_out, "why"))
    assert runtime_tests.stale_names() == ["base/test_gone.py", *left_out[1:]]
