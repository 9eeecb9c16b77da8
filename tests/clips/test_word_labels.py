"""Labels of single words: read, refused, and brought to the tokens. Run: pytest tests/clips/test_word_labels.py"""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from fakes import load

from models.clips.dataset import ComparisonDataset
from models.clips.tables import read_word_labels
from models.ensemble.checkpoint import load_checkpoint
from models.errors import InputError
from models.network.pretrained import load_decoder
from models.training.fold import train_fold
from models.training.job import TrainingJob, is_finished, make_job
from models.training.options import TrainingOptions

TABLE = pd.DataFrame(
    {
        "filename": ["a.wav", "b.wav"],
        "task": "sentence_repetition",
        "expected_text": ["we go", "old"],
        "grade": "1",
        "score": [0.0, 1.0],
    }
)


def write(folder: Path, *rows: str) -> Path:
    file = folder / "words.csv"
    file.write_text("\n".join(["filename,index,right", *rows]) + "\n")
    return file


def test_words_that_are_not_listed_are_not_known(tmp_path: Path) -> None:
    found = read_word_labels(write(tmp_path, "a.wav,1,0", "a.wav,2,1"), TABLE).tolist()
    np.testing.assert_array_equal(found[0], [math.nan, 0.0, 1.0])
    np.testing.assert_array_equal(found[1], [math.nan, math.nan])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("c.wav,0,1", "must be a training clip's"),
        ("b.wav,2,1", "must be a word's"),
        ("b.wav,-1,1", "must be a word's"),
        ("b.wav,x,1", "must be a word's"),
        ("b.wav,0,2", "must be 0 or 1"),
    ],
)
def test_what_is_wrong_is_named(row: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"words\.csv.*{message}"):
        read_word_labels(write(tmp_path, "a.wav,0,1", row), TABLE)


def test_each_token_has_its_words_label(tmp_path: Path, encoder_dir: Path) -> None:
    _, tokenizer = load_decoder(str(encoder_dir))
    table = TABLE.assign(word_labels=read_word_labels(write(tmp_path, "a.wav,1,0", "a.wav,2,1", "b.wav,0,1"), TABLE))
    sources = [np.zeros(8000, np.float32)] * 2
    data = ComparisonDataset(table, tmp_path, {}, 80, 200, layout="text", sources=sources, tokenizer=tokenizer)
    nan = math.nan
    expected = [[nan, nan, nan, nan, nan, 0, 0, 0, 0, 1], [nan, nan, 1, 1, 1, 1, 1, nan, nan, nan]]
    labels = data.collate([data[0], data[1]])["token_labels"]
    assert labels[..., 1].isnan().all()  # where more was said is not known
    torch.testing.assert_close(labels[..., 0], torch.tensor(expected), equal_nan=True)


def test_labels_and_their_loss_belong_together(make_data: Callable[..., Path], tmp_path: Path) -> None:
    options = TrainingOptions(data_dir=make_data(), tts_dir=tmp_path, output_dir=tmp_path / "out")
    recipe = replace(load("verifytiny"), batch_size=4, token_loss=0.0, drawn_texts=0, drawn_loss=0.0)
    with pytest.raises(InputError, match="no word has a label"):
        make_job(replace(recipe, token_loss=0.5), 0, options)
    assert make_job(replace(recipe, token_loss=0.5, drawn_texts=1), 0, options).word_labels == ""
    with pytest.raises(InputError, match="needs a --token_loss"):
        make_job(recipe, 0, replace(options, word_labels=tmp_path / "words.csv"))


def test_only_verifiers_have_tokens_to_judge() -> None:
    with pytest.raises(InputError, match="token_loss"):
        replace(load("model2s"), token_loss=0.5)


@pytest.mark.slow
def test_a_fold_of_other_word_labels_is_another_one(make_job: Callable[..., TrainingJob]) -> None:
    """Whatever their order; a finished one is refused, as one of other data is."""
    job = make_job("verifytiny", epochs=1, token_loss=0.5)
    labels = {name: (1.0, *[math.nan] * len(text.split())) for name, text in zip(*job_texts(job), strict=True)}
    job = with_labels(job, labels)
    assert load_checkpoint(train_fold(job)).word_labels == job.word_labels != ""
    assert is_finished(with_labels(replace(job, train=job.train.iloc[::-1]), labels))
    first = next(iter(labels))
    other = with_labels(job, {**labels, first: (0.0, *labels[first][1:])})
    with pytest.raises(InputError, match="another set of word labels"):
        is_finished(other)


def job_texts(job: TrainingJob) -> tuple[list[str], list[str]]:
    both = pd.concat([job.train, job.validation])
    return both["filename"].tolist(), both["expected_text"].tolist()


def with_labels(job: TrainingJob, labels: dict[str, tuple[float, ...]]) -> TrainingJob:
    train, validation = (
        table.assign(word_labels=table["filename"].map(labels)) for table in (job.train, job.validation)
    )
    return replace(job, train=train, validation=validation)
