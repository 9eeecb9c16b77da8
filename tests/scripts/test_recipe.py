"""Recipes: the ten of the design, their rules, and the command line that overrides them.

Run: .venv/bin/python -m pytest tests/scripts/test_recipe.py
"""

import argparse
import subprocess
import sys
from dataclasses import FrozenInstanceError, fields, replace

import pytest
from fakes import DESIGN, ROOT, load

from models.base.cli import to_arguments
from models.errors import InputError
from models.recipe import PUBLISHED, Recipe, recipe_from_dict
from models.training.options import add_training_arguments, override_recipe, training_options

COLUMNS = (
    "encoder",
    "pooling",
    "head",
    "head_init_std",
    "dropout",
    "dropout_on",
    "batch_size",
    "epochs",
    "schedule_epochs",
    "schedule_cycles",
    "learning_rate",
    "weight_decay",
    "seed",
    "data_seed",
    "augment",
)


def test_the_published_ten_have_a_script_each() -> None:
    assert tuple(DESIGN) == PUBLISHED
    assert {path.stem for path in ROOT.glob("train_model*.py")} >= {f"train_{name}" for name in PUBLISHED}


@pytest.mark.parametrize("name", DESIGN)
def test_recipe_is_the_designs(name: str) -> None:
    recipe = load(name)
    assert recipe.name == name
    assert recipe.max_seconds == 16
    assert {column: getattr(recipe, column) for column in COLUMNS} == dict(zip(COLUMNS, DESIGN[name], strict=True))


@pytest.mark.slow
def test_importing_a_script_needs_no_torch_and_starts_nothing() -> None:
    code = "import sys, train_model3mapd; print('torch' in sys.modules, 'transformers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_recipe_is_frozen_and_survives_a_dict() -> None:
    recipe = load("model2dm")
    assert recipe_from_dict(recipe.to_dict()) == recipe
    with pytest.raises(FrozenInstanceError):
        recipe.epochs = 1  # type: ignore[misc]
    with pytest.raises(InputError):
        recipe_from_dict({**recipe.to_dict(), "unheard_of": 1})


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("pooling", "max"),
        ("head", "hidden-0"),
        ("head", "128"),
        ("dropout", 1.0),
        ("dropout_on", "head"),
        ("batch_size", 0),
        ("epochs", 9),
        ("learning_rate", 0.0),
        ("learning_rate", float("inf")),
        ("learning_rate", float("nan")),
        ("weight_decay", -1.0),
        ("augment", "all"),
        ("max_seconds", 31.0),
        ("warmup", 1.0),
        ("head_learning_rate", 0.0),
        ("token_loss", -1.0),
        ("drawn_texts", -1),
        ("drawn_loss", -1.0),
        ("transcription_loss", -0.1),
        ("joined_answers", 1.5),
        ("seed", -1),
        ("name", "../model"),
    ],
)
def test_a_value_outside_its_rule_is_refused_by_name(setting: str, value: object) -> None:
    with pytest.raises(InputError, match=setting):
        replace(load("model2s"), **{setting: value})


def test_every_field_can_be_overridden() -> None:
    parser = argparse.ArgumentParser()
    add_training_arguments(parser)
    given = {
        "encoder": "some/folder",
        "pooling": "attention",
        "joint": "matched",
        "head": "hidden-7",
        "head_init_std": "0.5",
        "dropout": "0.1",
        "dropout_on": "pooled",
        "batch_size": "3",
        "epochs": "2",
        "schedule_epochs": "6",
        "schedule_cycles": "0.75",
        "warmup": "0.25",
        "learning_rate": "0.01",
        "head_learning_rate": "0.03",
        "weight_decay": "0.5",
        "token_loss": "0.0",
        "drawn_texts": "0",
        "drawn_loss": "0.0",
        "transcription_loss": "0.0",
        "joined_answers": "0.0",
        "max_grad_norm": "9",
        "seed": "5",
        "data_seed": "6",
        "augment": "rooms",
        "padding": "fixed",
        "max_seconds": "4",
    }
    assert given.keys() == {field.name for field in fields(Recipe)} - {"name"}
    arguments = parser.parse_args([part for name, value in given.items() for part in (f"--{name}", value)])
    changed = override_recipe(load("model3mcp"), training_options(arguments, parser).recipe)
    assert {name: str(getattr(changed, name)) for name in given} == {
        **given,
        "max_grad_norm": "9.0",
        "max_seconds": "4.0",
    }
    assert override_recipe(load("model3mcp"), training_options(parser.parse_args([]), parser).recipe) == load(
        "model3mcp"
    )


def test_more_epochs_stretch_the_schedule() -> None:
    assert override_recipe(load("model3mb"), {"epochs": 7}).schedule_epochs == 7
    assert override_recipe(load("model2m"), {"epochs": 2}).schedule_epochs == 5


def test_fixed_padding_is_for_joint_inputs() -> None:
    with pytest.raises(InputError, match="padding"):
        replace(load("alignsmall"), padding="fixed")


@pytest.mark.parametrize(
    ("name", "changes", "padding"),
    [
        ("model2s", {}, "fixed"),
        ("model2s", {"joint": "matched"}, "batch"),
        ("alignsmall", {}, "batch"),
    ],
)
def test_recipes_from_before_there_was_a_choice_of_padding(name: str, changes: dict[str, str], padding: str) -> None:
    """Plain joint models read the silence that padded them."""
    written = replace(load(name), **changes).to_dict()
    assert recipe_from_dict(written).padding == "batch"
    del written["padding"]
    assert recipe_from_dict(written).padding == padding


def test_what_was_given_can_be_typed_again() -> None:
    """As train.py does for each fold, and check_models.py in its advice; flags too."""
    parser = argparse.ArgumentParser()
    add_training_arguments(parser)
    typed = ["--cuda_graphs", "--learning_rate", "0.5", "--group_by", "speaker", "--num_workers", "3"]
    options = training_options(parser.parse_args(typed), parser)
    again = to_arguments(options.given)
    assert training_options(parser.parse_args(again), parser) == options
    assert again.count("--cuda_graphs") == 1
    assert "True" not in again
