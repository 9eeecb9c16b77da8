"""Which blend is taken: nested cross-fitting that sees nothing of what it scores, and what costs nothing where nothing is gained.

Run: .venv/bin/python -m pytest tests/ensemble/test_choice.py
"""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes import Script, checkpoints, outside_data
from scipy.special import expit, logit

from models.clips.groups import GRADES, TASKS
from models.clips.tables import fingerprint, read_training_table
from models.ensemble.blend import Blend, cross_fit
from models.ensemble.checkpoint import save_checkpoint
from models.ensemble.choice import ITEM, PLAIN, SOUND, choose
from models.ensemble.config import read_config
from models.ensemble.correction import corrected
from models.ensemble.metrics import log_loss


def simulated(
    n_clips: int, told: float = 0.0, seed: int = 0, n_texts: int = 60, n_models: int = 3
) -> tuple[Blend, list[str]]:
    """Items of very different difficulty, and models that hear the answer and know so much (`told`) of the item."""
    rng = np.random.default_rng(seed)
    item = rng.integers(0, n_texts, n_clips)
    difficulty = rng.normal(0, 2, n_texts)[item]
    labels = (rng.random(n_clips) < expit(difficulty)).astype(float)
    shared = rng.normal(0, 1, n_clips)
    heard = [2.5 * (2 * labels - 1) + 1.5 * shared + rng.normal(0, 0.5, n_clips) for _ in range(n_models)]
    predictions = np.array([expit(2 * one + told * difficulty) for one in heard]).T
    tasks, grades = ([names[place % 4] for place in item] for names in (TASKS, GRADES))
    names = [f"{row}.wav" for row in range(n_clips)]
    folds = rng.integers(0, 4, n_clips)
    blend = Blend([f"m{place}" for place in range(n_models)], names, labels, predictions, folds, tasks, grades)
    return blend, [f"text {place}" for place in item]


def losses(blend: Blend, texts: list[str] | None) -> dict[str, float]:
    return {one.name: one.log_loss for one in choose(blend, texts, "best").candidates}


def test_items_are_told_where_that_is_better() -> None:
    blend, texts = simulated(4000)
    choice = choose(blend, texts, "best")
    found = {one.name: one for one in choice.candidates}
    assert choice.chosen.name.startswith(ITEM)
    assert found[ITEM].log_loss < found[SOUND].log_loss - 0.02
    assert found[ITEM].difference is not None
    assert found[ITEM].difference.high < 0
    weights = dict(zip(blend.models, choice.weights, strict=True))
    scores = corrected(choice.correction, blend.predictions, weights, blend.tasks, blend.grades, texts)
    assert log_loss(blend.labels, scores) == pytest.approx(choice.chosen.log_loss, abs=0.01)


def test_nothing_of_a_fold_is_in_its_scores() -> None:
    blend, texts = simulated(1200)
    own = blend.folds == 2
    turned = replace(blend, labels=np.where(own, 1 - blend.labels, blend.labels))
    before, after = (choose(one, texts, "stack").candidates for one in (blend, turned))
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one.scores[own], other.scores[own])
        assert not np.array_equal(one.scores[~own], other.scores[~own])


def test_the_simplex_is_cross_fitted_as_ever() -> None:
    blend, texts = simulated(1200)
    np.testing.assert_allclose(choose(blend, texts, "best").candidates[0].scores, cross_fit(blend)[0], atol=1e-6)


@pytest.mark.parametrize("n_clips", [300, 1000, 5000])
def test_where_nothing_is_to_be_gained_it_costs_nothing(n_clips: int) -> None:
    blend, texts = simulated(n_clips, told=1.0)
    rng = np.random.default_rng(7)
    blend = replace(blend, labels=(rng.random(n_clips) < blend.predictions.mean(axis=1)).astype(float))
    choice = choose(blend, texts, "best")
    assert choice.chosen.log_loss - choice.candidates[0].log_loss <= 0.001


def test_new_texts_are_judged_no_worse_than_by_the_simplex() -> None:
    """Folds that keep a text together: no table knows the texts that are scored."""
    blend, texts = simulated(4000)
    by_text = replace(blend, folds=np.array([int(text.split()[1]) % 4 for text in texts]))
    found = losses(by_text, texts)
    assert found[ITEM] == pytest.approx(found[SOUND], abs=1e-12)
    choice = choose(by_text, texts, "best")
    assert choice.chosen.log_loss <= found[PLAIN]
    assert choose(by_text, texts, "stack").correction.by_item is None


def test_texts_of_one_fold_alone_are_judged_by_their_sound() -> None:
    blend, texts = simulated(4000)
    places = np.array([int(text.split()[1]) for text in texts])
    alone = places < 20
    choice = choose(replace(blend, folds=np.where(alone, places % 4, blend.folds)), texts, "best")
    scores = {one.name: one.scores for one in choice.candidates}
    np.testing.assert_array_equal(scores[ITEM][alone], scores[SOUND][alone])
    assert np.abs(scores[ITEM] - scores[SOUND])[~alone].max() > 0.05


def test_a_table_that_does_not_know_a_text_leaves_the_stack_by_sound() -> None:
    blend, texts = simulated(3000)
    correction = choose(blend, texts, "stack").correction
    weights = dict.fromkeys(blend.models, 1 / 3)
    said = (blend.predictions, weights, blend.tasks, blend.grades)
    new = corrected(correction, *said, [f"new {text}" for text in texts])
    np.testing.assert_allclose(new, corrected(replace(correction, by_item=None, items=None), *said, texts))


def test_intervals_are_over_texts() -> None:
    """Clips of one text are no independent witnesses of what its difficulty adds."""
    blend, texts = simulated(4000, n_texts=20)
    grouped = choose(blend, texts, "best").candidates[1].difference
    alone = choose(blend, None, "best").candidates[1].difference
    assert grouped is not None
    assert alone is not None
    assert grouped.value == pytest.approx(alone.value)
    assert grouped.high - grouped.low != pytest.approx(alone.high - alone.low, rel=0.02)


def test_of_few_texts_nothing_is_clear() -> None:
    blend, texts = simulated(4000, n_texts=9)
    assert choose(blend, texts, "best").chosen.name == PLAIN


def test_overfitted_models_get_a_floor() -> None:
    """Sure of everything, and wrong in one of twenty."""
    rng = np.random.default_rng(8)
    blend, texts = simulated(3000, n_models=1)
    labels = (rng.random(3000) < 0.5).astype(float)
    sure = np.where(rng.random(3000) < 0.95, labels, 1 - labels)
    blend = replace(blend, labels=labels, predictions=expit(12 * (2 * sure - 1))[:, None])
    choice = choose(blend, texts, "best")
    weights = dict(zip(blend.models, choice.weights, strict=True))
    scores = corrected(choice.correction, blend.predictions, weights, blend.tasks, blend.grades, texts)
    assert log_loss(labels, scores) < 0.21 < 0.5 < choice.candidates[0].log_loss
    assert 0.03 < scores.min() < scores.max() < 0.97


def test_two_folds_and_few_clips_are_enough() -> None:
    blend, texts = simulated(40, n_texts=10)
    choice = choose(replace(blend, folds=np.arange(40) % 2), texts, "stack")
    assert all(np.isfinite(one.scores).all() for one in choice.candidates)


def test_the_whole_choice_takes_seconds() -> None:
    blend, texts = simulated(38_095, n_texts=471, n_models=10)
    blend = replace(blend, folds=np.arange(38_095) % 6)
    start = time.process_time()
    choose(blend, texts, "best")
    assert time.process_time() - start < 6  # 2 s on one core that has nothing else to do


def assets(folder: Path, data: Path) -> None:
    """Checkpoints of models of the clips of a data folder."""
    table = read_training_table(data)
    for item in [
        *checkpoints(n_folds=2, clips_per_fold=len(table) // 2),
        *checkpoints("model3mb", 2, len(table) // 2, seed=1),
    ]:
        rows = table.iloc[item.fold :: 2]
        oof = replace(
            item.oof,
            filenames=rows["filename"].tolist(),
            tasks=rows["task"].tolist(),
            grades=rows["grade"].tolist(),
            labels=rows["score"].to_numpy(),
        )
        save_checkpoint(folder / item.file_name, replace(item, oof=oof, data_fingerprint=fingerprint(table)))


def test_the_script_tells_items_only_where_it_may(work: Path, script: Script) -> None:
    (work / "made").mkdir()
    assets(work / "made", work / "data")
    folders = ("--assets_dir", "made", "--output", "found.pkl")
    outcome = script("get_config.py", *folders, "--blend", "stack")
    assert outcome.code == 0, outcome.error
    assert ITEM in outcome.output
    assert read_config(work / "found.pkl").correction.items is not None
    outcome = script("get_config.py", *folders, "--blend", "stack", "--no_item_prior")
    assert outcome.code == 0
    assert ITEM not in outcome.output
    correction = read_config(work / "found.pkl").correction
    assert correction.by_sound is not None
    assert (correction.by_item, correction.items) == (None, None)
    assert script("get_config.py", *folders, "--blend", "simplex").code == 0
    assert read_config(work / "found.pkl").correction.by_sound is None


def test_without_the_training_data_items_are_not_told(work: Path, script: Script) -> None:
    (work / "made").mkdir()
    assets(work / "made", work / "data")
    folders = ("--assets_dir", "made", "--output", "found.pkl", "--data_dir", "nowhere")
    outcome = script("get_config.py", *folders)
    assert outcome.code == 0
    assert "nowhere" in outcome.output
    assert script("get_config.py", *folders, "--blend", "stack").code == 1


@pytest.mark.slow
def test_on_the_real_labels_a_difficulty_is_worth_what_it_is() -> None:
    """A model that knows nothing, so that the stack is the items alone: 0.534 where each clip was left out in turn."""
    table = read_training_table(outside_data("goodnight_moon"))
    n_clips = len(table)
    rng = np.random.default_rng(0)
    guesses, folds = expit(rng.normal(0, 0.01, (n_clips, 1))), rng.integers(0, 6, n_clips)
    names, *known = (table[name].tolist() for name in ("filename", "task", "grade"))
    blend = Blend(["none"], names, table["score"].to_numpy(), guesses, folds, *known)
    found = losses(blend, table["expected_text"].tolist())
    assert found[ITEM] == pytest.approx(0.53, abs=0.01)
    assert logit(found[SOUND]) > logit(0.68)
