"""The parts of the stack: how hard items are, shrunk regression, calibration, against oracles and known truths.

Run: .venv/bin/python -m pytest tests/ensemble/test_stack.py
"""

import numpy as np
import pytest
from scipy.optimize import check_grad
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from models.clips.groups import TASKS
from models.ensemble import calibration
from models.ensemble.calibration import calibrated, fit_calibration
from models.ensemble.items import difficulties, difficulties_of_others, encode, fit_items, item_keys, known_items
from models.ensemble.metrics import ece, ece_if_perfect, log_loss
from models.ensemble.shrinkage import fit_shrunk
from models.ensemble.stack import fit_stack, group_codes, stacked_odds
from models.errors import InputError

Keys = list[tuple[str, str, str]]


def simulated_items(n_items: int, clips_each: int, strength: float, seed: int = 0) -> tuple[Keys, np.ndarray]:
    """Items of one task and grade, whose shares of right answers are drawn around 0.4."""
    rng = np.random.default_rng(seed)
    rates = np.repeat(rng.beta(0.4 * strength, 0.6 * strength, n_items), clips_each)
    keys = [item_keys(TASKS[0], "1", f"text {row // clips_each}") for row in range(len(rates))]
    return keys, (rng.random(len(rates)) < rates).astype(float)


@pytest.mark.parametrize("strength", [1.0, 10.0, 50.0])
def test_the_strength_of_the_shrinkage_is_found(strength: float) -> None:
    table = fit_items(*simulated_items(2000, 40, strength))
    assert table.strengths[1] == pytest.approx(strength, rel=0.15)


def test_a_share_is_the_mean_of_its_clips_and_of_what_stands_above() -> None:
    keys, labels = simulated_items(50, 7, 2.0)
    table = fit_items(keys, labels)
    overall, (first, second, third) = (labels.sum() + 1) / (len(labels) + 2), table.strengths
    group = (labels.sum() + first * overall) / (len(labels) + first)
    rights = labels[:7].sum()
    text = (rights + second * group) / (7 + second)
    expected = logit((rights + third * text) / (7 + third)) - logit(group)
    assert difficulties(table, keys)[0] == pytest.approx(expected)


def test_a_new_text_is_as_its_task_and_grade() -> None:
    keys, labels = simulated_items(50, 7, 2.0)
    table = fit_items(keys, labels)
    others = [item_keys(TASKS[0], "1", "never seen"), item_keys(TASKS[1], "1", "text 3"), item_keys(TASKS[2], "3", "x")]
    np.testing.assert_array_equal(difficulties(table, others), 0.0)
    assert not known_items(table, others).any()
    assert known_items(table, keys).all()


def test_an_item_is_the_same_however_it_is_written_but_not_in_another_task() -> None:
    same = {item_keys("deletion", "1", text) for text in ("Café  au lait", " café au lait", "CAFE\u0301 au lait")}
    assert len(same) == 1
    assert item_keys("blending", "1", "café au lait")[1] not in {key[1] for key in same}
    told = " ".join(next(iter(same)))
    assert "lait" not in told


def test_the_own_label_and_those_of_the_scored_fold_are_in_no_difficulty() -> None:
    keys, labels = simulated_items(60, 8, 2.0)
    codes = encode(keys)[1]
    asked = np.arange(len(labels)) % 5 == 0
    before = difficulties_of_others(codes, labels, ~asked, asked)
    np.testing.assert_array_equal(
        before, difficulties_of_others(codes, np.where(asked, 1 - labels, labels), ~asked, asked)
    )
    table = fit_items([key for key, own in zip(keys, asked, strict=True) if not own], labels[~asked])
    there = difficulties(table, [key for key, own in zip(keys, asked, strict=True) if own])
    np.testing.assert_allclose(before, there, atol=1e-9)


def test_with_much_data_nothing_is_shrunk() -> None:
    rng = np.random.default_rng(0)
    columns = rng.normal(0, 1, (40_000, 3))
    labels = (rng.random(40_000) < expit(columns @ [1.0, -0.5, 0.3] + 0.7)).astype(float)
    found = fit_shrunk(labels, np.zeros(40_000), np.column_stack([columns, np.ones(40_000)]), [0, 0, 0, 1])
    free = LogisticRegression(C=1e9).fit(columns, labels)
    np.testing.assert_allclose(found, [*free.coef_[0], free.intercept_[0]], atol=0.01)


def test_the_offset_stays_where_there_is_nothing_to_add() -> None:
    rng = np.random.default_rng(1)
    offset, columns = rng.normal(0, 2, 3000), rng.normal(0, 1, (3000, 8))
    labels = (rng.random(3000) < expit(offset)).astype(float)
    found = fit_shrunk(labels, offset, columns, [0] * 8)
    free = LogisticRegression(C=1e9).fit(np.column_stack([offset, columns]), labels).coef_[0][1:]
    assert np.abs(found).max() < 0.3 * np.abs(free).max()


def test_the_strength_is_that_of_the_largest_evidence() -> None:
    """By another way to the same place: a grid of strengths, each with the optimum and Laplace's approximation."""
    rng = np.random.default_rng(3)
    columns = rng.normal(0, 1, (400, 6))
    labels = (rng.random(400) < expit(columns @ rng.normal(0, 0.2, 6))).astype(float)
    offset = np.zeros(400)

    def optimum(strength: float) -> np.ndarray:
        if not strength:
            return np.zeros(6)
        return LogisticRegression(C=1 / strength, fit_intercept=False, tol=1e-8).fit(columns, labels).coef_[0]

    def evidence(strength: float) -> float:
        found = optimum(strength)
        rates = expit(columns @ found)
        curvature = (columns * (rates * (1 - rates))[:, None]).T @ columns + strength * np.eye(6)
        fit = len(labels) * log_loss(labels, rates) + strength / 2 * found @ found
        return -fit + 3 * np.log(strength) - np.linalg.slogdet(curvature)[1] / 2

    best = optimum(max(np.geomspace(1, 1000, 300), key=evidence))
    np.testing.assert_allclose(fit_shrunk(labels, offset, columns, [0] * 6), best, atol=0.005)


def test_labels_of_one_kind_leave_numbers_finite() -> None:
    found = fit_shrunk(np.ones(30), np.zeros(30), np.random.default_rng(0).normal(0, 1, (30, 2)), [0, 1])
    assert np.isfinite(found).all()


def test_a_stack_finds_the_slopes_that_the_blend_lacks() -> None:
    """Two models that hear different things: their evidence adds up, which a mean of probabilities can't do."""
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 2, 20_000).astype(float)
    odds = (2 * labels - 1)[:, None] * 1.5 + rng.normal(0, np.sqrt(3), (20_000, 2))
    weights, groups = {"a": 0.5, "b": 0.5}, rng.integers(0, 16, 20_000)
    stack = fit_stack(labels, expit(odds), weights, groups, None)
    found = expit(stacked_odds(stack, expit(odds), weights, groups, 0.0))
    assert log_loss(labels, found) == pytest.approx(log_loss(labels, expit(odds.sum(axis=1))), abs=0.003)


def test_a_model_of_no_weight_has_no_slope_and_a_task_must_be_known() -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, 500).astype(float)
    stack = fit_stack(labels, rng.random((500, 2)), {"a": 0.0, "b": 1.0}, rng.integers(0, 16, 500), None)
    assert list(stack.slopes) == ["b"]
    with pytest.raises(InputError, match="singing"):
        group_codes(["singing"], ["1"])


def test_slope_intercept_and_floor_are_found() -> None:
    rng = np.random.default_rng(4)
    odds, tasks = rng.normal(0, 4, 60_000), rng.integers(0, 3, 60_000)  # of the fourth task there are no clips
    slopes, intercepts = np.array([0.5, 1.0, 1.5]), np.array([0.3, 0.0, -0.3])
    rates = 0.04 + 0.92 * expit(slopes[tasks] * odds + intercepts[tasks])
    labels = (rng.random(60_000) < rates).astype(float)
    found = fit_calibration(labels, odds, tasks, by_task=True)
    assert found.floor == pytest.approx(0.04, abs=0.005)
    np.testing.assert_allclose([found.slopes[task] for task in TASKS], [*slopes, 1.0], atol=0.1)
    np.testing.assert_allclose([found.intercepts[task] for task in TASKS], [*intercepts, 0.0], atol=0.1)
    assert log_loss(labels, calibrated(found, odds, tasks)) == pytest.approx(log_loss(labels, rates), abs=0.001)
    assert len(set(fit_calibration(labels, odds, tasks, by_task=False).slopes.values())) == 1


def test_the_gradient_of_a_calibration_is_its_slope() -> None:
    rng = np.random.default_rng(5)
    given = (rng.integers(0, 2, 200).astype(float), rng.normal(0, 2, 200), rng.integers(0, 2, 200), 2)
    at = np.array([0.8, 1.2, 0.1, -0.2, 0.05])
    loss, gradient = (lambda x, place=place: calibration._loss(x, *given)[place] for place in (0, 1))
    assert check_grad(loss, gradient, at) < 1e-6


def test_the_calibration_error_of_perfect_scores_lies_in_its_interval() -> None:
    rng = np.random.default_rng(6)
    scores = rng.random(2000)
    drawn = [ece((rng.random(2000) < scores).astype(float), scores) for _ in range(1000)]
    np.testing.assert_allclose(ece_if_perfect(scores), np.percentile(drawn, (2.5, 97.5)), rtol=0.05)
