"""Every tool, experiment and benchmark finds what it imports of the project. Run: python -m pytest tests/tools/test_imports.py"""

import subprocess
import sys

from fakes import ROOT

FOLDERS = ("tools", "experiments", "benchmarks")
IMPORTING = """
import importlib, sys
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:  # a package that only this one needs
        if error.name.partition(".")[0] in ("models", "tools", "experiments", "benchmarks"):
            raise
"""


def test_what_is_imported_is_there() -> None:
    names = [f"{folder}.{file.stem}" for folder in FOLDERS for file in sorted((ROOT / folder).glob("*.py"))]
    assert len(names) > 40
    found = subprocess.run(
        [sys.executable, "-c", IMPORTING, *names], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert found.returncode == 0, found.stderr
