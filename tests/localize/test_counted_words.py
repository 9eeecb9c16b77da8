"""The words of the attempt that counts. Run: .venv/bin/python -m pytest tests/localize/test_counted_words.py"""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fakes import Outcome, tone, tones, trained_checkpoint

from models.localize import attempts
from models.localize.attempts import localize_counted, localize_from
from models.localize.localization import localize
from models.localize.model import LoadedModel, load_model
from models.localize.result import Localization, to_json
from models.speech.attempts import later_attempts

ASKED = ("we like it", "sentence_repetition", "1")
REFERENCE = tone(0.8, 500, np.random.default_rng(1))


def speak(_: str) -> np.ndarray:
    return REFERENCE


@pytest.fixture(params=["taughtmodel", "alignmodel"])
def model(request: pytest.FixtureRequest, encoder_dir: Path) -> LoadedModel:
    return load_model(trained_checkpoint(encoder_dir, request.param))


@pytest.fixture
def last_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "counting_attempt", lambda whole, others: len(others) - 1)


def same(one: Localization, other: Localization) -> bool:
    return json.dumps(to_json(one)) == json.dumps(to_json(other))


def test_an_answer_in_one_go_is_told_as_without_the_rule(model: LoadedModel, last_counts: None) -> None:
    for response in (tones(500), tone(1.5, 500, np.random.default_rng(0))):
        usual, found = localize(model, *ASKED, response, speak), localize_counted(model, *ASKED, response, speak)
        assert found.counted_from_seconds == 0
        assert same(replace(found, counted_from_seconds=None), usual)
        assert "counted_from_seconds" not in to_json(usual)


def test_nothing_else_counts_where_no_attempt_is_right(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "counting_attempt", lambda whole, others: None)
    response = tones(300, 600)
    found = localize_counted(model, *ASKED, response, speak)
    assert found.counted_from_seconds == 0
    assert same(replace(found, counted_from_seconds=None), localize(model, *ASKED, response, speak))


def test_words_of_the_attempt_have_their_times_in_the_whole(model: LoadedModel, last_counts: None) -> None:
    response = tones(300, 600)
    (attempt,) = later_attempts(response, ASKED[0])
    found, alone = localize_counted(model, *ASKED, response, speak), localize(model, *ASKED, attempt.waveform, speak)
    start = attempt.start_seconds
    assert (found.counted_from_seconds, to_json(found)["counted_from_seconds"]) == (start, round(start, 3))
    assert found.probability == alone.probability
    for own, unit in zip(found.units, alone.units, strict=True):
        assert (own.text, own.kind, own.score) == (unit.text, unit.kind, unit.score)
        assert unit.start_seconds is not None
        assert own.start_seconds == pytest.approx(unit.start_seconds + start)
        assert own.start_seconds >= start
    assert found.response_seconds == pytest.approx(len(response) / 16_000)
    assert found.response_log_mel.shape[1] / 100 == pytest.approx(len(response) / 16_000, abs=0.05)
    share = alone.alignment.weights.shape[1] / found.alignment.weights.shape[1]
    assert share == pytest.approx(1 - start / found.response_seconds, abs=0.02)
    assert not found.alignment.weights[:, : found.alignment.weights.shape[1] // 4].any()
    assert same(localize_from(model, *ASKED, response, start, speak), found)


def test_an_attempt_that_is_not_heard_to_its_end_is_none(model: LoadedModel, last_counts: None) -> None:
    """The model hears 4 s."""
    for more, counts in ((0.5, True), (3.5, False)):
        response = np.concatenate([tones(300, 600), np.zeros(int(more * 16_000), np.float32)])
        found = localize_counted(model, *ASKED, response, speak)
        assert bool(found.counted_from_seconds) is counts
        assert found.response_seconds == pytest.approx(len(response) / 16_000 if counts else 4.0)


@pytest.mark.slow
def test_the_script_tells_where_the_answer_counts_from(
    aligned_work: Path, script: Callable[..., Outcome], last_counts: None
) -> None:
    pytest.importorskip("matplotlib")
    soundfile.write(aligned_work / "answer.wav", tones(300, 600), 16_000)
    asked = ["--checkpoints", "assets/alignmodel_0.pth", "--audio", "answer.wav", "--text", "cat", "--task", "blending"]
    plain = script("localize.py", *asked, "--output_dir", "off")
    found = script("localize.py", *asked, "--output_dir", "on", "--accept_self_corrections", "--picture")
    assert (plain.code, found.code) == (0, 0)
    assert "self-corrected" not in plain.output
    assert "self-corrected: from 1.48 s on" in found.output
    told = json.loads((aligned_work / "on" / "answer.wav.json").read_text(encoding="utf-8"))
    assert told["counted_from_seconds"] == 1.48
    assert all(unit["start_seconds"] >= 1.48 for unit in told["units"])
    assert "counted_from_seconds" not in json.loads(
        (aligned_work / "off" / "answer.wav.json").read_text(encoding="utf-8")
    )
    assert (aligned_work / "on" / "answer.wav.png").stat().st_size > 10_000
