"""The report's numbers against oracles: scikit-learn, brute force, and simulations in which the truth is known.

Run: .venv/bin/python -m pytest tests/report/test_report_figures.py
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from fakes import checkpoints
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.metrics import log_loss as sklearn_log_loss

from models.clips.groups import GRADES, TASKS
from models.ensemble.blend import fit_weights
from models.ensemble.bootstrap import Bootstrap, Estimate, bootstrap, estimate, simultaneous, weighted_auc
from models.ensemble.metrics import N_BINS, ece
from models.report.blending import complete_models, contributions, fit_blend
from models.report.held_out import Predictions, find_units, line_up
from models.report.review import TARGETS, review
from models.report.scores import (
    FIGURES,
    Scores,
    expected_ece,
    gaps,
    reliability,
    reliability_curve,
    roc_points,
    score,
)


def made(n_clips: int, seed: int = 0, decimals: int = 16) -> Predictions:
    """Calibrated scores and labels; few decimals make ties."""
    rng = np.random.default_rng(seed)
    scores = np.round(1 / (1 + np.exp(-rng.normal(0, 2, n_clips))), decimals)
    return Predictions("made", np.arange(n_clips), (rng.random(n_clips) < scores).astype(float), scores)


def by_clip(n_clips: int, n_draws: int = 200) -> Bootstrap:
    return bootstrap(np.arange(n_clips), n_draws)


def ece_of(labels: np.ndarray, scores: np.ndarray) -> float:
    """Bin by bin, as the definition reads."""
    total = 0.0
    for index in range(N_BINS):
        low, high = index / N_BINS, (index + 1) / N_BINS
        own = [row for row, value in enumerate(scores) if low <= value < high or (high == 1 and value == 1)]
        if own:
            total += len(own) / len(scores) * abs(np.mean(scores[own]) - np.mean(labels[own]))
    return total


ORACLES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "log_loss": sklearn_log_loss,
    "auc": roc_auc_score,
    "ece": ece_of,
    "accuracy": lambda labels, scores: accuracy_score(labels, scores > 0.5),
    "bias": lambda labels, scores: scores.mean() - labels.mean(),
    "rejected": lambda labels, scores: (scores[labels == 1] <= 0.5).mean(),
    "accepted": lambda labels, scores: (scores[labels == 0] > 0.5).mean(),
}


@pytest.mark.parametrize("decimals", [16, 1])
@pytest.mark.parametrize("figure", FIGURES)
def test_a_figure_and_its_draws_are_those_of_the_oracle(figure: str, decimals: int) -> None:
    """A draw is a set of clips, some of them several times: the oracle is given just these."""
    predictions = made(300, decimals=decimals)
    predictions = replace(predictions, scores=np.clip(predictions.scores, 0.01, 0.99))
    draws = by_clip(300, 20)
    found = score(predictions, draws).figures[figure]
    assert found.value == pytest.approx(ORACLES[figure](predictions.labels, predictions.scores), abs=1e-9)
    for drawn, counts in zip(found.draws, draws.counts.T, strict=True):
        rows = np.repeat(np.arange(300), counts.astype(int))
        assert drawn == pytest.approx(ORACLES[figure](predictions.labels[rows], predictions.scores[rows]), abs=1e-5)


def test_interval_of_a_mean_is_that_of_theory() -> None:
    found = score(made(4000), by_clip(4000, 1000)).figures["accuracy"]
    error = np.sqrt(found.value * (1 - found.value) / 4000)
    assert (found.low, found.high) == pytest.approx(
        (found.value - 1.96 * error, found.value + 1.96 * error), abs=0.1 * error
    )


def test_speakers_are_drawn_whole_and_widen_the_interval() -> None:
    """Twenty clips of a speaker who is always right or always wrong tell as much as one."""
    speakers = np.repeat(np.arange(40), 20)
    labels = np.repeat(np.random.default_rng(0).integers(0, 2, 40), 20).astype(float)
    predictions = Predictions("p", np.arange(800), labels, np.full(800, 0.6))
    draws = bootstrap(speakers, 4000)
    assert (draws.counts.reshape(40, 20, -1) == draws.counts[::20, None]).all()
    assert (draws.counts.sum(axis=0) == 800).all()

    def width(found: Estimate) -> float:
        return found.high - found.low

    wide, narrow = (score(predictions, drawn).figures["log_loss"] for drawn in (draws, by_clip(800, 4000)))
    assert width(wide) / width(narrow) == pytest.approx(np.sqrt(20), rel=0.15)


def test_draws_do_not_change_from_run_to_run() -> None:
    np.testing.assert_array_equal(by_clip(50).counts, by_clip(50).counts)


def test_without_both_kinds_of_answers_there_is_no_auc() -> None:
    right = replace(made(60), labels=np.ones(60))
    scores = score(right, by_clip(60)).figures
    assert np.isnan([scores["auc"].value, scores["auc"].low, scores["accepted"].value]).all()
    assert np.isfinite([scores["log_loss"].low, scores["rejected"].high]).all()
    assert roc_points(right.labels, right.scores) is None
    assert len(reliability(right, by_clip(60))) > 3
    few = np.array([1.0, *np.zeros(4)])  # a third of the draws lack the one right answer
    found = estimate(1.0, weighted_auc(few, np.linspace(1, 0, 5), by_clip(5).counts))
    assert found.value == 1
    assert np.isnan(found.low)


def test_reliability_is_that_of_a_loop_over_bins() -> None:
    predictions = made(500)
    bins = reliability(predictions, by_clip(500))
    filled = [index for index in range(N_BINS) if np.isfinite(reliability_curve(predictions)[index])]
    for index, found in zip(filled, bins, strict=True):
        own = (predictions.scores >= index / N_BINS) & (predictions.scores < (index + 1) / N_BINS)
        assert found.clips == own.sum()
        assert found.score == pytest.approx(predictions.scores[own].mean())
        assert found.right.value == pytest.approx(predictions.labels[own].mean())
        assert found.right.low <= found.right.value <= found.right.high
        assert found.right.value == pytest.approx(reliability_curve(predictions)[index])


def test_roc_points_lie_on_the_curve_and_keep_its_area() -> None:
    predictions = made(5000)
    points = roc_points(predictions.labels, predictions.scores)
    assert points is not None
    false_rates, true_rates = points
    assert len(false_rates) <= 200
    area = float(np.sum(np.diff(false_rates) * (true_rates[1:] + true_rates[:-1]) / 2))
    assert area == pytest.approx(roc_auc_score(predictions.labels, predictions.scores), abs=1e-3)


@pytest.mark.parametrize("n_clips", [60, 1000])
@pytest.mark.parametrize("sharpened", [1.0, 2.0])
def test_expected_calibration_error_is_that_of_simulated_answers(n_clips: int, sharpened: float) -> None:
    rng, rates = np.random.default_rng(0), made(n_clips).scores
    scores = 1 / (1 + ((1 - rates) / rates) ** sharpened)
    simulated = [ece((rng.random(n_clips) < rates).astype(float), scores) for _ in range(400)]
    assert expected_ece(scores, rates) == pytest.approx(np.mean(simulated), rel=0.08)


def groups_of(predictions: Predictions, of_clip: np.ndarray, draws: Bootstrap) -> tuple[list[Scores], Scores]:
    curve = reliability_curve(predictions)
    parts = [predictions.where(of_clip == group, str(group)) for group in np.unique(of_clip)]
    return [score(part, draws, curve) for part in parts], score(predictions, draws)


def is_marked(gap: Estimate) -> bool:
    return gap.low > 0 or gap.high < 0


@pytest.mark.slow
@pytest.mark.parametrize("sharpened", [1.0, 2.0])
def test_groups_that_do_not_differ_are_seldom_marked(sharpened: float) -> None:
    """Small groups have higher calibration errors by nature: no reason for a mark, whether all is calibrated or not."""
    marked = dict.fromkeys(("log_loss", "auc", "ece", "bias"), 0)
    for seed in range(25):
        predictions = made(1500, seed)
        predictions = replace(
            predictions, scores=1 / (1 + ((1 - predictions.scores) / predictions.scores) ** sharpened)
        )
        of_clip = np.random.default_rng(seed).choice(4, 1500, p=[0.6, 0.25, 0.1, 0.05])
        groups, overall = groups_of(predictions, of_clip, bootstrap(np.arange(1500), 150, seed))
        for figure in marked:
            marked[figure] += any(is_marked(gap) for gap in gaps(groups, overall, figure))
    assert max(marked.values()) <= 6, (
        marked
    )  # of 25; each would be at least 5 with separate 95 % intervals in most draws


def test_a_group_that_is_wronged_is_marked_and_no_other() -> None:
    predictions = made(4000)
    of_clip = np.random.default_rng(1).integers(0, 4, 4000)
    logits = np.log(predictions.scores / (1 - predictions.scores)) - 1.5 * (of_clip == 2)
    groups, overall = groups_of(replace(predictions, scores=1 / (1 + np.exp(-logits))), of_clip, by_clip(4000))
    for figure in ("log_loss", "ece", "bias", "rejected"):
        found = gaps(groups, overall, figure)
        assert is_marked(found[2]), figure
        assert (found[2].value > 0) == (figure != "bias")
    assert groups[2].figures["rejected"].value > overall.figures["rejected"].value + 0.1


def test_small_groups_and_the_whole_are_not_judged() -> None:
    predictions = made(1000)
    of_clip = (np.arange(1000) < 30).astype(int)
    groups, overall = groups_of(predictions, of_clip, by_clip(1000))
    found = gaps([*groups, overall], overall, "log_loss")
    assert [np.isfinite(gap.low) for gap in found] == [True, False, False]
    few_speakers = bootstrap(np.arange(1000) % 5)
    groups, overall = groups_of(predictions, of_clip, few_speakers)
    assert not any(np.isfinite(gap.low) for gap in gaps(groups, overall, "log_loss"))


def test_simultaneous_intervals_hold_all_at_once() -> None:
    """Of normal values with known errors, all true values lie inside in about 95 % of the cases."""
    rng, errors, held = np.random.default_rng(0), np.linspace(0.5, 3, 8), 0
    for _ in range(200):
        values = rng.normal(0, errors)
        found = simultaneous(values, values[:, None] + rng.normal(0, 1, (8, 400)) * errors[:, None])
        held += all(item.low <= 0 <= item.high for item in found)
    assert 0.9 <= held / 200 <= 0.99


def brute_force(labels: np.ndarray, scores: np.ndarray, target: float, of_all: bool) -> float:
    """Try every threshold of certainty."""
    certainty, wrong = np.abs(scores - 0.5), (scores > 0.5) != (labels > 0.5)
    for threshold in [-1.0, *np.unique(certainty)]:
        left = certainty > threshold
        errors = wrong[left].sum()
        accuracy = 1 - errors / (len(labels) if of_all else max(left.sum(), 1))
        if accuracy >= target - 1e-9:
            return float(1 - left.mean())
    raise AssertionError("reviewing all reaches any target")


@pytest.mark.parametrize(("n_clips", "decimals"), [(40, 16), (400, 16), (400, 2), (400, 1)])
def test_clips_to_review_are_those_of_brute_force(n_clips: int, decimals: int) -> None:
    predictions = made(n_clips, 3, decimals)
    draws = by_clip(n_clips, 10)
    found = review(predictions, draws)
    for need in found.needs:
        for kind, of_all in ((need.all_marks, True), (need.left, False)):
            assert kind.value == pytest.approx(brute_force(predictions.labels, predictions.scores, need.target, of_all))
            for drawn, counts in zip(kind.draws, draws.counts.T, strict=True):
                rows = np.repeat(np.arange(n_clips), counts.astype(int))
                expected = brute_force(predictions.labels[rows], predictions.scores[rows], need.target, of_all)
                assert drawn == pytest.approx(expected)
    assert [need.target for need in found.needs] == list(TARGETS)


def test_clips_between_the_scores_are_those_to_review() -> None:
    predictions = made(2000)
    found = review(predictions, by_clip(2000, 10))
    for need in found.needs:
        # the outermost clip lies on the edge itself
        inside = np.abs(predictions.scores - 0.5) <= (need.high - need.low) / 2 + 1e-12
        if need.all_marks.value > 0:
            assert inside.mean() == pytest.approx(need.all_marks.value)
    curve = found.curve
    assert (
        curve.all_marks[0] == curve.left[0] == pytest.approx(((predictions.scores > 0.5) == predictions.labels).mean())
    )
    assert curve.all_marks[-1] == curve.left[-1] == curve.shares[-1] == 1
    assert (np.diff(curve.all_marks) >= -1e-12).all()
    assert found.next_need.all_marks.value > 0


def test_without_errors_nothing_needs_review() -> None:
    labels = np.tile([0.0, 1.0], 50)
    found = review(Predictions("p", np.arange(100), labels, 0.2 + 0.6 * labels), by_clip(100))
    assert all(need.all_marks.value == need.left.value == need.left.high == 0 for need in found.needs)
    assert found.next_need is found.needs[-1]


def test_what_a_model_adds_is_the_loss_without_it() -> None:
    """A copy and noise add nothing; the only good model adds what the others lack."""
    good, other, noise = (
        checkpoints(name, n_folds=3, noise=level, seed=seed)
        for seed, (name, level) in enumerate([("good", 0.5), ("other", 1.5), ("noise", 30.0)])
    )
    fitted = fit_blend([*good, *other, *noise])
    _, models = line_up([*good, *other, *noise])
    labels, rows = fitted.blend.labels, models[0].rows
    found = contributions(fitted, rows, by_clip(600))
    assert [part.model for part in found] == ["good", "other", "noise"]
    assert sum(part.weight for part in found) == pytest.approx(1)
    np.testing.assert_allclose([part.weight for part in found], fit_weights(labels, fitted.blend.predictions))
    without = np.empty(600)
    for fold in range(3):
        held_out = fitted.blend.folds == fold
        weights = fit_weights(labels[~held_out], fitted.blend.predictions[~held_out][:, 1:])
        without[held_out] = fitted.blend.predictions[held_out][:, 1:] @ weights
    adds = [part.adds for part in found]
    assert adds[0] is not None
    assert adds[1] is not None
    assert adds[2] is not None
    assert adds[0].value == pytest.approx(
        sklearn_log_loss(labels, without) - sklearn_log_loss(labels, fitted.scores), abs=1e-6
    )
    assert adds[0].low > 0
    assert adds[2].value == pytest.approx(0, abs=0.002)
    assert adds[2].low <= 0
    assert all(part.lowest <= part.weight + 0.05 and part.weight - 0.05 <= part.highest for part in found)


def test_a_model_alone_adds_nothing_to_itself() -> None:
    fitted = fit_blend(checkpoints(n_folds=2, clips_per_fold=30))
    (part,) = contributions(fitted, np.arange(60), by_clip(60))
    assert (part.weight, part.adds) == (1, None)


def test_models_that_can_not_be_blended_are_named() -> None:
    whole, odd = checkpoints("whole", 3, 20), checkpoints("odd", 3, 20, seed=1)
    lacking = checkpoints("lacking", 3, 20, seed=2)[:2]
    elsewhere = checkpoints("elsewhere", 3, 10, seed=3)
    chosen, left_out = complete_models([*whole, *odd, *lacking, *elsewhere], ["odd_1.pth"])
    assert {item.recipe.name for item in chosen} == {"whole"}
    assert left_out.keys() == {"odd", "lacking", "elsewhere"}
    assert "missing [2]" in left_out["lacking"]
    assert complete_models(lacking, [])[0] == []


def test_clips_of_all_models_are_lined_up() -> None:
    whole, lacking = checkpoints("whole", 3, 20), checkpoints("lacking", 3, 20, seed=2)[1:]
    clips, (first, second) = line_up([*lacking, *whole])
    assert sorted(clips.filenames) == sorted(f"{row}.wav" for row in range(60))
    assert set(clips.tasks) <= set(TASKS)
    assert set(clips.grades) <= set(GRADES)
    assert (len(first.rows), len(second.rows)) == (40, 60)
    for model, folds in ((first, lacking), (second, whole)):
        given = {
            name: value for item in folds for name, value in zip(item.oof.filenames, item.oof.predictions, strict=True)
        }
        for row, value in zip(model.rows, model.scores, strict=True):
            assert given[clips.filenames[row]] == value
    twice, _ = line_up([*whole, *whole])
    assert len(twice.filenames) == 60


def test_units_are_the_groups_that_folds_were_cut_by(tmp_path) -> None:  # type: ignore[no-untyped-def]
    folds = checkpoints(n_folds=2, clips_per_fold=10)
    clips, _ = line_up(folds)
    file = tmp_path / "source.csv"
    file.write_text("filename,speaker\n" + "".join(f"{row}.wav,s{row % 4}\n" for row in range(20)))
    known = replace(folds[0], options={"group_by": "speaker", "groups": str(file)})
    units = find_units(clips, known)
    assert (units.name, units.number, units.note) == ("speaker", 4, "")
    assert units.groups is not None
    for name, group, unit in zip(clips.filenames, units.groups, units.of_clip, strict=True):
        assert group == f"s{int(name.removesuffix('.wav')) % 4}"
        assert units.groups[list(units.of_clip).index(unit)] == group
    assert find_units(clips, folds[0], file, "speaker").number == 4
    file.unlink()
    for unknown in (known, folds[0]):
        units = find_units(clips, unknown)
        assert (units.name, units.number, units.groups) == ("clip", 20, None)
        assert units.note
