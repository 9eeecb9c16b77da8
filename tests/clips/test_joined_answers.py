"""Right answers that are heard one after the other: what is heard, what is asked for, and what is known of it."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from models.clips.dataset import ComparisonDataset
from models.clips.expected_texts import ExpectedTexts
from models.clips.joined_answers import AnswerJoiner, Joined, one_after_the_other
from models.clips.tokens import TextTokenizer
from models.errors import InputError
from models.network.pretrained import load_decoder
from tests.fakes import load

TEXTS = ["we go", "he ran", "she sat", "cat"]
TABLE = pd.DataFrame(
    {
        "filename": list("abcd"),
        "task": ["sentence_repetition"] * 3 + ["blending"],
        "expected_text": TEXTS,
        "grade": "1",
        "score": [1.0, 1.0, 0.0, 1.0],
    }
)
NAN = math.nan


@pytest.fixture
def tokenizer(encoder_dir: Path) -> TextTokenizer:
    return load_decoder(str(encoder_dir))[1]


def draws(row: int, share: float = 1.0) -> list[Joined | None]:
    joiner = AnswerJoiner(TABLE, share)
    return [joiner.draw(row, np.random.default_rng(seed)) for seed in range(200)]


def test_a_right_answer_is_followed_by_another_or_said_twice() -> None:
    assert set(draws(0)) == {Joined((0, 1), (0, 1)), Joined((0, 0), (0,))}
    assert set(draws(3)) == {Joined((3, 3), (0,)), None}  # there is no other word


def test_in_the_place_of_a_wrong_answer_are_two_right_ones_of_which_one_is_asked_for() -> None:
    assert set(draws(2)) == {Joined(rows, asked) for rows in ((0, 1), (1, 0)) for asked in ((0,), (1,))}


def test_so_many_are_drawn() -> None:
    assert sum(found is not None for found in draws(0, 0.25)) == pytest.approx(50, abs=20)


@pytest.mark.parametrize(
    ("joined", "text", "said", "gaps"),
    [
        (Joined((0, 1), (0, 1)), "we go he ran", [1, 1, 1, 1, 1], [1, 1, 1, 1, 1]),
        (Joined((0, 1), (0,)), "we go", [1, 1, 0], [1, 1, 0]),
        (Joined((0, 1), (1,)), "he ran", [1, 1, 0], [0, 1, 1]),
        (Joined((0, 0), (0,)), "we go", [1, 1, NAN], [1, 1, NAN]),
    ],
)
def test_what_is_asked_and_known_of_two_answers(
    tokenizer: TextTokenizer, joined: Joined, text: str, said: list[float], gaps: list[float]
) -> None:
    texts = ExpectedTexts(TABLE, tokenizer, drawn_texts=3)
    row = 2 if joined.asked != (0, 1) and not joined.said_twice else 0
    found = texts.read(row, np.random.default_rng(0), texts.ask(joined))
    assert found["tokens"].tolist() == tokenizer.encode(text)
    torch.testing.assert_close(found["token_labels"], texts._of_tokens(text, said, gaps), equal_nan=True)


def test_each_text_alone_is_drawn_where_both_are_asked_for(tokenizer: TextTokenizer) -> None:
    texts = ExpectedTexts(TABLE, tokenizer, drawn_texts=3)
    found = texts.read(0, np.random.default_rng(0), texts.ask(Joined((0, 1), (0, 1))))
    first, second, third = found["drawn_tokens"]
    assert [first.tolist(), second.tolist()] == [tokenizer.encode("we go"), tokenizer.encode("he ran")]
    assert third.tolist() != tokenizer.encode("we go he ran")
    of_ends = [labels[-1].tolist() for labels in found["drawn_labels"][:2]]
    assert of_ends == [[0.0, 0.0], [0.0, 1.0]]
    assert found["drawn_labels"][1][2].tolist() == [1.0, 0.0]  # "he" was said, and something before it


def test_labels_of_words_stay_with_their_words(tokenizer: TextTokenizer) -> None:
    labels = [(0.0, 1.0, NAN), (1.0, 0.0, NAN), (NAN, NAN, NAN), (NAN, NAN)]
    texts = ExpectedTexts(TABLE.assign(word_labels=labels), tokenizer, drawn_texts=2)
    found = texts.read(0, np.random.default_rng(0), texts.ask(Joined((0, 1), (0, 1))))
    expected = texts._of_tokens("we go he ran", [0, 1, 1, 0, NAN], [1, 1, 1, 1, 1])
    torch.testing.assert_close(found["token_labels"], expected, equal_nan=True)


def dataset(tokenizer: TextTokenizer, folder: Path, share: float, max_frames: int = 200) -> ComparisonDataset:
    sources = [np.random.default_rng(row).normal(0, 0.1, 8000).astype(np.float32) for row in range(4)]
    return ComparisonDataset(
        *(TABLE, folder, {}, 80, max_frames),
        layout="text",
        sources=sources,
        tokenizer=tokenizer,
        drawn_texts=2,
        joined_answers=share,
    )


def test_both_answers_are_heard(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    data, plain = dataset(tokenizer, tmp_path, 1.0), dataset(tokenizer, tmp_path, 0.0)
    clip, alone = data[2], plain[2]
    assert 100 <= clip["response"].shape[1] <= 165  # 1 s of answers, up to 0.6 s between
    assert alone["response"].shape[1] < 60
    assert float(clip["labels"]) == 0.0
    assert clip["tokens"].tolist() in [tokenizer.encode("we go"), tokenizer.encode("he ran")]
    assert [int(data[row]["labels"]) for row in range(4)] == [1, 1, 0, 1]
    assert data.collate([data[row] for row in range(4)])["token_labels"].shape[0] > 4


def test_what_can_not_be_heard_or_read_is_not_joined(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    short = dataset(tokenizer, tmp_path, 1.0, max_frames=90)
    assert all(short[row]["tokens"].tolist() == tokenizer.encode(TEXTS[row]) for row in range(4))
    few = replace(tokenizer, most_tokens=len(tokenizer.encode("we go")) + 4)
    texts = ExpectedTexts(TABLE, few, drawn_texts=1)
    assert texts.ask(Joined((0, 1), (0, 1))) is None
    assert texts.ask(Joined((0, 1), (1,))) is not None


def test_the_pause_is_the_quiet_behind_the_first() -> None:
    first = np.concatenate([np.ones(8000), np.full(1600, 0.25)]).astype(np.float32)
    second = np.full(800, 0.5, np.float32)
    both = one_after_the_other([first, second], 0.3)
    assert len(both) == len(first) + 4800 + len(second)
    assert set(both[len(first) : -len(second)].tolist()) == {0.25}
    assert len(one_after_the_other([first, second], 0.0)) == len(first) + len(second)


def test_settings_of_joined_answers() -> None:
    with pytest.raises(InputError, match="joined_answers"):
        replace(load("verifytiny"), drawn_texts=0, drawn_loss=0.0, joined_answers=0.1)
    with pytest.raises(InputError, match="joined_answers"):
        replace(load("model2s"), joined_answers=0.1)
