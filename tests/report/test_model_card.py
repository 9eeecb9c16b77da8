"""The model card: its form is the hub's, and every figure is computed from the out-of-fold predictions.

Run: .venv/bin/python -m pytest tests/report/test_model_card.py
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from fakes import checkpoints, load
from huggingface_hub import ModelCard
from sklearn.metrics import log_loss as sklearn_log_loss
from sklearn.metrics import roc_auc_score

from models.clips.groups import GRADES, TASKS
from models.ensemble.blend import fit_weights, gather_blend
from models.ensemble.checkpoint import Checkpoint
from models.ensemble.metrics import N_BINS
from models.inference.published import Published
from models.inference.scoring import Member
from models.report.card import CardChoices, model_card
from models.report.figures import ensemble_figures, largest_gap, review_figures

CHOICES = CardChoices("some model", "clips of a test", "mit")


@pytest.fixture(scope="module")
def folds() -> list[Checkpoint]:
    """Two models of three folds, one better than the other."""
    return [*checkpoints("model2s", 3, noise=1.0), *checkpoints("model3mb", 3, noise=2.0, seed=1)]


@pytest.fixture(scope="module")
def weights(folds: list[Checkpoint]) -> dict[str, float]:
    blend = gather_blend(folds)
    return dict(zip(blend.models, fit_weights(blend.labels, blend.predictions).tolist(), strict=True))


def publish(folds: list[Checkpoint], weights: dict[str, float]) -> Published:
    members = [Member(item, 4, weights[item.recipe.name] / 3) for item in folds]
    return Published(members, folds[0].voice, {}, ensemble_figures(folds, weights))


def blended_rows(folds: list[Checkpoint], weights: dict[str, float]) -> pd.DataFrame:
    """The oracle: clip by clip, from the checkpoints."""
    rows: dict[str, list] = {}
    for item in folds:
        oof = item.oof
        for name, task, grade, label, prediction in zip(
            oof.filenames, oof.tasks, oof.grades, oof.labels, oof.predictions, strict=True
        ):
            row = rows.setdefault(name, [task, grade, label, 0.0])
            row[3] += weights[item.recipe.name] * prediction
    return pd.DataFrame(rows.values(), columns=["task", "grade", "label", "prediction"])


@pytest.mark.slow
def test_figures_are_those_of_the_blend(folds: list[Checkpoint], weights: dict[str, float]) -> None:
    found, rows = ensemble_figures(folds, weights), blended_rows(folds, weights)
    overall = found["overall"][0]
    assert overall["clips"] == len(rows) == 600
    assert overall["log_loss"] == pytest.approx(sklearn_log_loss(rows["label"], rows["prediction"]))
    assert overall["auc"] == pytest.approx(roc_auc_score(rows["label"], rows["prediction"]))
    assert found["cross_fitted_log_loss"] == pytest.approx(overall["log_loss"], abs=0.02)
    assert overall["log_loss_interval"][0] < overall["log_loss"] < overall["log_loss_interval"][1]
    spread = np.std(-np.log(np.where(rows["label"] == 1, rows["prediction"], 1 - rows["prediction"]))) / np.sqrt(600)
    width = np.subtract(*overall["log_loss_interval"][::-1])
    assert width == pytest.approx(2 * 1.96 * spread, rel=0.1)  # the normal approximation agrees with the bootstrap
    assert [row["task"] for row in found["by_task"]] == list(TASKS)
    assert [row["grade"] for row in found["by_grade"]] == list(GRADES)
    for row in found["by_task_and_grade"]:
        own = rows[(rows["task"] == row["task"]) & (rows["grade"] == row["grade"])]
        assert (row["clips"], row["right"]) == (len(own), int(own["label"].sum()))
        assert row["log_loss"] == pytest.approx(sklearn_log_loss(own["label"], own["prediction"]))
        right = own[own["label"] == 1]
        assert row["false_rejections"] == pytest.approx((right["prediction"] <= 0.5).mean())
        assert row["mean_prediction"] == pytest.approx(own["prediction"].mean())


def test_a_fold_alone_has_its_own_figures(folds: list[Checkpoint]) -> None:
    oof = folds[1].oof
    found = ensemble_figures(folds[1:2], {"model2s": 1.0})
    assert found["overall"][0]["log_loss"] == pytest.approx(sklearn_log_loss(oof.labels, oof.predictions))
    assert (found["clips"], found["cross_fitted_log_loss"]) == (200, None)


def test_calibration_error_against_the_definition(folds: list[Checkpoint], weights: dict[str, float]) -> None:
    found, rows = ensemble_figures(folds, weights), blended_rows(folds, weights)
    places = (rows["prediction"] * N_BINS).astype(int)
    gaps = [
        len(own) / len(rows) * abs(own["label"].mean() - own["prediction"].mean()) for _, own in rows.groupby(places)
    ]
    assert found["overall"][0]["calibration_error"] == pytest.approx(sum(gaps))


@pytest.mark.parametrize(("low", "high"), [(0.25, 0.75), (0.5, 0.5), (0.05, 0.95), (0.0, 1.0)])
def test_what_a_review_costs_and_gains(
    folds: list[Checkpoint], weights: dict[str, float], low: float, high: float
) -> None:
    rows = blended_rows(folds, weights)
    decided = rows[(rows["prediction"] < low) | (rows["prediction"] >= high)]
    reviewed, accuracy = review_figures(ensemble_figures(folds, weights)["bins"], low, high)
    assert reviewed == pytest.approx(1 - len(decided) / len(rows))
    if len(decided):
        assert accuracy == pytest.approx(((decided["prediction"] >= 0.5) == (decided["label"] == 1)).mean())
    else:
        assert np.isnan(accuracy)


def test_gaps_leave_small_groups_out() -> None:
    groups = [{"clips": 100, "log_loss": 0.2}, {"clips": 40, "log_loss": 0.5}, {"clips": 3, "log_loss": 2.0}]
    assert largest_gap(groups, "log_loss", 30) == pytest.approx(0.3)
    assert largest_gap(groups, "log_loss", 50) is None


def test_the_card_is_one_that_the_hub_reads(folds: list[Checkpoint], weights: dict[str, float], tmp_path: Path) -> None:
    published = publish(folds, weights)
    (tmp_path / "README.md").write_text(model_card(published, CHOICES), encoding="utf-8")
    data = ModelCard.load(tmp_path / "README.md").data
    assert (data.license, data.language, data.pipeline_tag, data.model_name) == (
        "mit",
        "en",
        "audio-classification",
        "some model",
    )
    overall = published.figures["overall"][0]
    told = {result.metric_type: result.metric_value for result in data.eval_results}
    assert told["log_loss"] == pytest.approx(overall["log_loss"], abs=1e-6)
    assert told["roc_auc"] == pytest.approx(overall["auc"], abs=1e-6)
    front = yaml.safe_load((tmp_path / "README.md").read_text(encoding="utf-8").split("---")[1])
    assert front["model-index"][0]["results"][0]["task"]["type"] == "audio-classification"


@pytest.mark.slow
def test_other_predictions_make_another_card(folds: list[Checkpoint], weights: dict[str, float]) -> None:
    """Figures are computed: turn every prediction around, and each table changes."""
    turned = [replace(item, oof=replace(item.oof, predictions=1 - item.oof.predictions)) for item in folds]
    cards = [model_card(publish(own, weights), CHOICES) for own in (folds, turned)]
    sections = [dict(part.split("\n", 1) for part in card.split("\n## ")[1:]) for card in cards]
    changed = {name for name in sections[0] if sections[0][name] != sections[1][name]}
    assert changed == {"Figures", "Calibration", "Bias", "Limits"}


def test_without_a_licence_the_card_says_so(folds: list[Checkpoint], weights: dict[str, float]) -> None:
    card = model_card(publish(folds, weights), replace(CHOICES, licence=None))
    assert "license: other" in card
    assert "not chosen yet" in card


def test_names_cannot_break_the_card(folds: list[Checkpoint], weights: dict[str, float]) -> None:
    """A line break or a colon in what a user types stays inside its value."""
    odd = CardChoices("a: b # c", 'data\nlicense: "stolen"', "mit")
    front = yaml.safe_load(model_card(publish(folds, weights), odd).split("\n---\n")[0].removeprefix("---"))
    assert front["license"] == "mit"
    assert front["model-index"][0]["name"] == "a: b # c"


def test_groups_of_one_kind_have_no_auc(folds: list[Checkpoint]) -> None:
    only = [replace(item, oof=replace(item.oof, labels=np.ones(len(item.oof.labels)))) for item in folds[:3]]
    published = publish(only, {"model2s": 1.0})
    overall = published.figures["overall"][0]
    assert (overall["auc"], overall["false_acceptances"]) == (None, None)
    assert "roc_auc" not in model_card(published, CHOICES).split("\n---\n")[0]


def test_a_card_of_verifiers_speaks_of_no_voice(folds: list[Checkpoint], weights: dict[str, float]) -> None:
    published = publish(folds, weights)
    verifier = load("verifytiny")
    read = [
        replace(
            member, checkpoint=replace(member.checkpoint, recipe=replace(verifier, name=member.checkpoint.recipe.name))
        )
        for member in published.members
    ]
    heard, unheard = (model_card(replace(published, members=members), CHOICES) for members in (published.members, read))
    assert "Another voice is refused" in heard
    assert "Another voice is refused" not in unheard
    assert "text-to-speech" not in unheard
    weighing = [
        replace(
            member, checkpoint=replace(member.checkpoint, encoder={**member.checkpoint.encoder, "weighs_phones": True})
        )
        for member in read
    ]
    assert "espeak-ng reads in the text" in model_card(replace(published, members=weighing), CHOICES)
    assert "espeak-ng reads in the text" not in unheard
