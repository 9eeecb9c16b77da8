"""Labels by people who listened: read, refused, put in place of the others, and remembered by what was trained with them.

Run: .venv/bin/python -m pytest tests/clips/test_corrections.py
"""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from fakes import TRAIN, Script, load, with_options, write_rows

from models.clips.corrections import correct_labels, read_corrections
from models.clips.tables import fingerprint, read_training_table
from models.ensemble.checkpoint import load_checkpoint
from models.ensemble.source import check_alike
from models.errors import InputError
from models.speech.references import References
from models.training.fold import train_fold
from models.training.job import TrainingJob, is_finished, make_job
from models.training.options import TrainingOptions
from models.training.run_state import prepare_run_dir


def write(folder: Path, *rows: list[str], header: str = "filename,score") -> Path:
    write_rows(folder / "corrections.csv", [header.split(","), *rows])
    return folder / "corrections.csv"


@pytest.fixture
def data(make_data: Callable[..., Path]) -> Path:
    return make_data()


def test_what_people_said_takes_the_place_of_the_labels(data: Path, tmp_path: Path) -> None:
    table = read_training_table(data)
    before = dict(zip(table["filename"], table["score"], strict=True))
    assert (before["train0.wav"], before["train1.wav"], before["train2.wav"]) == (0, 1, 0)
    rows = (["train0.wav", "1"], ["train1.wav", "0.0"], ["train2.wav", "0"], ["train3.wav", ""])
    corrected, told = correct_labels(table, write(tmp_path, *rows), data)
    after = dict(zip(corrected["filename"], corrected["score"], strict=True))
    assert after == {**before, "train0.wav": 1, "train1.wav": 0}
    assert (told.clips, told.to_right, told.to_wrong) == (3, 1, 1)
    assert "3 labels by people" in told.in_words()
    again = correct_labels(table.iloc[::-1], write(tmp_path, *rows[::-1]), data)[1]
    assert again == told  # in whatever order
    assert fingerprint(table) != fingerprint(corrected)


def test_nothing_that_was_decided_changes_nothing(data: Path, tmp_path: Path) -> None:
    table = read_training_table(data)
    corrected, told = correct_labels(table, write(tmp_path, ["train0.wav", ""]), data)
    assert corrected["score"].tolist() == table["score"].tolist()
    assert (told.checksum, told.clips) == ("", 0)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (["nobody.wav", "1"], "row 3: filename 'nobody.wav' is no training clip"),
        (["train1.wav", "yes"], "row 3: score 'yes' must be 0, 1 or empty"),
        (["train1.wav", "0.5"], "row 3: score '0.5' must be 0, 1 or empty"),
        (["train0.wav", "0"], "row 3: filename 'train0.wav' is there twice"),
        (["../train1.wav", "0"], "leads out"),
        (["train1.wav"], "row 3: 'train1.wav' has 1 fields where the header has 2"),
    ],
)
def test_what_is_wrong_is_named(data: Path, tmp_path: Path, row: list[str], message: str) -> None:
    with pytest.raises(InputError, match=rf"corrections\.csv.*{message}"):
        correct_labels(read_training_table(data), write(tmp_path, ["train0.wav", "1"], row), data)


@pytest.mark.parametrize(
    "content", [b"", b"filename\na.wav\n", b"filename,score\n", b'filename,score\n"a.wav,1\n', b"\0\xff"]
)
def test_what_is_no_table_of_corrections_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "corrections.csv").write_bytes(content)
    with pytest.raises(InputError, match=r"corrections\.csv"):
        read_corrections(tmp_path / "corrections.csv")


@pytest.mark.parametrize(
    ("column", "value"), [("expected_text", "other"), ("task", "deletion"), ("grade", "3"), ("sha256", "0" * 64)]
)
def test_another_table_of_the_same_names_is_refused(data: Path, tmp_path: Path, column: str, value: str) -> None:
    """Two classes that were asked the same have the same file names."""
    table = read_training_table(data)
    own = table.set_index("filename").loc["train1.wav"]
    sha256 = hashlib.sha256((data / "train1.wav").read_bytes()).hexdigest()
    right = {"task": own["task"], "expected_text": own["expected_text"], "grade": own["grade"], "sha256": sha256}
    header = ",".join(["filename", "score", *right])
    file = write(tmp_path, ["train1.wav", "0", *right.values()], header=header)
    assert correct_labels(table, file, data)[1].to_wrong == 1
    assert right[column] != value
    file = write(tmp_path, ["train1.wav", "0", *{**right, column: value}.values()], header=header)
    with pytest.raises(InputError, match=r"row 2: .* is (another recording|not what the training clip has)"):
        correct_labels(table, file, data)


def test_a_job_has_the_corrected_labels(data: Path, tmp_path: Path) -> None:
    options = TrainingOptions(data_dir=data, tts_dir=tmp_path, output_dir=tmp_path / "out", n_folds=2)
    recipe = replace(load("model2s"), batch_size=4)
    plain = make_job(recipe, 0, options)
    corrected = make_job(recipe, 0, replace(options, corrections=write(tmp_path, ["train0.wav", "1"])))
    for job, label in ((plain, 0), (corrected, 1)):
        labels = pd.concat([job.train, job.validation]).set_index("filename")["score"]
        assert labels["train0.wav"] == label
    assert plain.data_fingerprint == corrected.data_fingerprint  # of the folder, in which the labels are as they were
    assert plain.corrections.checksum == "" != corrected.corrections.checksum


@pytest.mark.slow
def test_a_fold_of_other_corrections_is_another_one(make_job: Callable[..., TrainingJob], tmp_path: Path) -> None:
    """It is remembered, and refused where it is finished; an unfinished run is begun anew."""
    plain = make_job(epochs=1)
    data = plain.options.data_dir

    def corrected(*rows: list[str]) -> TrainingJob:
        table = plain.train.copy()
        table, told = correct_labels(table, write(tmp_path, *rows), data)
        return with_options(replace(plain, train=table, corrections=told), corrections=tmp_path / "corrections.csv")

    first, second = (str(name) for name in plain.train["filename"].iloc[:2])
    job, other = corrected([first, "1"]), corrected([first, "1"], [second, "1"])
    references = References(job.options.tts_dir)
    prepare_run_dir(job, references, restart=False)
    (job.run_dir / "left").touch()
    prepare_run_dir(job, references, restart=False)
    assert (job.run_dir / "left").exists()
    prepare_run_dir(other, references, restart=False)
    assert not (job.run_dir / "left").exists()
    found = load_checkpoint(train_fold(job))
    assert found.corrections == job.corrections.checksum != ""
    assert is_finished(job)
    for another in (other, plain):
        with pytest.raises(InputError, match="another set of corrections"):
            is_finished(another)
    with pytest.raises(InputError, match="other corrections"):
        check_alike({Path("one.pth"): found, Path("other.pth"): replace(found, corrections="")})


@pytest.mark.slow
def test_scripts_take_corrections_and_say_so(work: Path, script: Script) -> None:
    file = write(work, ["train0.wav", "1"], ["train1.wav", "1"])
    outcome = script(TRAIN, "--output_dir", "out", "--corrections", file)
    assert outcome.code == 0, outcome.error
    assert "2 labels by people who listened, 1 of them other than before" in outcome.output
    found = load_checkpoint(work / "out" / "model2s_0.pth")
    assert found.corrections
    assert found.options["corrections"] == str(file)  # so that the other folds are trained alike
    labels = dict(zip(found.oof.filenames, found.oof.labels, strict=True))
    assert labels.get("train0.wav", 1) == 1
    for options in ([], ["--corrections", write(work, ["train0.wav", "0"])]):
        refused = script(TRAIN, "--output_dir", "out", *options)
        assert refused.code == 1
        assert "another set of corrections" in refused.error


def test_corrections_that_are_wrong_stop_training(refused: Callable[..., str], work: Path) -> None:
    refused(
        TRAIN, "--corrections", write(work, ["nobody.wav", "1"]), mentions=("corrections.csv", "nobody.wav", "row 2")
    )
    refused(TRAIN, "--corrections", work / "nowhere.csv", mentions=("nowhere.csv: no such file",))
    refused("train.py", "--models", "model2s", "--encoder", "encoder", "--corrections", work / "nowhere.csv")
