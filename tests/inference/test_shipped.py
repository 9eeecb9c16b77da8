"""The model that comes with the project: there, small, and asked where nothing else is given.

Run: .venv/bin/python -m pytest tests/inference/test_shipped.py
"""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fakes import ROOT, Script

from models.base.files import SHIPPED_MODEL
from models.errors import InputError
from models.inference import origins
from models.inference.scorer import Scorer
from models.speech.audio import SAMPLE_RATE_HZ
from models.speech.voices import EspeakVoice

SPOKEN = "we like to play"
# What a synthetic voice is given for saying SPOKEN, in float32. A change here is a change of every user's scores.
GOLDEN = {SPOKEN: 0.99993, "we like to stay": 0.05987, "we like to play now": 0.2399, "the cat sat down": 0.00032}


@pytest.fixture(scope="module")
def answer() -> np.ndarray:
    quiet = np.zeros(SAMPLE_RATE_HZ // 4, np.float32)
    return np.concatenate([quiet, EspeakVoice(0.9).speak(SPOKEN), quiet])


def test_its_scores(answer: np.ndarray) -> None:
    scorer = Scorer.from_pretrained(device="cpu", precision="fp32")
    found = {text: scorer.score(answer, text, "sentence_repetition", "1") for text in GOLDEN}
    assert found == pytest.approx(GOLDEN, abs=1e-3)
    assert found[SPOKEN] == max(found.values())


def test_its_scores_are_the_same_in_bf16(answer: np.ndarray) -> None:
    """As processors that have it compute them by default."""
    full, half = (Scorer.from_pretrained(device="cpu", precision=precision) for precision in ("fp32", "bf16"))
    for text in GOLDEN:
        exact, found = (scorer.score(answer, text, "sentence_repetition", "1") for scorer in (full, half))
        assert found == pytest.approx(exact, abs=0.005)


def test_it_is_small_and_says_what_it_is_for() -> None:
    files = [file for file in (ROOT / SHIPPED_MODEL).iterdir() if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 25_000_000
    card = (ROOT / SHIPPED_MODEL / "README.md").read_text(encoding="utf-8")
    for told in ("## Intended use", "## Limits", "children whom it has not heard"):
        assert told in card


def test_localize_asks_it_where_nothing_else_lies(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: np.ndarray
) -> None:
    monkeypatch.chdir(tmp_path)
    soundfile.write(tmp_path / "answer.wav", answer, SAMPLE_RATE_HZ)
    outcome = script("localize.py", "--audio", "answer.wav", "--text", SPOKEN)
    assert outcome.code == 0, outcome.error
    assert SHIPPED_MODEL in outcome.output
    found = json.loads((tmp_path / "localized" / "answer.wav.json").read_text())
    assert [unit["text"] for unit in found["units"] if unit["kind"] != "inserted"] == SPOKEN.split()
    assert all(0 <= unit["said_well"] <= 1 for unit in found["units"] if unit["kind"] == "right")


def test_a_configuration_that_lies_there_is_asked_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert origins.choose_source(None, (), None).model == ROOT / SHIPPED_MODEL
    (tmp_path / origins.DEFAULT_CONFIG).touch()
    assert origins.choose_source(None, (), None).model is None
    assert origins.choose_source(None, (), SHIPPED_MODEL).model == ROOT / SHIPPED_MODEL
    assert origins.choose_source(None, (Path("a.pth"),), None).checkpoints == (Path("a.pth"),)


def test_where_it_is_missing_the_way_out_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origins, "PROJECT_DIR", tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="git checkout"):
        Scorer.from_pretrained()
