"""Noise in labels: what a report says of it where the truth is known.

Run: .venv/bin/python -m pytest tests/report/test_noise.py
"""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import log_loss

from models.ensemble.bootstrap import bootstrap
from models.report.held_out import Clips, Predictions
from models.report.noise import SUREST, LabelNoise, label_noise, noise_entropy, rarer_labels


def found(share: float, n_clips: int = 20_000, n_models: int = 3) -> LabelNoise:
    """Of models that hear the truth well, where so many labels are wrong; each text is nearly always right or wrong."""
    rng = np.random.default_rng(0)
    item = rng.integers(0, 100, n_clips)
    truth = (rng.random(n_clips) < np.where(item % 2, 0.999, 0.001)).astype(float)
    labels = np.where(rng.random(n_clips) < share, 1 - truth, truth)
    heard = [expit(12 * (2 * truth - 1) + rng.normal(0, 4, n_clips)) for _ in range(n_models)]
    rows, names = np.arange(n_clips), [f"{row}.wav" for row in range(n_clips)]
    models = [Predictions(f"m{place}", rows, labels, one) for place, one in enumerate(heard)]
    main = Predictions("blend", rows, labels, np.mean(heard, axis=0))
    known = np.array(["deletion"] * n_clips)
    texts = {name: f"text {of}" for name, of in zip(names, item, strict=True)}
    return label_noise(main, models, Clips(names, known, known), texts, bootstrap(rows, 200))


@pytest.mark.parametrize("share", [0.0, 0.02, 0.05])
def test_all_three_hints_find_the_noise(share: float) -> None:
    noise = found(share)
    assert noise.floor[0] == pytest.approx(share, abs=0.004)
    assert noise.floor[1] - 0.002 <= share <= noise.floor[2] + 0.002
    assert noise.sure_clips == SUREST * 20_000
    assert noise.contradicted.value == pytest.approx(share, abs=0.006)
    assert noise.by_texts is not None
    assert noise.by_texts.value == pytest.approx(share, abs=0.025)  # of 500 clips
    assert noise.by_texts.low <= noise.by_texts.value <= noise.by_texts.high


@pytest.mark.parametrize("share", [0.02, 0.05, 0.08])
def test_one_who_knows_the_truth_has_the_noises_entropy(share: float) -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 2, 200_000)
    labels = np.where(rng.random(200_000) < share, 1 - truth, truth)
    assert noise_entropy(share) == pytest.approx(log_loss(labels, np.where(truth, 1 - share, share)), abs=0.005)


def test_texts_of_few_clips_tell_nothing() -> None:
    labels, texts = np.ones(30), [f"text {row % 10}" for row in range(30)]
    assert rarer_labels(labels, texts) is None


def test_the_rarer_label_is_not_chosen_by_the_clips_that_it_is_counted_in() -> None:
    """Of items that are right half of the time, the most extreme ones by chance are so no more in their other clips."""
    rng = np.random.default_rng(2)
    labels, texts = rng.integers(0, 2, 8000).astype(float), [f"text {row % 200}" for row in range(8000)]
    share = rarer_labels(labels, texts)
    assert share is not None
    assert share.value == pytest.approx(0.5, abs=0.08)


def test_models_that_agree_on_nothing_are_sure_of_nothing() -> None:
    rows = np.arange(100)
    names, known = [f"{row}" for row in rows], np.array(["deletion"] * 100)
    models = [Predictions(name, rows, rows % 2.0, np.full(100, score)) for name, score in (("a", 0.9), ("b", 0.1))]
    noise = label_noise(models[0], models, Clips(names, known, known), {}, bootstrap(rows, 50))
    assert noise.sure_clips == 0
    assert np.isnan(noise.contradicted.value)
    assert noise.by_texts is None
