"""The page's coloured words and picture, from localisation. Run: .venv/bin/python -m pytest tests/page/test_app_explain.py"""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes import trained_checkpoint

from models.ensemble.checkpoint import load_checkpoint
from models.inference.answers import Answer
from models.inference.published import Published
from models.inference.scorer import Scorer
from models.inference.scoring import Member
from models.localize.result import Unit
from models.page.html import words_html
from models.page.thresholds import Thresholds
from models.speech.audio import read_audio


def scorer_of(work: Path, tmp_path: Path) -> Scorer:
    checkpoint = load_checkpoint(work / "assets" / "model2s_0.pth")
    members = [Member(replace(checkpoint, fold=fold), 4, 0.5) for fold in (0, 1)]
    return Scorer(Published(members, checkpoint.voice, {}), "cpu", "fp32", tmp_path / "cache")


def test_words_stay_apart_for_who_copies_or_hears_them() -> None:
    found = [
        Unit("my", "right", 0.9, 0.0, 0.1),
        Unit("<b>", "different", 0.2, 0.1, 0.3),
        Unit("hat", "missing", 0.1, 0.3, 0.3),
    ]
    text = re.sub("<[^>]*>", "", words_html(found))
    assert text.split()[:2] == ["my", "&lt;b&gt;different"]


@pytest.mark.slow
def test_every_expected_word_is_scored_and_drawn(work: Path, tmp_path: Path) -> None:
    """Here by a joint model, which is asked about pieces of the text."""
    pytest.importorskip("matplotlib")
    from models.page.explain import make_explain
    from models.page.service import Service

    scorer = scorer_of(work, tmp_path)
    waveform = np.tile(read_audio(next((work / "data").glob("test*.wav"))), 4)
    explain = make_explain(scorer)
    found = explain(scorer, Answer(waveform, "it  is cold", "sentence_repetition", "1"), 0.5)
    assert [unit.text for unit in found.units if unit.kind != "inserted"] == ["it", "is", "cold"]
    assert all(0 <= unit.score <= 1 for unit in found.units)
    assert found.picture_png is not None
    assert found.picture_png[:4] == b"\x89PNG"
    result = Service(scorer, 10, explain).score_one(waveform, "it is cold", "sentence_repetition", "1", Thresholds())
    assert result.explanation is not None
    assert len(result.explanation.units) >= 3


def test_a_verifier_explains_without_a_reference(work: Path, encoder_dir: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from models.page.explain import make_explain
    from models.page.service import Service

    untaught, taught = (
        Member(trained_checkpoint(encoder_dir, name), 4, 0.5) for name in ("verifymodel", "taughtmodel")
    )
    scorer = scorer_of(work, tmp_path)

    def alone(member: Member) -> Scorer:
        return Scorer(Published([member], scorer.published.voice, {}), "cpu", "fp32", tmp_path / "cache")

    assert make_explain(alone(untaught)) is None
    waveform = read_audio(next((work / "data").glob("test*.wav")))
    service = Service(alone(taught), 10, make_explain(alone(taught)))
    result = service.score_one(waveform, "it is cold", "sentence_repetition", "1", Thresholds())
    assert 0 < result.probability < 1
    assert result.explanation is not None
    assert [unit.text for unit in result.explanation.units if unit.kind != "inserted"] == ["it", "is", "cold"]


def test_single_words_are_explained_by_another_model(work: Path, encoder_dir: Path, tmp_path: Path) -> None:
    """By the joint one in syllables; sentences by the verifier beside it."""
    pytest.importorskip("matplotlib")
    from models.page.explain import make_explain

    scorer = scorer_of(work, tmp_path)
    members = [Member(trained_checkpoint(encoder_dir, "taughtmodel"), 4, 0.5), scorer.published.members[0]]
    both = Scorer(Published(members, scorer.published.voice, {}), "cpu", "fp32", tmp_path / "cache")
    explain = make_explain(both)
    assert explain is not None
    waveform = np.tile(read_audio(next((work / "data").glob("test*.wav"))), 4)
    word = explain(both, Answer(waveform, "napkin", "blending", "1"), 0.5)
    assert [unit.text for unit in word.units if unit.kind != "inserted"] == ["nap", "kin"]
    words = explain(both, Answer(waveform, "it is cold", "sentence_repetition", "1"), 0.5)
    assert [unit.text for unit in words.units if unit.kind != "inserted"] == ["it", "is", "cold"]
