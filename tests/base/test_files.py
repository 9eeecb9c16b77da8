"""Names of files that are made: of any length that a file system takes.

Run: .venv/bin/python -m pytest tests/base/test_files.py
"""

import os
from pathlib import Path

import pytest
from fakes import INFER, Script
from hypothesis import given
from hypothesis import strategies as st

from models.base.files import LONGEST_NAME, fitting_name, replace_when_done, sole_writer

NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=300)


@given(NAMES, NAMES, st.sampled_from([".json", ".png", "", ".12345.tmp"]))
def test_names_fit_and_tell_apart_what_they_stand_for(one: str, other: str, ending: str) -> None:
    found = fitting_name(one, ending)
    assert len(os.fsencode(found)) <= LONGEST_NAME
    assert found.endswith(ending)
    assert (found == fitting_name(other, ending)) == (one == other)
    if len(os.fsencode(one + ending)) <= LONGEST_NAME:
        assert found == one + ending


@pytest.mark.parametrize("name", ["a" * 255, "ä" * 127, "a" * 240 + ".wav.json"])
def test_a_file_appears_whole_whatever_the_length_of_its_name(tmp_path: Path, name: str) -> None:
    with sole_writer(tmp_path / name), replace_when_done(tmp_path / name) as temporary:
        temporary.write_text("content")
    assert (tmp_path / name).read_text() == "content"
    assert not list(tmp_path.glob(".*.tmp"))


@pytest.mark.slow
def test_scores_and_problems_are_written_under_the_longest_name(work: Path, script: Script) -> None:
    (work / "data" / "test0.wav").write_bytes(b"no audio")
    outcome = script(INFER, "--output", "s" * 251 + ".csv")
    assert outcome.code == 0, outcome.error
    (listed,) = work.glob("s*.problems.csv")
    assert "test0.wav" in listed.read_text()
    assert listed.name in outcome.output
