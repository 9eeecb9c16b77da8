"""A clip that can't be read never costs the submission; what is written is checked before it takes its name.

Run: .venv/bin/python -m pytest tests/test_submission.py
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import INFER, Script, read_rows
from simulate import checkpoints, priors
from test_bad_input import AUDIO_DAMAGE

from models.ensemble import group_priors
from models.errors import InputError
from models.submission import check_submission, write_problems, write_submission
from models.tables import GRADES, TASKS, read_test_table

UNREADABLE = sorted(set(AUDIO_DAMAGE) - {"circle of links"})  # which leads out of the folder, and is refused


def scores_of(work: Path) -> dict[str, str]:
    return dict(read_rows(work / "submission.csv")[1:])


@pytest.mark.parametrize("how", UNREADABLE)
def test_an_unreadable_clip_gets_its_groups_prior(how: str, work: Path, script: Script) -> None:
    """The others' scores stay as they are, and the list says what is wrong."""
    assert script(INFER).code == 0
    before = scores_of(work)
    assert not (work / "submission.csv.problems.csv").exists()
    (work / "data" / "test3.wav").unlink()
    AUDIO_DAMAGE[how](work / "data" / "test3.wav")
    outcome = script(INFER)
    assert outcome.code == 0, outcome.error
    assert "1 clips could not be read" in outcome.output
    after = scores_of(work)
    assert list(after) == list(before)
    row = read_test_table(work / "data").set_index("filename").loc["test3.wav"]
    assert float(after.pop("test3.wav")) == pytest.approx(priors()[row["task"]][row["grade"]])
    before.pop("test3.wav")
    np.testing.assert_allclose([float(after[name]) for name in before], [float(x) for x in before.values()], atol=1e-6)
    header, (name, _, reason) = read_rows(work / "submission.csv.problems.csv")
    assert header == ["filename", "score", "reason"]
    assert name == "test3.wav"
    assert "test3.wav" in reason


def test_the_list_goes_when_the_clips_are_mended(work: Path, script: Script) -> None:
    content = (work / "data" / "test3.wav").read_bytes()
    (work / "data" / "test3.wav").write_bytes(b"broken")
    assert script(INFER).code == 0
    assert (work / "submission.csv.problems.csv").exists()
    (work / "data" / "test3.wav").write_bytes(content)
    assert script(INFER).code == 0
    assert not (work / "submission.csv.problems.csv").exists()


def test_no_readable_clip_at_all_is_an_error(work: Path, refused: Callable[..., str]) -> None:
    for path in (work / "data").glob("test*.wav"):
        path.write_bytes(b"broken")
    refused(INFER, mentions=("none of its 8 clips", "--data_dir"))


def test_priors_are_the_shares_of_right_answers() -> None:
    """Of one model's held-out clips; a group of few clips is drawn towards all."""
    folds = checkpoints("model2s") + checkpoints("model2m", seed=1)
    found = group_priors(folds)
    oof = pd.concat(
        pd.DataFrame({"task": f.oof.tasks, "grade": f.oof.grades, "label": f.oof.labels}) for f in folds[:6]
    )
    shares = oof.groupby(["task", "grade"])["label"].mean()
    assert {(task, grade) for task in found for grade in found[task]} == {(t, g) for t in TASKS for g in GRADES}
    for (task, grade), share in shares.items():
        assert found[task][grade] == pytest.approx(share, abs=0.1)
        assert abs(found[task][grade] - oof["label"].mean()) <= abs(share - oof["label"].mean()) + 1e-3


def test_priors_are_inside_0_and_1_whatever_the_labels() -> None:
    folds = checkpoints(clips_per_fold=3)
    for value in (0.0, 1.0):
        for fold in folds:
            fold.oof.labels[:] = value
        assert all(0 < p < 1 for grades in group_priors(folds).values() for p in grades.values())


@pytest.mark.parametrize("score", [np.nan, np.inf, -0.1, 0.0, 1.0, 1.5])
def test_a_submission_with_a_wrong_score_is_never_written(score: float, tmp_path: Path) -> None:
    table = pd.DataFrame({"filename": ["a.wav", "NA"]})
    write_submission(tmp_path / "submission.csv", table, np.array([0.5, 0.25]))
    before = (tmp_path / "submission.csv").read_bytes()
    with pytest.raises(InputError, match="inside"):
        write_submission(tmp_path / "submission.csv", table, np.array([0.5, score]))
    assert (tmp_path / "submission.csv").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("names", [["b", "a"], ["a"], ["a", "b", "c"], ["a", "c"]])
def test_other_rows_or_another_order_are_noticed(names: list[str], tmp_path: Path) -> None:
    write_submission(tmp_path / "s.csv", pd.DataFrame({"filename": ["a", "b"]}), np.array([0.5, 0.25]))
    with pytest.raises(InputError, match="rows"):
        check_submission(tmp_path / "s.csv", names)


def test_the_problems_name_their_scores(tmp_path: Path) -> None:
    table = pd.DataFrame({"filename": ["a", "b", "c"]}, index=[7, 3, 5])
    write_problems(tmp_path / "s.csv", table, np.array([0.1, 0.2, 0.3]), {2: "broken, so"})
    assert read_rows(tmp_path / "s.csv.problems.csv")[1] == ["c", "0.3", "broken, so"]
