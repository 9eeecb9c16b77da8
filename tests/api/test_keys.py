"""Who may ask, and how often. Run: .venv/bin/python -m pytest tests/api/test_keys.py"""

from pathlib import Path

import pytest

from models.api.keys import Keys, RateLimiter
from models.errors import InputError

GOOD, OTHER = "a" * 20, "b" * 32


def test_keys_are_found_by_name(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# of schools\n\nnorth {GOOD}\n  south\t{OTHER}  \n")
    keys = Keys.read(file)
    assert keys.name_of(GOOD.encode()) == "north"
    assert keys.name_of(OTHER.encode()) == "south"
    for wrong in (b"", b"north", GOOD[:-1].encode(), f"{GOOD}a".encode(), b"\xff"):
        assert keys.name_of(wrong) is None


@pytest.mark.parametrize(
    ("content", "mentions"),
    [
        ("", "holds no key"),
        ("# nothing\n", "holds no key"),
        (f"north {GOOD}\nsouth short\n", "line 2"),
        (f"{GOOD}\n", "line 1"),
        (f"a b {GOOD}\n", "line 1"),
        (f"north {GOOD}\nnorth {OTHER}\n", "twice"),
        (f"north {GOOD}\nsouth {GOOD}\n", "twice"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, content: str, mentions: str) -> None:
    """By line, without the key."""
    file = tmp_path / "keys"
    file.write_text(content)
    with pytest.raises(InputError, match=mentions) as refused:
        Keys.read(file)
    assert GOOD not in str(refused.value)
    with pytest.raises(InputError, match="can't be read"):
        Keys.read(tmp_path / "nowhere")


def test_a_minutes_requests_come_back_evenly() -> None:
    now = 0.0
    limiter = RateLimiter(6, lambda: now)
    assert [limiter.seconds_to_wait("north") for _ in range(7)] == [0] * 6 + [10.0]
    assert limiter.seconds_to_wait("south") == 0
    now = 9.0
    assert limiter.seconds_to_wait("north") == pytest.approx(1.0)
    now = 10.0
    assert limiter.seconds_to_wait("north") == 0
    now = 1000.0
    assert [limiter.seconds_to_wait("north") > 0 for _ in range(7)] == [False] * 6 + [True]
