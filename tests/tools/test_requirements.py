"""One list of what is needed, pyproject.toml, with which other files agree. Run: pytest tests/tools/test_requirements.py"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from fakes import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from models.errors import InputError  # noqa: F401 - the package is importable at all

# Where the competition's runtime is older than what training needs: inference runs there too (make runtime).
OLDER_IN_THE_RUNTIME = {"torch", "torchaudio", "transformers", "accelerate"}


def dependencies() -> dict[str, Requirement]:
    """Of the project, without extras, by name."""
    block = re.search(r"^dependencies = \[\n(.*?)^\]", (ROOT / "pyproject.toml").read_text(), re.MULTILINE | re.DOTALL)
    assert block is not None
    found = [Requirement(line) for line in re.findall(r'^    "([^"]+)"', block[1], re.MULTILINE)]
    return {canonicalize_name(item.name): item for item in found}


def pins(name: str) -> dict[str, str]:
    lines = [line.partition("#")[0].strip() for line in (ROOT / name).read_text().splitlines()]
    pairs = [line.split("==") for line in lines if "==" in line]
    return {canonicalize_name(package): version.replace("*", "0") for package, version in pairs}


def extras() -> dict[str, list[Requirement]]:
    block = re.search(
        r"^\[project\.optional-dependencies\]\n(.*?)^\[",
        (ROOT / "pyproject.toml").read_text(),
        re.MULTILINE | re.DOTALL,
    )
    assert block is not None
    lists = re.findall(r"^(\w+) = \[(.*?)\](?:$| #)", block[1], re.MULTILINE | re.DOTALL)
    return {name: [Requirement(item) for item in re.findall(r'"([^"]+)"', items)] for name, items in lists}


def test_every_extra_is_tried_under_the_constraints() -> None:
    """By pip, which knows what each package asks for: `make constraints`, before a change lands."""
    (tried,) = re.findall(r"^EXTRAS := (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert sorted(tried.split(",")) == sorted(extras())
    assert "make lint constraints" in (ROOT / ".ci" / "run").read_text()
    assert "bash .ci/run" in (ROOT / ".github" / "workflows" / "ci.yml").read_text()


def test_the_constraints_pin_what_extras_ask_for() -> None:
    pinned = pins("constraints.txt")
    for item in (item for items in extras().values() for item in items):
        assert item.specifier.contains(pinned[canonicalize_name(item.name)]), item


@pytest.mark.parametrize("name", ["requirements.txt", "constraints.txt", "constraints-lowest.txt"])
def test_every_pin_is_one_that_the_project_allows(name: str) -> None:
    for package, version in pins(name).items():
        if package in dependencies():
            assert dependencies()[package].specifier.contains(version), (package, version)


@pytest.mark.parametrize("name", ["constraints.txt", "constraints-lowest.txt"])
def test_every_dependency_is_pinned(name: str) -> None:
    assert dependencies().keys() <= pins(name).keys()


def test_the_lowest_versions_are_the_bounds() -> None:
    for package, version in pins("constraints-lowest.txt").items():
        (bound,) = [item.version for item in dependencies()[package].specifier if item.operator == ">="]
        assert version.startswith(bound), package


def test_the_runtime_has_what_inference_needs() -> None:
    for package, version in pins("requirements-runtime.txt").items():
        if package not in OLDER_IN_THE_RUNTIME:
            assert dependencies()[package].specifier.contains(version), (package, version)


def test_requirements_install_the_project() -> None:
    assert "-e ." in Path(ROOT / "requirements.txt").read_text().splitlines()


def test_the_version_is_the_same_wherever_it_stands() -> None:
    (version,) = re.findall(r'^version = "([^"]+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert f"version: {version}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text()


def test_an_editable_install_lets_the_tools_find_each_other(tmp_path: Path) -> None:
    """From anywhere, as the Makefile, the README and each other call them."""
    surroundings = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, ROOT / "tools" / "run_demo.py", "--help"]
    done = subprocess.run(command, cwd=tmp_path, env=surroundings, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("usage: run_demo.py"), done.stderr
