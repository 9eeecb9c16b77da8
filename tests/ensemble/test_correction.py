"""What is done to the weighted mean, in configurations and in scores: as it was written, refused where damaged.

Run: .venv/bin/python -m pytest tests/ensemble/test_correction.py
"""

import copy
import pickle
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fakes import priors
from scipy.special import expit, logit

from models.clips.groups import GRADES, TASKS
from models.ensemble.calibration import Calibration
from models.ensemble.config import EnsembleConfig, ModelEntry, read_config, write_config
from models.ensemble.correction import SIMPLEX, Correction, corrected, describe, read_correction
from models.ensemble.items import ItemTable, item_keys
from models.ensemble.stack import Stack
from models.errors import InputError
from models.inference.combining import ModelScores

KEYS = item_keys("deletion", "1", "old")
ITEMS = ItemTable(0.5, [50.0, 2.0, 100.0], [{KEYS[0]: [30.0, 60.0]}, {KEYS[1]: [1.0, 20.0]}, {KEYS[2]: [1.0, 20.0]}])
FLAT = {task: dict.fromkeys(GRADES, 0.0) for task in TASKS}
SOUND = Stack({"a": 0.5, "b": -0.25}, {**FLAT, "deletion": dict.fromkeys(GRADES, 0.3)}, 0.0)
ITEM = Stack({"a": 0.25, "b": 0.25}, FLAT, 0.8)
CALIBRATION = Calibration(dict.fromkeys(TASKS, 0.9), dict.fromkeys(TASKS, 0.1), 0.02)
WHOLE = Correction(SOUND, ITEM, ITEMS, CALIBRATION, {"mean": 0.23, "taken": 0.21})
WEIGHTS = {"a": 0.75, "b": 0.25}


def config(correction: Correction) -> EnsembleConfig:
    voice = {"engine": "none", "source": "none", "speed": 1.0}
    models = [ModelEntry(name, weight, ["x.pth"], [0], ["0" * 64], 4.0, 4) for name, weight in WEIGHTS.items()]
    return EnsembleConfig(1, voice, "data", priors(), models, {}, correction)


@pytest.mark.parametrize("correction", [SIMPLEX, Correction(SOUND), Correction(None, None, None, CALIBRATION), WHOLE])
def test_a_configuration_is_read_as_it_was_written(correction: Correction, tmp_path: Path) -> None:
    write_config(tmp_path / "c.pkl", config(correction))
    assert read_config(tmp_path / "c.pkl") == config(correction)


def test_older_configurations_are_weighted_means_and_these_are_as_older_ones(tmp_path: Path) -> None:
    write_config(tmp_path / "c.pkl", config(SIMPLEX))
    assert "correction" not in pickle.loads((tmp_path / "c.pkl").read_bytes())
    assert read_config(tmp_path / "c.pkl").correction == SIMPLEX


def change(*path: Any, to: Any) -> Callable[[dict[str, Any]], None]:
    def apply(content: dict[str, Any]) -> None:
        for step in path[:-1]:
            content = content[step]
        content[path[-1]] = to

    return apply


DAMAGES = {
    "a list": lambda content: content.clear(),
    "surplus": change("more", to=1),
    "no stack": change("by_sound", to=None),
    "no table": change("items", to=None),
    "a stranger's slope": change("by_item", "slopes", to={"c": 1.0}),
    "slopes in a list": change("by_item", "slopes", to=[1.0]),
    "not a number": change("by_item", "item_slope", to=float("nan")),
    "infinite": change("by_sound", "slopes", "a", to=float("inf")),
    "a huge whole number": change("by_sound", "slopes", "a", to=10**400),
    "a text": change("by_sound", "slopes", "a", to="1"),
    "true": change("by_sound", "slopes", "a", to=True),
    "no such task": change("by_sound", "intercepts", to={}),
    "a floor above a half": change("calibration", "floor", to=0.6),
    "a floor below 0": change("calibration", "floor", to=-0.1),
    "a slope too few": change("calibration", "slopes", to={"deletion": 1.0}),
    "two levels": change("items", "levels", to=[{}, {}]),
    "no strength": change("items", "strengths", 1, to=0.0),
    "a share of 1": change("items", "overall", to=1.0),
    "more right than there are": change("items", "levels", 1, KEYS[1], to=[3.0, 2.0]),
    "three counts": change("items", "levels", 1, KEYS[1], to=[3.0, 2.0, 1.0]),
    "a loss that is none": change("cross_fitted", "mean", to=None),
    "an item without a name": change("items", "levels", 1, to={1: [1.0, 2.0]}),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_correction_is_refused(damage: str, tmp_path: Path) -> None:
    write_config(tmp_path / "c.pkl", config(WHOLE))
    content = pickle.loads((tmp_path / "c.pkl").read_bytes())
    DAMAGES[damage](content["correction"])
    (tmp_path / "c.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(InputError, match=r"c\.pkl.*get_config\.py"):
        read_config(tmp_path / "c.pkl")


@pytest.mark.parametrize(
    "content", [[], 1, "x", {}, {"by_sound": 1, "by_item": None, "items": None, "calibration": None}]
)
def test_what_is_no_correction_is_refused(content: object) -> None:
    with pytest.raises((KeyError, TypeError, ValueError, AttributeError)):
        read_correction(content, ["a", "b"])


def test_scores_are_those_of_the_formula() -> None:
    predictions = np.array([[0.9, 0.6], [0.2, 0.3]])
    found = corrected(WHOLE, predictions, WEIGHTS, ["deletion"] * 2, ["1"] * 2, [" OLD", "cat"])
    group = (30 + 50 * 0.5) / (60 + 50)
    text = (1 + 2 * group) / 22
    hard = logit((1 + 100 * text) / 120) - logit(group)
    known = logit(0.75 * 0.9 + 0.25 * 0.6) + 0.25 * logit(0.9) + 0.25 * logit(0.6) + 0.8 * hard
    new = logit(0.75 * 0.2 + 0.25 * 0.3) + 0.5 * logit(0.2) - 0.25 * logit(0.3) + 0.3
    expected = 0.02 + 0.96 * expit(0.9 * np.array([known, new]) + 0.1)
    np.testing.assert_allclose(found, expected)
    plain = corrected(SIMPLEX, predictions, WEIGHTS, ["?"] * 2, ["?"] * 2, ["a"] * 2)
    np.testing.assert_allclose(plain, predictions @ [0.75, 0.25])


def test_for_a_model_that_hears_nothing_the_others_speak() -> None:
    scores = ModelScores(WEIGHTS, 2)
    scores.add("a", np.array([0.375, 0.5]), np.array([0.8, 0.6]))
    scores.add("a", np.array([0.375, 0.5]), np.array([0.6, 0.6]))
    scores.add("b", np.array([0.25, 0.0]), np.array([0.1, 0.9]))
    table = pd.DataFrame({"task": ["blending"] * 2, "grade": ["2"] * 2, "expected_text": ["x", "y"]})
    np.testing.assert_allclose(scores.blended(SIMPLEX, table), [0.75 * 0.7 + 0.25 * 0.1, 0.6])
    correction = Correction(replace(SOUND, intercepts=FLAT))
    expected = [logit(0.55) + 0.5 * logit(0.7) - 0.25 * logit(0.1), (1 + 0.25) * logit(0.6)]
    np.testing.assert_allclose(scores.blended(correction, table), expit(expected))


def test_it_is_told_whether_items_are() -> None:
    assert "item" in describe(WHOLE)
    assert all("sound" in describe(one) and "item" not in describe(one) for one in (SIMPLEX, Correction(SOUND)))
    assert describe(WHOLE).endswith("calibrated")


def test_plain_values_alone() -> None:
    assert read_correction(copy.deepcopy(asdict(WHOLE)), ["a", "b"]) == WHOLE
    assert read_correction(None, []) == SIMPLEX
