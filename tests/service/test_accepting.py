"""Page and API with the rule that self-corrections count.

Run: .venv/bin/python -m pytest tests/service/test_accepting.py
"""

from collections.abc import Callable
from pathlib import Path

import pytest
from fakes import tones, trained_checkpoint

from models.inference import self_corrections
from models.inference.published import Published
from models.inference.scorer import Scorer
from models.inference.scoring import Member
from models.service.service import Service
from models.service.thresholds import Thresholds

ASKED = ("we like it", "sentence_repetition", "1", Thresholds())


@pytest.fixture
def serve(encoder_dir: Path, tmp_path: Path) -> Callable[[bool], Service]:
    member = Member(trained_checkpoint(encoder_dir, "taughtmodel"), 4, 1.0)
    published = Published([member], member.checkpoint.voice, {})
    return lambda accept: Service(
        Scorer(published, "cpu", "fp32", tmp_path / "cache", accept_self_corrections=accept), max_seconds=10
    )


def test_words_and_a_note_are_those_of_the_attempt_that_counts(
    serve: Callable[[bool], Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(self_corrections, "CALLED_RIGHT", 1.0)
    monkeypatch.setattr(self_corrections, "counting_attempt", lambda whole, attempts: len(attempts) - 1)
    usual, accepting = serve(False), serve(True)
    off, on = (service.score(tones(300, 600), *ASKED) for service in (usual, accepting))
    once = accepting.score(tones(300), *ASKED)
    cut = usual.score(tones(300, 600)[round(1.48 * 16_000) :], *ASKED)
    for service in (usual, accepting):
        service.close()
    assert (off.counted_from_seconds, once.counted_from_seconds, on.counted_from_seconds) == (None, 0, 1.48)
    assert on.probability == pytest.approx(cut.probability, abs=1e-6)
    assert on.notes == ("Self-corrected: what was said from 1.5 s on counts.",)
    assert off.notes == once.notes == ()
    assert on.localization is not None
    assert on.localization.counted_from_seconds == 1.48
    assert all(1.48 <= (unit.start_seconds or 0) <= 2.9 for unit in on.localization.units)
    assert len(on.response) == len(off.response)  # all of it can be heard
