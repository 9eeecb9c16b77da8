"""Pictures of texts that matplotlib would take for mathematics or TeX, and pictures that fail.

Run: .venv/bin/python -m pytest tests/localize/test_picture.py
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fakes import Outcome, tone

from models.localize.result import Alignment, Localization, Unit

pytest.importorskip("matplotlib")

TEXTS = (
    "i have $5 and $6",
    "$5 is 10% of $50",
    "$",
    "a_b^c {x} \\alpha & # ~",
    "$\\frac{$",
    "\\$5 and \\$6",
    "\\begin{document}",
)


def found_for(text: str) -> Localization:
    words = text.split()
    kinds = ("right", "different", "missing", "inserted")
    units = tuple(Unit(word, kinds[at % 3], 0.3 * (at % 4), 0.2 * at, 0.2 * at + 0.2) for at, word in enumerate(words))
    rows = tuple((float(at), at + 1.0) for at in range(len(words)))
    alignment = Alignment(np.zeros((len(words), 50), np.float32), "reference", float(len(words)), rows)
    gaps = (1.0,) * (len(words) + 1)
    return Localization(text, "alignment", "word", 0.5, units, gaps, 1.0, np.zeros((80, 100), np.float32), alignment)


@pytest.mark.parametrize("settings", [{}, {"text.usetex": True}])
@pytest.mark.parametrize("text", TEXTS)
def test_texts_are_drawn_as_they_are(text: str, settings: dict[str, bool]) -> None:
    """Also where a user's own settings ask for TeX."""
    import matplotlib
    from matplotlib.text import Text

    from models.localize.picture import as_png, draw

    with matplotlib.rc_context(settings):
        figure = draw(found_for(text))
        assert as_png(figure)[:4] == b"\x89PNG"
    words = [item for item in figure.findobj(Text) if item.get_text().strip()]
    assert any(text in item.get_text() for item in words)
    assert not any(item.get_parse_math() or item.get_usetex() for item in words)


@pytest.mark.parametrize("text", TEXTS)
def test_names_in_the_report_are_drawn_as_they_are(text: str) -> None:
    import matplotlib

    from models.report.svg import draw

    with matplotlib.rc_context({"text.usetex": True}):
        svg = draw("name", "", lambda axes: axes.set_xlabel(text)).svg
    assert text.replace("&", "&amp;") in svg


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ValueError("no font")

    monkeypatch.setattr("models.localize.picture._draw_units", fail)


def test_a_picture_that_fails_costs_no_clip(
    no_pictures: None, aligned_work: Path, script: Callable[..., Outcome]
) -> None:
    lines = ["filename,task,expected_text,grade", *(f"test{at}.wav,blending,cat,1" for at in range(3))]
    (aligned_work / "clips.csv").write_text("\n".join(lines), encoding="utf-8")
    asked = ["--csv", "clips.csv", "--data_dir", "data", "--output_dir", "found", "--picture"]
    outcome = script("localize.py", *asked)
    assert outcome.code == 0, outcome.error
    assert len(list((aligned_work / "found").glob("test?.wav.json"))) == 3
    assert "no font" in json.loads((aligned_work / "found" / "problems.json").read_text(encoding="utf-8"))["test1.wav"]


def test_a_picture_that_fails_costs_no_score(no_pictures: None, aligned_work: Path, tmp_path: Path) -> None:
    from models.inference.scorer import Scorer
    from models.page.phrases import all_phrases
    from models.page.pictures import picture_of
    from models.service.service import Service
    from models.service.thresholds import Thresholds

    scorer = Scorer.from_config(
        aligned_work / "model_configs.pkl",
        aligned_work / "tts_data",
        device="cpu",
        precision="fp32",
        cache_dir=tmp_path / "cache",
    )
    waveform = tone(1.0, 300, np.random.default_rng(0))
    service = Service(scorer, 10)
    result = service.score(waveform, "cat", "blending", "1", Thresholds())
    service.close()
    assert 0 < result.probability < 1
    assert result.localization is not None
    picture, note = picture_of(result, all_phrases()["en"])
    assert picture is None
    assert "picture" in note
