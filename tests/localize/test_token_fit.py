"""The fit of localization by tokens, on places that are known. Run: python -m pytest tests/localize/test_token_fit.py"""

import numpy as np
import pandas as pd
import pytest

from experiments.fit_token_places import Question, as_table, fit, standardise
from experiments.known_edits import Change
from experiments.word_labels import judged_words, kept_words
from models.localize.unit_scores import Evidence, apply_coefficients

UNITS, GAPS = ("said", "alone"), ("nothing", "noise")


def draw_question(rng: np.random.Generator, noise: float = 1.0) -> Question:
    """Of what was changed the first feature is low; a missing word's second one is high."""
    n = int(rng.integers(2, 6))
    units, gaps = rng.normal(0, noise, (n, 2)), rng.normal(0, noise, (n + 1, 2))
    units[:, 0] += 5
    gaps[:, 0] += 5
    kind = str(rng.choice(["right", "missing", "different", "inserted"]))
    if kind == "right":
        return Question(units, gaps, Change(kind), np.full(n, np.nan))
    place = int(rng.integers(n + (kind == "inserted")))
    (gaps if kind == "inserted" else units)[place, 0] -= 5
    if kind == "missing":
        units[place, 1] += 5
    changed = {"gaps": frozenset({place})} if kind == "inserted" else {"units": frozenset({place})}
    return Question(units, gaps, Change(kind, **changed), np.full(n, np.nan))


def probabilities(questions: list[Question], asked: Question) -> tuple[np.ndarray, np.ndarray]:
    scaled, scales = standardise(questions)
    table = as_table(fit(scaled), scales, Evidence(dict.fromkeys(UNITS), dict.fromkeys(GAPS)))  # type: ignore[arg-type]
    columns = [dict(zip(names, rows.T, strict=True)) for names, rows in ((UNITS, asked.units), (GAPS, asked.gaps))]
    units, gaps = (
        apply_coefficients(table[part], features) for part, features in zip(("units", "gaps"), columns, strict=True)
    )
    return units, gaps


@pytest.fixture(scope="module")
def questions() -> list[Question]:
    rng = np.random.default_rng(0)
    return [draw_question(rng) for _ in range(600)]


def test_what_was_changed_stands_out(questions: list[Question]) -> None:
    units, gaps = np.array([[5.0, 0], [0, 0], [5, 0]]), np.array([[5.0, 0]] * 4)
    nothing = np.full(3, np.nan)
    of_units, of_gaps = probabilities(questions, Question(units, gaps, Change("right"), nothing))
    assert of_units.argmax(axis=1).tolist() == [0, 2, 0]
    assert of_gaps.argmax(axis=1).tolist() == [0] * 4
    units[1, 1] = 5
    of_units, _ = probabilities(questions, Question(units, gaps, Change("right"), nothing))
    assert of_units.argmax(axis=1).tolist() == [0, 1, 0]


def test_words_and_gaps_are_on_one_scale(questions: list[Question]) -> None:
    """A word half as much in doubt as the gap beside it stays behind it, and the other way round."""
    nothing = np.full(2, np.nan)
    for word, gap in ((2.0, 0.0), (0.0, 2.0)):
        units, gaps = np.array([[word, 0.0], [5, 0]]), np.array([[gap, 0.0], [5, 0], [5, 0]])
        of_units, of_gaps = probabilities(questions, Question(units, gaps, Change("right"), nothing))
        assert (of_units[0, 0] < of_gaps[0, 0]) == (word < gap)


def test_experts_words_count_though_nothing_was_changed(questions: list[Question]) -> None:
    """What drawn edits never show, a word said badly, is learnt from the experts."""
    rng = np.random.default_rng(1)
    taught = list(questions)
    for _ in range(200):
        bad = int(rng.integers(3))
        units, gaps = rng.normal(0, 0.5, (3, 2)), np.tile([5.0, 0.0], (4, 1))
        units[:, 0] += 5
        units[bad, 0] = 3.0
        judged = np.ones(3)
        judged[bad] = 0.0
        taught.append(Question(units, gaps, Change("right"), judged, is_doubted=True))
    asked = Question(np.array([[3.0, 0], [5, 0]]), np.tile([5.0, 0.0], (3, 1)), Change("right"), np.full(2, np.nan))
    untaught, _ = probabilities(questions, asked)
    found, _ = probabilities(taught, asked)
    assert found[0, 0] < 0.5 < untaught[0, 0]


@pytest.mark.parametrize(
    ("expected", "spoken", "found"),
    [
        ("we like cats", "we like cats", {0: True, 1: False}),
        ("we like big cats", "we like cats", {0: True, 1: False}),
        ("like cats", "we like cats", {0: False}),
        ("we like dogs", "we like cats", {0: True, 1: False}),
    ],
)
def test_experts_judge_the_words_that_are_kept(expected: str, spoken: str, found: dict[int, bool]) -> None:
    scores = {"index": [0, 1, 2], "accuracy": [9, 2, 5]}  # of what was read; the last is left open
    judged = judged_words(pd.DataFrame(scores))
    words = expected.split()
    kept = kept_words(words, spoken.split(), {}, judged)
    assert {place: good for place, good in kept.items() if good is not None} == found


def test_a_swapped_word_was_not_said_there_however_well() -> None:
    labels = {0: True, 1: False, 2: False}
    kept = kept_words(["we", "cats", "like"], ["we", "like", "cats"], labels, {0: True, 1: True, 2: True})
    assert {**labels, **kept} == labels
