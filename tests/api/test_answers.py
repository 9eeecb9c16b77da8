"""Answers as JSON: what was found of each word and of the recording. Run: .venv/bin/python -m pytest tests/api/test_answers.py"""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("pydantic", reason="the API's packages are not installed")

from models.api.answers import as_json
from models.inference.answers import Answer
from models.localize.result import Alignment, Alternative, Localization, Unit
from models.service.identity import ModelName
from models.service.service import Result
from models.speech.signal import measure_signal

WAVEFORM = np.sin(np.arange(16_000, dtype=np.float32) / 10)
BLANK = Alignment(np.zeros((1, 1), np.float32), "expected text", 1, ())


def scored(*units: Unit, transcript: tuple[Alternative, ...] | None = None) -> dict:
    text = " ".join(unit.text for unit in units)
    mel = np.zeros((80, 10), np.float32)
    found = Localization(text, "tokens", "word", 0.3, units, (), 1.0, mel, BLANK, transcript)
    answer = Answer(WAVEFORM, text, "sentence_repetition", "1")
    result = Result(0.3, "wrong", answer, ((text, 0.3),), WAVEFORM, found, measure_signal(WAVEFORM))
    return as_json(result, ModelName("model", "1")).model_dump()


def test_what_was_heard_is_told() -> None:
    maybe = (Alternative("time", 0.71234), Alternative("", 0.2))
    units = Unit("give", "right", 0.9, 0.0, 0.4, 0.8), Unit("me", "different", 0.1, 0.4, 0.6, 0.2, "time", maybe)
    told = scored(*units, transcript=(Alternative("give", 0.9), Alternative("time", 0.71234)))
    assert told["words"][0]["heard"] is None
    assert told["words"][1]["heard"] == "time"
    assert told["words"][1]["alternatives"] == [
        {"text": "time", "probability": 0.7123},
        {"text": "", "probability": 0.2},
    ]
    assert [word["text"] for word in told["heard"]["transcript"]] == ["give", "time"]


def test_from_where_an_answer_counts() -> None:
    """The rule that is in use is told with each answer: null, where self-corrections don't count."""
    result = Result(0.3, "wrong", Answer(WAVEFORM, "me", "blending", "1"), (), WAVEFORM, None, measure_signal(WAVEFORM))
    for counted in (None, 0.0, 1.48):
        told = as_json(replace(result, counted_from_seconds=counted), ModelName("model", "1")).model_dump()
        assert told["counted_from_seconds"] == counted


def test_what_no_model_wrote_down_is_null() -> None:
    told = scored(Unit("me", "different", 0.1, None, None))
    assert told["heard"]["transcript"] is None
    assert (told["words"][0]["heard"], told["words"][0]["alternatives"]) == (None, [])
