"""Blending: the optimum against an independent solver, honest figures, the spread of folds, outliers.

Run: .venv/bin/python -m pytest tests/ensemble/test_ensemble.py
"""

import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes import Script, checkpoints, noisy_predictions, read_rows, set_cell, write_rows
from scipy.optimize import minimize
from scipy.special import softmax
from sklearn.metrics import log_loss as sklearn_log_loss

from models.ensemble.blend import (
    cross_fitted_loss,
    fit_weights,
    gather_blend,
    optimality_gap,
    read_assets,
    spread_folds,
)
from models.ensemble.checkpoint import Checkpoint, save_checkpoint
from models.ensemble.config import read_config
from models.ensemble.metrics import figures, log_loss, sigmoid
from models.errors import InputError
from models.report.checks import figure_table, find_faulty_folds, oof_table, stands_out
from models.training.job import TrainingJob, make_job
from models.training.options import training_options


def simulated(n_clips: int, n_models: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n_clips).astype(float)
    shared = rng.normal(0, 1, n_clips)
    columns = []
    for index in range(n_models):
        logits = (2 * labels - 1) * 1.5 + shared + rng.normal(0, 0.5 + 0.2 * index, n_clips)
        columns.append(1 / (1 + np.exp(-logits)))
    return labels, np.array(columns).T


def independent_optimum(labels: np.ndarray, predictions: np.ndarray) -> float:
    """Another route to the optimum: softmax weights, L-BFGS, scikit-learn's log loss."""
    n_models = predictions.shape[1]
    starts = [np.zeros(n_models), *(3 * np.eye(n_models))]
    return min(
        minimize(lambda z: sklearn_log_loss(labels, predictions @ softmax(z)), start, method="L-BFGS-B", tol=1e-12).fun
        for start in starts
    )


@pytest.mark.slow
@pytest.mark.parametrize(("n_models", "seed"), [(1, 0), (2, 1), (4, 2), (6, 3)])
def test_weights_reach_the_optimum_of_an_independent_solver(n_models: int, seed: int) -> None:
    labels, predictions = simulated(1500, n_models, seed)
    weights = fit_weights(labels, predictions)
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()
    assert log_loss(labels, predictions @ weights) <= independent_optimum(labels, predictions) + 1e-7


def test_gap_bounds_the_distance_to_the_optimum() -> None:
    labels, predictions = simulated(1500, 4)
    best = log_loss(labels, predictions @ fit_weights(labels, predictions))
    for weights in ([0.25] * 4, [1, 0, 0, 0], [0, 0, 0, 1]):
        gap = optimality_gap(labels, predictions, np.array(weights, float))
        assert 0 < log_loss(labels, predictions @ np.array(weights)) - best <= gap


def test_a_useless_and_a_doubled_model_do_no_harm() -> None:
    labels, predictions = simulated(2000, 2)
    alone = log_loss(labels, predictions @ fit_weights(labels, predictions))
    with_noise = np.column_stack([predictions, np.random.default_rng(1).random(2000), predictions[:, 0]])
    weights = fit_weights(labels, with_noise)
    assert weights[2] < 0.05
    assert log_loss(labels, with_noise @ weights) == pytest.approx(alone, abs=1e-4)


def test_certain_and_wrong_predictions_stay_finite() -> None:
    labels = np.array([1.0, 0.0, 1.0, 0.0])
    predictions = np.array([[0.0, 0.6], [0.0, 0.4], [1.0, 0.6], [1.0, 0.4]])
    assert fit_weights(labels, predictions)[1] > 0.5


def test_ten_models_of_the_real_size_take_seconds() -> None:
    labels, predictions = simulated(38_095, 10)
    start = time.process_time()
    weights = fit_weights(labels, predictions)
    assert time.process_time() - start < 5
    assert optimality_gap(labels, predictions, weights) < 1e-6


def test_blend_lines_up_clips_whatever_the_folds() -> None:
    first, second = checkpoints("model2s"), checkpoints("model3mb", seed=1)
    shuffled = []
    for checkpoint in second:
        order = np.random.default_rng(checkpoint.fold).permutation(len(checkpoint.oof.labels))
        oof = checkpoint.oof
        mixed = replace(
            oof,
            filenames=[oof.filenames[row] for row in order],
            labels=oof.labels[order],
            predictions=oof.predictions[order],
        )
        shuffled.append(replace(checkpoint, oof=mixed))
    one, other = gather_blend([*first, *second]), gather_blend([*first, *shuffled[::-1]])
    assert one.models == ["model2s", "model3mb"]
    np.testing.assert_array_equal(one.predictions, other.predictions)
    np.testing.assert_array_equal(one.labels, other.labels)
    assert one.predictions.shape == (1200, 2)
    clip = one.filenames.index(first[3].oof.filenames[7])
    assert one.predictions[clip, 0] == first[3].oof.predictions[7]
    assert one.folds[clip] == 3


def test_incomplete_or_mixed_models_are_refused() -> None:
    complete = checkpoints()
    with pytest.raises(InputError, match=r"missing \[2\]"):
        gather_blend(complete[:2] + complete[3:])
    with pytest.raises(InputError, match="same clips"):
        gather_blend([*complete, *checkpoints("model3mb", clips_per_fold=100)])
    with pytest.raises(InputError, match="two folds"):
        gather_blend([*complete[:5], replace(complete[4], fold=5)])
    oof = complete[0].oof
    twice = replace(oof, filenames=[oof.filenames[1], *oof.filenames[1:]])
    with pytest.raises(InputError, match=f"{oof.filenames[1]}' was held out"):
        gather_blend([replace(complete[0], oof=twice), *complete[1:]])


def test_honest_figure_is_that_of_weights_fitted_elsewhere() -> None:
    """On few clips, weights that have seen the clips they are scored on look better than they are."""
    blend = gather_blend([item for seed in range(8) for item in checkpoints(f"m{seed}", 2, 20, noise=2.0, seed=seed)])
    seen = log_loss(blend.labels, blend.predictions @ fit_weights(blend.labels, blend.predictions))
    assert cross_fitted_loss(blend) > seen
    expected = np.empty(len(blend.labels))
    for fold in (0, 1):
        rows = blend.folds == fold
        expected[rows] = blend.predictions[rows] @ fit_weights(blend.labels[~rows], blend.predictions[~rows])
    assert cross_fitted_loss(blend) == pytest.approx(sklearn_log_loss(blend.labels, expected), abs=1e-6)


@pytest.mark.parametrize("n_folds", [2, 5, 6])
def test_folds_are_spread_evenly(n_folds: int) -> None:
    for folds_per_model in range(1, n_folds + 1):
        picks = [spread_folds(model, n_folds, folds_per_model) for model in range(10)]
        assert all(len(set(pick)) == folds_per_model and set(pick) <= set(range(n_folds)) for pick in picks)
        counts = Counter(fold for pick in picks for fold in pick)
        assert max(counts.values()) - min(counts[fold] for fold in range(n_folds)) <= folds_per_model + 1
    assert spread_folds(0, 6, 3) == [0, 2, 4]
    assert spread_folds(1, 6, 3) == [1, 3, 5]
    with pytest.raises(InputError):
        spread_folds(0, n_folds, n_folds + 1)


def test_figures_are_scikit_learns() -> None:
    from sklearn.metrics import accuracy_score, roc_auc_score

    labels, predictions = simulated(500, 1)
    found = figures(labels, predictions[:, 0])
    assert found.log_loss == pytest.approx(sklearn_log_loss(labels, predictions[:, 0]))
    assert found.auc == pytest.approx(roc_auc_score(labels, predictions[:, 0]))
    assert found.accuracy == pytest.approx(accuracy_score(labels, predictions[:, 0] > 0.5))
    assert np.isnan(figures(np.ones(3), np.full(3, 0.5)).auc)
    assert 0 < sigmoid(np.array([-1000.0]))[0] < sigmoid(np.array([1000.0]))[0] < 1


def test_figures_per_group_are_those_of_its_rows() -> None:
    rows = oof_table(checkpoints())
    table = figure_table(rows, ["task"])
    assert table["task"].tolist() == ["deletion", "nonword_repetition", "blending", "sentence_repetition"]
    own = rows[rows["task"] == "blending"]
    expected = sklearn_log_loss(own["label"], own["prediction"])
    assert table.set_index("task").loc["blending", "log_loss"] == pytest.approx(expected)
    assert table["clips"].sum() == len(rows) == 1200


def write(folder: Path, items: list) -> None:  # type: ignore[type-arg]
    for item in items:
        save_checkpoint(folder / item.file_name, item)


def problems_of(folder: Path) -> list[str]:
    return [f"{problem.what} | {problem.command}" for problem in find_faulty_folds(read_assets(folder), folder)]


def test_some_of_the_models_can_be_blended_alone(tmp_path: Path, script: Script) -> None:
    write(tmp_path, [*checkpoints(), *checkpoints("model3mb", noise=1.2, seed=3), *checkpoints("model1m", seed=4)])
    config = tmp_path / "two.pkl"
    folders = ["--assets_dir", tmp_path, "--output", config, "--models"]
    assert script("get_config.py", *folders, "model3mb", "model2s").code == 0
    assert {model.name for model in read_config(config).models} == {"model2s", "model3mb"}
    config.unlink()
    outcome = script("get_config.py", *folders, "model2m")
    assert outcome.code == 1
    assert "model2m" in outcome.error
    assert not config.exists()


def test_sound_models_have_no_problems(tmp_path: Path) -> None:
    write(tmp_path, [*checkpoints(), *checkpoints("model3mb", noise=1.2, seed=3)])
    assert problems_of(tmp_path) == []


def test_a_missing_fold_is_named_with_the_command_that_trains_it(tmp_path: Path) -> None:
    items = checkpoints()
    write(tmp_path, items[:4] + items[5:])
    (problem,) = problems_of(tmp_path)
    assert problem.startswith("model2s_4.pth")
    options = f"--encoder 'some where' --epochs 2 --output_dir {tmp_path} --overwrite"
    assert problem.endswith(f"python train_model2s.py --fold 4 --n_folds 6 {options}")


def test_a_fold_that_stands_out_is_named(tmp_path: Path) -> None:
    items = checkpoints(clips_per_fold=1000)
    labels = items[2].oof.labels
    collapsed = replace(items[2].oof, predictions=noisy_predictions(labels, 3.0, np.random.default_rng(5)))
    write(tmp_path, [*items[:2], replace(items[2], oof=collapsed), *items[3:]])
    (problem,) = problems_of(tmp_path)
    assert problem.startswith("model2s_2.pth")
    assert "--fold 2 --n_folds 6" in problem


def test_strangers_and_broken_files_are_named(tmp_path: Path) -> None:
    items = checkpoints()
    strangers = [
        replace(items[0], data_fingerprint="other"),
        replace(items[1], n_folds=5),
        replace(items[2], voice={**items[2].voice, "speed": 1.0}),
        replace(items[3], options={"group_by": "speaker"}),
    ]
    write(tmp_path, [*strangers, *items[4:], *checkpoints("model3mb", seed=3)])
    (tmp_path / "model3mb_5.pth").write_bytes(b"half")
    (tmp_path / "model3mb_1.pth").rename(tmp_path / "model3mb_7.pth")
    found = problems_of(tmp_path)
    for fold, reason in enumerate(("training data", "n_folds", "voice", "grouping")):
        assert any(line.startswith(f"model2s_{fold}.pth") and reason in line for line in found), (fold, found)
    assert any("model3mb_5.pth" in line and "--fold 5" in line for line in found)
    assert any("model3mb_7.pth" in line and "mv " in line for line in found)


def make_grouped_job(work: Path, groups: Path) -> TrainingJob:
    from train import make_training_parser

    words = ["--n_folds", "2", "--group_by", "speaker", "--groups", str(groups), "--data_dir", str(work / "data")]
    parser = make_training_parser()
    options = training_options(parser.parse_args(words), parser)
    return make_job(replace(checkpoints()[0].recipe, batch_size=4), 0, options)


def test_groups_are_compared_by_what_the_file_says(work: Path) -> None:
    """The same content elsewhere is the same setting, and another content in the same place is another one."""
    there, elsewhere = work / "data" / "train_source.csv", work / "elsewhere.csv"
    rows = read_rows(there)
    write_rows(elsewhere, [rows[0], *reversed(rows[1:])])
    before, moved = (make_grouped_job(work, path).grouping for path in (there, elsewhere))
    assert moved == before
    set_cell(there, 2, "speaker", "somebody else")
    changed = make_grouped_job(work, there).grouping
    assert changed != before

    def problems(*groupings: tuple[str, str]) -> list[str]:
        items = [
            replace(item, grouping=grouping, options={"group_by": "speaker", "groups": path})
            for item, (grouping, path) in zip(checkpoints(n_folds=4), groupings, strict=True)
        ]
        return [problem.what for problem in find_faulty_folds({work / item.file_name: item for item in items}, work)]

    assert not problems(
        (before, "a.csv"), (before, "b.csv"), (before, "./a.csv"), ("", "a.csv")
    )  # "": an older checkpoint
    (told,) = problems((before, "a.csv"), (before, "a.csv"), (changed, "a.csv"), (before, "a.csv"))
    assert told.startswith("model2s_2.pth")
    assert "grouping" in told


@pytest.mark.parametrize(
    ("loss", "others", "expected"),
    [
        (0.285, [0.22, 0.23, 0.235, 0.24, 0.225], True),  # the published case
        (0.245, [0.22, 0.23, 0.235, 0.24, 0.225], False),
        (0.69, [0.60, 0.61, 0.6, 0.62, 0.605], True),
        (0.0285, [0.022, 0.023, 0.0235, 0.024, 0.0225], True),  # any scale
        (0.2, [0.22, 0.23, 0.235, 0.24, 0.225], False),  # better is no problem
        (0.9, [0.2], False),
    ],
)
def test_rule_for_standing_out(loss: float, others: list[float], expected: bool) -> None:
    assert stands_out(loss, 0.001, others) is expected
    assert not stands_out(loss, 1.0, others)  # few clips: chance could do that


def test_a_weaker_model_is_not_a_broken_fold(tmp_path: Path) -> None:
    """With few folds, models are compared with each other; only what is nearer to the prior than to them is named."""
    strong = checkpoints("model2s", n_folds=2, noise=0.1)
    weak, broken = checkpoints("model2m", n_folds=2, noise=1.6, seed=1), checkpoints("model1m", n_folds=2, noise=9.0)

    def loss(item: Checkpoint) -> float:
        return log_loss(item.oof.labels, item.oof.predictions)

    assert stands_out(loss(weak[0]), 0.01, [loss(item) for item in strong])
    found = {
        name: find_faulty_folds({tmp_path / item.file_name: item for item in [*strong, *others]}, tmp_path)
        for name, others in (("weak", weak), ("broken", broken))
    }
    assert not found["weak"]
    assert ["model1m_0.pth" in problem.what for problem in found["broken"]] == [True, False]
