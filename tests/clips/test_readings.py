"""The phones of expected texts. Run: python -m pytest tests/clips/test_readings.py"""

import pandas as pd
import torch

from models.clips.readings import read_texts, readings_tensor, stack_readings
from models.network.readings import readings_of
from models.speech.pronunciation import accepted_utterances
from models.speech.reading import MOST_READINGS, accepted_readings

SENTENCES = "sentence_repetition"


def table_of(*texts: str) -> pd.DataFrame:
    return pd.DataFrame({"task": SENTENCES, "expected_text": texts})


def test_rows_have_all_that_is_accepted_of_their_texts() -> None:
    """A table of tens of thousands of rows has few texts, whose phones it holds once."""
    read, again, other = read_texts(table_of("we read it", "we read it", "cat"))
    assert readings_of(read) == accepted_readings(accepted_utterances(SENTENCES, "we read it"))
    assert len(readings_of(read)) > 1
    assert again is read
    assert readings_of(other) == accepted_readings(["cat"])


def test_no_column_is_a_column_of_empty_cells() -> None:
    table = table_of("we read it", "cat")
    for found, same in zip(read_texts(table), read_texts(table.assign(pronunciation="")), strict=True):
        assert torch.equal(found, same)


def test_what_a_table_gives_stands_in_the_place_of_what_is_known() -> None:
    (both,) = read_texts(table_of("read").assign(pronunciation="R EH D|R IH D"))
    assert readings_of(both) == accepted_readings(["read{R EH D}", "read{R IH D}"])


def test_of_a_long_text_the_usual_reading_alone_is_known() -> None:
    """Its time and memory would grow with the square of its words."""
    short, long = read_texts(table_of(" ".join(["read"] * 10), " ".join(["read"] * MOST_READINGS)))
    assert len(readings_of(short)) > 1
    assert len(readings_of(long)) == 1


def test_readings_come_back_from_a_batch_of_texts_of_other_sizes() -> None:
    several = [[[[1, 2], [0]], [[1], [3]]], [[[4]]], [[[], [5, 6, 7], []]], [[[]]], [[[], []]]]
    stacked = stack_readings([readings_tensor(readings) for readings in several])
    assert stacked.dtype == torch.int64
    assert stacked.shape == (5, 2, 3, 3)
    for row, readings in zip(stacked, several, strict=True):
        found = [[word for word in reading if word] for reading in readings_of(row)]
        assert found == [[word for word in reading if word] for reading in readings if any(reading)]


def test_texts_without_phones_are_whole_numbers_too() -> None:
    assert readings_tensor([[[], []]]).dtype == torch.int64
