"""What rooms offer by name. Run: make quick"""

import importlib
import pkgutil

import pytest

import models


def rooms() -> list[str]:
    return [info.name for info in pkgutil.iter_modules(models.__path__) if info.ispkg]


@pytest.mark.parametrize("room", rooms())
def test_what_a_room_offers_is_not_hidden_by_a_module_of_that_name(room: str) -> None:
    """Once imported, a module stands in its package under its own name, and lazy loading is not asked any more."""
    package = importlib.import_module(f"models.{room}")
    modules = {info.name for info in pkgutil.iter_modules(package.__path__)}
    assert modules.isdisjoint(getattr(package, "__all__", []))
