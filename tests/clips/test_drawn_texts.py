"""Wrong texts for right answers: what is drawn, what is known of it, and that a fold is trained with it. Run: make quick"""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from fakes import load

from models.clips.dataset import ComparisonDataset
from models.clips.drawn_texts import DrawnText, TextDrawer
from models.clips.expected_texts import ExpectedTexts
from models.ensemble.checkpoint import load_checkpoint
from models.errors import InputError
from models.network.pretrained import load_decoder
from models.speech.lexicon import look_up
from models.training.fold import train_fold
from models.training.job import TrainingJob

SENTENCES = ["we like to play", "the cat sat down", "a dog ran to the park", "we like cats"]
KNOWN = [1.0] * 5
WORDS = {word for text in SENTENCES for word in text.split()}


def kind(text: str, drawn: DrawnText) -> str:
    """Which edit it is; and that its labels are those of the edit."""
    spoken, words, said, gaps = text.split(), drawn.text.split(), drawn.said, drawn.nothing_before
    assert len(said) == len(gaps) == len(words) + 1
    wrong = [place for place, label in enumerate(said[:-1]) if label == 0]
    if drawn.text in SENTENCES:
        assert all(
            math.isnan(label) if word in spoken else label == 0 for word, label in zip(words, said, strict=False)
        )
        assert np.isnan([said[-1], *gaps]).all()
        return "exchange"
    if len(words) < len(spoken):
        place = gaps.index(0)
        assert words == [*spoken[:place], *spoken[place + 1 :]]
        assert gaps.count(1) == len(words)
        assert said == (*[1.0] * len(words), 0.0)
        return "delete"
    if len(words) > len(spoken):
        assert [word for place, word in enumerate(words) if place not in wrong] == spoken
        assert (said[-1], set(gaps)) == (1, {1})
        return "insert"
    assert wrong == [place for place in range(len(spoken)) if spoken[place] != words[place]]
    if len(wrong) == 1:
        assert (said[-1], set(gaps)) == (1, {1})
        return "substitute"
    assert np.isnan(said[-1])
    assert [place for place, label in enumerate(gaps) if math.isnan(label)] == [*wrong, wrong[-1] + 1]
    return "swap"


def test_every_edit_is_drawn_and_its_labels_are_right() -> None:
    drawer, rng = TextDrawer(SENTENCES, {}), np.random.default_rng(0)
    drawn = drawer.draw(SENTENCES[0], KNOWN, 500, rng)
    kinds = Counter(kind(SENTENCES[0], one) for one in drawn)
    assert min(kinds[name] for name in ("substitute", "insert", "delete", "swap", "exchange")) > 50
    assert all(set(one.text.split()) <= WORDS and one.text != SENTENCES[0] for one in drawn)
    near = sum("cat" in one.text.split() for one in drawer.draw("a cats sat", KNOWN[:4], 500, rng))
    assert near > 50  # of its words that are drawn, every other one is spelled like what it stands for


def test_what_is_known_of_a_word_is_known_where_it_is_kept() -> None:
    """Someone has said that "like" was not right, though the answer was, and is not sure of "to"."""
    drawer, rng = TextDrawer(SENTENCES, {}), np.random.default_rng(0)
    known = {"we": 1.0, "like": 0.0, "to": math.nan, "play": 1.0}
    for one in drawer.draw(SENTENCES[0], [*known.values(), 1.0], 300, rng):
        words = one.text.split()
        if one.text in SENTENCES or words != sorted(words, key=lambda word: [*known, word].index(word)):
            continue  # another text, or swapped
        kept = [(word, label) for word, label in zip(words, one.said, strict=False) if word in known]
        if len(kept) == len(set(words) & set(known)):
            np.testing.assert_array_equal([label for _, label in kept], [known[word] for word, _ in kept])


def test_a_single_word_becomes_another_single_word() -> None:
    drawer, rng = TextDrawer(["cold", "old", "zebra", "we play"], {}), np.random.default_rng(0)
    drawn = drawer.draw("cold", KNOWN[:2], 200, rng)
    assert {one.text for one in drawn} == {"old", "zebra"}
    assert sum(one.text == "old" for one in drawn) > 110
    np.testing.assert_array_equal(drawn[0].said, [0.0, math.nan])


def test_no_word_is_drawn_that_sounds_the_same() -> None:
    words = {text: look_up(text) for text in "right write rite bright zebra".split()}
    drawn = TextDrawer(words, words).draw("right", KNOWN[:2], 300, np.random.default_rng(0))
    assert {one.text for one in drawn} == {"bright", "zebra"}


def test_nothing_is_drawn_where_there_is_nothing_else() -> None:
    assert TextDrawer(["cold", "cold"], {}).draw("cold", KNOWN[:2], 3, np.random.default_rng(0)) == []
    assert TextDrawer([], {}).draw("cold", KNOWN[:2], 3, np.random.default_rng(0)) == []
    assert {one.text for one in TextDrawer(["go go"], {}).draw("go go", KNOWN[:3], 20, np.random.default_rng(0))} == {
        "go"
    }


@pytest.fixture
def data(encoder_dir: Path, tmp_path: Path) -> ComparisonDataset:
    table = pd.DataFrame(
        {
            "filename": list("abcd"),
            "task": ["sentence_repetition"] * 2 + ["blending", "nonword_repetition"],
            "expected_text": ["we go now", "he ran", "cat", "dog"],
            "grade": "1",
            "score": [1.0, 0.0, 1.0, 1.0],
        }
    )
    _, tokenizer = load_decoder(str(encoder_dir))
    sources = [np.zeros(8000, np.float32)] * len(table)
    return ComparisonDataset(
        table, tmp_path, {}, 80, 200, layout="text", sources=sources, tokenizer=tokenizer, drawn_texts=3
    )


def test_right_answers_alone_are_given_other_texts_of_their_task(data: ComparisonDataset) -> None:
    drawn = [len(data[row]["drawn_tokens"]) if "drawn_tokens" in data[row] else 0 for row in range(4)]
    assert drawn == [3, 0, 0, 0]  # no other word was asked for in their tasks
    batch = data.collate([data[row] for row in range(4)])
    assert batch["text_rows"].tolist() == [0, 1, 2, 3, 0, 0, 0]
    assert len(batch["tokens"]) == len(batch["token_counts"]) == len(batch["token_labels"]) == 7
    known = [set(row[~row.isnan()].tolist()) for row in batch["token_labels"].flatten(1)]
    assert known[:4] == [{1.0}, set(), {1.0}, {1.0}]
    assert all(0.0 in labels for labels in known[4:])


def test_gaps_are_told_at_the_first_token_of_a_word(data: ComparisonDataset) -> None:
    """The tokenizer's tokens are letters: of two start tokens, " We go." and the end."""
    assert data._expected is not None
    nan = math.nan
    found = data._expected._of_tokens("we go", [1.0, 0.0, nan], [1.0, 0.0, nan])
    expected = [[nan, nan, 1, 1, 1, 0, 0, 0, 0, nan], [nan, nan, 1, 1, 1, 0, 1, 1, 1, nan]]
    np.testing.assert_array_equal(found.T, expected)


def test_other_texts_are_drawn_in_each_epoch_and_the_same_ones_again(data: ComparisonDataset) -> None:
    first = data[0]["drawn_tokens"]
    data.set_epoch(1)
    second = data[0]["drawn_tokens"]
    data.set_epoch(0)
    assert [one.tolist() for one in first] == [one.tolist() for one in data[0]["drawn_tokens"]]
    assert [one.tolist() for one in first] != [one.tolist() for one in second]


def test_a_drawn_text_that_is_too_long_is_left_out(data: ComparisonDataset) -> None:
    assert data._expected is not None
    tokenizer = data._expected._tokenizer
    data._expected._tokenizer = replace(tokenizer, most_tokens=len(tokenizer.encode("we go now")))
    counts = set()
    for epoch in range(20):
        data.set_epoch(epoch)
        counts |= {len(tokens) for tokens in data[0]["drawn_tokens"]}
    assert counts
    assert max(counts) <= len(tokenizer.encode("we go now"))


def test_labels_of_words_are_kept_and_right_answers_without_any_are_right(encoder_dir: Path, tmp_path: Path) -> None:
    nan = math.nan
    table = pd.DataFrame(
        {
            "filename": list("abc"),
            "task": "sentence_repetition",
            "expected_text": ["we go", "he ran", "he ran"],
            "grade": "1",
            "score": [1.0, 1.0, 0.0],
            "word_labels": [(0.0, 1.0, nan), (nan, nan, nan), (nan, nan, nan)],
        }
    )
    _, tokenizer = load_decoder(str(encoder_dir))
    texts = ExpectedTexts(table, tokenizer, drawn_texts=2)
    first, second, third = (texts.read(row, np.random.default_rng(0)) for row in range(3))
    np.testing.assert_array_equal(first["token_labels"][:, 0], [nan, nan, 0, 0, 0, 1, 1, 1, 1, nan])
    assert (second["token_labels"][2:] == 1).all()
    assert third["token_labels"].isnan().all()
    assert len(first["drawn_labels"]) == len(second["drawn_labels"]) == 2


def test_settings_of_drawn_texts() -> None:
    with pytest.raises(InputError, match="drawn_texts"):
        replace(load("model2s"), drawn_texts=2)
    with pytest.raises(InputError, match="drawn_loss"):
        replace(load("verifytiny"), drawn_texts=0)


@pytest.mark.slow
def test_a_fold_is_trained_with_drawn_texts(make_job: Callable[..., TrainingJob]) -> None:
    job = make_job("verifytiny", epochs=1, drawn_texts=2, drawn_loss=0.5, token_loss=0.5)
    first = train_fold(job).read_bytes()
    weights = load_checkpoint(job.checkpoint_path).weights
    job.checkpoint_path.unlink()
    assert train_fold(job).read_bytes() == first
    job.checkpoint_path.unlink()
    more = replace(job, recipe=replace(job.recipe, drawn_texts=3))
    others = load_checkpoint(train_fold(more)).weights
    assert not all(torch.equal(weights[name], others[name]) for name in weights)
