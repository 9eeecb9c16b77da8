"""A clip that can't be read never costs the submission; what is written is checked before it takes its name.

Run: .venv/bin/python -m pytest tests/inference/test_submission.py
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from fakes import (
    AUDIO_DAMAGE,
    INFER,
    NO_ANSWERS,
    Script,
    checkpoints,
    priors,
    read_reasons,
    read_rows,
    set_cell,
    write_rows,
)

from models.clips.groups import GRADES, TASKS
from models.clips.tables import read_test_table
from models.ensemble.blend import group_priors
from models.errors import InputError
from models.inference.submission import check_submission, write_problems, write_submission
from models.speech.references import read_identity
from models.speech.signal import PROBLEMS
from models.speech.voices import EspeakVoice

UNREADABLE = sorted(set(AUDIO_DAMAGE) - {"circle of links"})  # which leads out of the folder, and is refused


def scores_of(work: Path) -> dict[str, str]:
    return dict(read_rows(work / "submission.csv")[1:])


@pytest.mark.parametrize("kind", NO_ANSWERS)
def test_what_is_no_answer_gets_its_groups_prior(kind: str, work: Path, script: Script) -> None:
    soundfile.write(work / "data" / "test3.wav", NO_ANSWERS[kind], 16000, subtype="FLOAT")
    assert script(INFER).code == 0
    row = read_test_table(work / "data").set_index("filename").loc["test3.wav"]
    assert float(scores_of(work)["test3.wav"]) == pytest.approx(priors()[row["task"]][row["grade"]])
    ((name, _, reason),) = read_reasons(work / "submission.csv.problems.csv")
    assert name == "test3.wav"
    assert "record it again" in reason


LONG_TEXT = "she has a red hat and he has a blue coat and they go to the big house on the hill"


@pytest.mark.parametrize("all_rows", [False, True])
def test_what_the_reference_leaves_no_room_for_gets_its_groups_prior(
    all_rows: bool, work: Path, script: Script
) -> None:
    """Of 4 s that the model hears."""
    metadata = work / "data" / "test_metadata.csv"
    rows = range(2, len(read_rows(metadata)) + 1) if all_rows else [4]
    for row in rows:
        set_cell(metadata, row, "expected_text", LONG_TEXT)
    outcome = script(INFER)
    assert outcome.code == 0, outcome.error
    assert f"{len(rows)} clips could not be read or heard" in outcome.output
    listed = read_reasons(work / "submission.csv.problems.csv")
    table = read_test_table(work / "data").set_index("filename")
    assert len(listed) == len(rows)
    for name, score, reason in listed:
        assert table.loc[name, "expected_text"] == LONG_TEXT
        assert "nothing of the answer is heard" in reason
        assert float(score) == float(scores_of(work)[name])
        assert float(score) == pytest.approx(priors()[table.loc[name, "task"]][table.loc[name, "grade"]])


def test_what_is_cut_is_scored_and_listed(work: Path, script: Script) -> None:
    long = 0.1 * np.random.default_rng(0).standard_normal(16000 * 5)
    soundfile.write(work / "data" / "test3.wav", long[: 16000 * 3], 16000)
    assert script(INFER).code == 0
    before = scores_of(work)
    soundfile.write(work / "data" / "test3.wav", long, 16000)
    outcome = script(INFER, "--strict")  # it is scored
    assert outcome.code == 0
    assert "1 clips are longer than the models hear" in outcome.output
    ((name, score, reason),) = read_reasons(work / "submission.csv.problems.csv")
    assert (name, float(score)) == ("test3.wav", float(scores_of(work)["test3.wav"]))
    assert "recording's 5.0 s" in reason
    assert "the reference takes" in reason
    assert scores_of(work).keys() == before.keys()


@pytest.mark.parametrize("how", UNREADABLE)
def test_an_unreadable_clip_gets_its_groups_prior(how: str, work: Path, script: Script) -> None:
    """The others' scores stay as they are, and the list says what is wrong."""
    assert script(INFER).code == 0
    before = scores_of(work)
    assert not read_reasons(work / "submission.csv.problems.csv")
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
    ((name, _, reason),) = read_reasons(work / "submission.csv.problems.csv")
    assert read_rows(work / "submission.csv.problems.csv")[0] == ["filename", "score", "reason", "signal"]
    assert name == "test3.wav"
    assert "test3.wav" in reason


def test_the_list_goes_when_the_clips_are_mended(work: Path, script: Script) -> None:
    content = (work / "data" / "test3.wav").read_bytes()
    (work / "data" / "test3.wav").write_bytes(b"broken")
    assert script(INFER).code == 0
    assert read_reasons(work / "submission.csv.problems.csv")
    (work / "data" / "test3.wav").write_bytes(content)
    assert script(INFER).code == 0
    assert not read_reasons(work / "submission.csv.problems.csv")


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
    write_problems(tmp_path / "s.csv", table, np.array([0.1, 0.2, 0.3]), {2: "broken, so"}, {0: "too quiet"})
    listed = read_rows(tmp_path / "s.csv.problems.csv")[1:]
    assert listed == [["a", "0.1", "", "too quiet"], ["c", "0.3", "broken, so", ""]]
    write_problems(tmp_path / "s.csv", table, np.array([0.1, 0.2, 0.3]), {}, {})
    assert not (tmp_path / "s.csv.problems.csv").exists()


def test_poor_recordings_are_listed_with_the_scores_that_they_have(work: Path, script: Script) -> None:
    """What was said cleanly is not listed; the same, hardly to be heard, is, and only its own score is another."""
    spoken = EspeakVoice(1.0).speak("we like to play")
    clean = np.concatenate([np.zeros(4000), spoken, np.zeros(4000)]).astype(np.float32)
    noise = 1e-4 * np.random.default_rng(0).standard_normal(len(clean))
    soundfile.write(work / "data" / "test3.wav", clean + noise, 16000)
    assert script(INFER).code == 0
    before = scores_of(work)
    assert "test3.wav" not in [row[0] for row in read_rows(work / "submission.csv.problems.csv")]
    soundfile.write(work / "data" / "test3.wav", 0.02 * (clean + noise), 16000)
    outcome = script(INFER)
    assert "8 recordings are poor" in outcome.output
    row = next(row for row in read_rows(work / "submission.csv.problems.csv") if row[0] == "test3.wav")
    assert row[2:] == ["", PROBLEMS["too quiet"]]
    assert float(row[1]) == float(scores_of(work)["test3.wav"])
    del before["test3.wav"]
    assert before.items() <= scores_of(work).items()


# Expected texts that can't be spoken


def problems_of(work: Path) -> dict[str, str]:
    return {name: reason for name, _, reason in read_reasons(work / "submission.csv.problems.csv")}


@pytest.fixture
def odd_texts(work: Path, script: Script) -> dict[str, float]:
    """Two rows whose expected texts espeak-ng says nothing for; returns the scores as they were before."""
    assert script(INFER).code == 0
    metadata = work / "data" / "test_metadata.csv"
    names = [name for name, *_ in read_rows(metadata)]
    for name, text in (("test3.wav", "?!"), ("test5.wav", "… —")):
        set_cell(metadata, names.index(name) + 1, "expected_text", text)
    return {name: float(score) for name, score in scores_of(work).items()}


def test_a_text_that_can_not_be_spoken_gets_its_groups_prior(
    odd_texts: dict[str, float], work: Path, script: Script
) -> None:
    for _ in range(2):  # the second time all that can be spoken is there
        outcome = script(INFER)
        assert outcome.code == 0, outcome.error
        table, after = read_test_table(work / "data").set_index("filename"), scores_of(work)
        assert list(after) == list(table.index)
        for name, before in odd_texts.items():
            row = table.loc[name]
            expected = priors()[row["task"]][row["grade"]] if name in ("test3.wav", "test5.wav") else before
            assert float(after[name]) == pytest.approx(expected, abs=1e-6)
        problems = problems_of(work)
        assert {name: text in problems[name] for name, text in (("test3.wav", "'?!'"), ("test5.wav", "… —"))} == {
            "test3.wav": True,
            "test5.wav": True,
        }


def test_a_row_with_two_problems_is_listed_once(odd_texts: dict[str, float], work: Path, script: Script) -> None:
    (work / "data" / "test3.wav").write_bytes(b"broken")
    (work / "data" / "test1.wav").write_bytes(b"broken")
    assert script(INFER).code == 0
    assert set(problems_of(work)) == {"test1.wav", "test3.wav", "test5.wav"}


def test_strictly_it_is_an_error(odd_texts: dict[str, float], work: Path, refused: Callable[..., str]) -> None:
    refused(INFER, "--strict", "--output", "strict.csv", mentions=("--strict: 2 clips",))


def test_training_texts_must_be_spoken(odd_texts: dict[str, float], work: Path, script: Script) -> None:
    outcome = script("preprocess.py", "--jobs", "1")
    assert outcome.code == 1
    assert "?!" in outcome.error or "… —" in outcome.error


def test_no_text_at_all_that_can_be_spoken(work: Path, script: Script) -> None:
    metadata = work / "data" / "test_metadata.csv"
    for row in range(2, len(read_rows(metadata)) + 1):
        set_cell(metadata, row, "expected_text", "?!")
    outcome = script(INFER)
    assert outcome.code == 1
    assert "none of its 8 clips" in outcome.error
    assert not (work / "submission.csv").exists()


class BrokenVoice:
    """Says the `answers` it has, and fails with `error` over all else."""

    def __init__(self, identity: dict[str, object], answers: dict[str, np.ndarray], error: Exception) -> None:
        self.identity, self._answers, self._error = identity, answers, error

    def speak(self, text: str) -> np.ndarray:
        if text not in self._answers:
            raise self._error
        return self._answers[text]


@pytest.mark.parametrize("error", [IndexError("index out of range"), InputError("too long"), MemoryError()])
@pytest.mark.parametrize("works", [True, False])
def test_a_voice_that_can_not_work_stays_an_error(
    works: bool, error: Exception, odd_texts: dict[str, float], work: Path, monkeypatch: pytest.MonkeyPatch, script: Script
) -> None:  # fmt: skip
    """One that fails over a text and speaks others does work, whatever its library raises."""
    answers = {"one": np.sin(np.arange(800, dtype=np.float32))} if works else {"one": np.zeros(800, np.float32)}
    voice = BrokenVoice(read_identity(work / "tts_data"), answers, error)
    monkeypatch.setattr("models.speech.speaking.make_voice", lambda options: voice)
    outcome = script(INFER, "--output", "again.csv")
    assert outcome.code == (0 if works else 1), outcome.error
    assert (work / "again.csv").exists() is works


def test_localisation_of_other_clips_goes_on(
    odd_texts: dict[str, float], aligned_work: Path, work: Path, script: Script
) -> None:
    metadata = work / "data" / "test_metadata.csv"
    rows = read_rows(metadata)
    write_rows(metadata, [row for row in rows if row[0] in ("filename", "test3.wav", "test0.wav")])
    outcome = script("localize.py", "--csv", metadata)
    assert outcome.code == 0, outcome.error
    assert (work / "localized" / "test0.wav.json").exists()
    assert "?!" in (work / "localized" / "problems.json").read_text()
