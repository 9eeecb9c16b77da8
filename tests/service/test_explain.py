"""Which word went wrong, as page and API tell it. Run: .venv/bin/python -m pytest tests/service/test_explain.py"""

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
from models.page.phrases import all_phrases
from models.page.word_html import words_html
from models.service.explain import Explainer
from models.service.service import Service
from models.service.thresholds import Thresholds
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
    text = re.sub("<[^>]*>", "", words_html(found, all_phrases()["en"]))
    assert text.split()[:2] == ["my", "&lt;b&gt;different"]


def alone(scorer: Scorer, member: Member, tmp_path: Path) -> Scorer:
    return Scorer(Published([member], scorer.published.voice, {}), "cpu", "fp32", tmp_path / "cache")


@pytest.mark.slow
def test_every_expected_word_is_scored_and_drawn(work: Path, encoder_dir: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from models.page.pictures import picture_of

    waveform = np.tile(read_audio(next((work / "data").glob("test*.wav"))), 4)
    aligned = Member(trained_checkpoint(encoder_dir, "alignmodel"), 4, 0.5)
    service = Service(alone(scorer_of(work, tmp_path), aligned, tmp_path), 10)
    result = service.score(waveform, "it  is cold", "sentence_repetition", "1", Thresholds())
    service.close()
    assert result.localization is not None
    assert [unit.text for unit in result.localization.expected_units] == ["it", "is", "cold"]
    assert all(0 <= unit.score <= 1 for unit in result.localization.units)
    picture, note = picture_of(result, all_phrases()["en"])
    assert (picture or b"")[:4] == b"\x89PNG"
    assert note == ""


def test_a_verifier_explains_without_a_reference(work: Path, encoder_dir: Path, tmp_path: Path) -> None:
    untaught, taught = (
        Member(trained_checkpoint(encoder_dir, name), 4, 0.5) for name in ("verifymodel", "taughtmodel")
    )
    scorer = scorer_of(work, tmp_path)
    waveform = read_audio(next((work / "data").glob("test*.wav")))
    assert Explainer(alone(scorer, untaught, tmp_path)).explain(Answer(waveform, "it is cold", "blending", "1")) is None
    service = Service(alone(scorer, taught, tmp_path), 10)
    result = service.score(waveform, "it is cold", "sentence_repetition", "1", Thresholds())
    service.close()
    assert 0 < result.probability < 1
    assert result.localization is not None
    assert [unit.text for unit in result.localization.expected_units] == ["it", "is", "cold"]
    assert not list((tmp_path / "cache").glob("*.wav"))  # nothing had to be spoken


def test_single_words_are_explained_by_another_model(work: Path, encoder_dir: Path, tmp_path: Path) -> None:
    """By the aligned one in phones; sentences by the verifier beside it."""
    scorer = scorer_of(work, tmp_path)
    members = [Member(trained_checkpoint(encoder_dir, name), 4, 0.5) for name in ("taughtmodel", "alignmodel")]
    both = Scorer(Published(members, scorer.published.voice, {}), "cpu", "fp32", tmp_path / "cache")
    explainer = Explainer(both)
    waveform = np.tile(read_audio(next((work / "data").glob("test*.wav"))), 4)
    word = explainer.explain(Answer(waveform, "napkin", "blending", "1"))
    assert word is not None
    assert [unit.text for unit in word.expected_units] == list("næpkɪn")
    words = explainer.explain(Answer(waveform, "it is cold", "sentence_repetition", "1"))
    assert words is not None
    assert [unit.text for unit in words.expected_units] == ["it", "is", "cold"]
