"""The rule that self-corrections count: what it changes, and what it leaves as it is.

Run: .venv/bin/python -m pytest tests/inference/test_self_corrections.py
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from fakes import INFER, NO_ANSWERS, Script, read_reasons, read_rows, tone, tones, trained_checkpoint

from models.clips.tables import utterances
from models.errors import InputError
from models.inference import self_corrections
from models.inference.answers import Answer
from models.inference.published import Published
from models.inference.scorer import Scorer
from models.inference.scoring import Member, score_clips
from models.inference.self_corrections import Counted, counting_attempt, score_counted
from models.speech.pauses import find_sounds

CPU = torch.device("cpu")
RIGHT_HZ, WRONG_HZ = 1000.0, 300.0
KINDS = ("model2s", "alignsmall", "matchedmodel", "verifymodel")


def hears_tones(_: object, table: pd.DataFrame, *rest: object, **__: object) -> np.ndarray:
    """A model that finds an answer right where it is the right tone and nothing else."""
    sources: Sequence[np.ndarray] = next(each for each in rest if isinstance(each, list))  # type: ignore[assignment]
    return np.array([0.9 if _tones(source) == [RIGHT_HZ] else 0.1 for source in sources])


def _tones(waveform: np.ndarray) -> list[float]:
    found = []
    for start, end in find_sounds(waveform):
        part = waveform[round(start * 16_000) : round(end * 16_000)]
        found.append(round(float(np.argmax(np.abs(np.fft.rfft(part))) / len(part) * 16_000), -2))
    return found


@pytest.fixture
def members(encoder_dir: Path) -> list[Member]:
    return [Member(trained_checkpoint(encoder_dir, "verifymodel"), 4, 1.0)]


def count(members: list[Member], waveforms: Sequence[np.ndarray], accept: bool = True) -> Counted:
    rows = [("", "blending", "cat", "1")] * len(waveforms)
    table = pd.DataFrame(rows, columns=["filename", "task", "expected_text", "grade"])
    references = dict.fromkeys(utterances(table), tone(0.5, 300, np.random.default_rng(0)))
    compute = (CPU, "fp32", 0)
    return score_counted(members, table, Path(), references, *compute, list(waveforms), accept_self_corrections=accept)


@pytest.mark.parametrize(
    ("tones_hz", "is_right"),
    [
        ((RIGHT_HZ,), True),
        ((WRONG_HZ,), False),
        ((WRONG_HZ, RIGHT_HZ), True),
        ((RIGHT_HZ, RIGHT_HZ), True),
        ((WRONG_HZ, WRONG_HZ, RIGHT_HZ), True),
        ((RIGHT_HZ, WRONG_HZ), False),
        ((WRONG_HZ, RIGHT_HZ, WRONG_HZ), False),
        ((RIGHT_HZ, WRONG_HZ, WRONG_HZ, WRONG_HZ, WRONG_HZ), False),  # more than are looked at
        ((WRONG_HZ, WRONG_HZ, WRONG_HZ, WRONG_HZ, WRONG_HZ, RIGHT_HZ), True),
    ],
)
def test_how_an_answer_ends_counts(
    members: list[Member], monkeypatch: pytest.MonkeyPatch, tones_hz: tuple[float, ...], is_right: bool
) -> None:
    """Who was right and then said something else is wrong."""
    monkeypatch.setattr(self_corrections, "score_clips", hears_tones)
    found = count(members, [tones(*tones_hz)])
    assert (found.scores[0] > 0.5) is np.bool_(is_right)
    assert (found.starts[0] > 0) is np.bool_(is_right and len(tones_hz) > 1)
    alone = count(members, [tones(*tones_hz)], accept=False)
    assert (alone.scores[0] > 0.5, alone.starts[0]) == (tones_hz == (RIGHT_HZ,), 0)


def test_what_follows_a_right_answer_may_not_be_missed(members: list[Member], monkeypatch: pytest.MonkeyPatch) -> None:
    """The model hears 4 s: an attempt of more is not heard to its end, and none."""
    monkeypatch.setattr(self_corrections, "score_clips", hears_tones)
    for more, counts in ((1.0, True), (3.5, False)):
        waveform = np.concatenate([tones(WRONG_HZ, RIGHT_HZ), np.zeros(int(more * 16_000), np.float32)])
        assert bool(count(members, [waveform]).starts[0]) is counts


def test_the_best_attempt_counts_where_it_alone_is_called_right() -> None:
    assert counting_attempt(0.1, [0.6, 0.9, 0.2]) == 1
    assert counting_attempt(0.1, [0.5]) == 0
    assert counting_attempt(0.1, [0.49, 0.3]) is None  # a wrong answer's score doesn't rise
    assert counting_attempt(0.5, [0.9]) is None  # nor that of a right one
    assert counting_attempt(0.1, []) is None


@pytest.fixture
def clips() -> list[np.ndarray]:
    """In one go, noise, a single pause, and begun again."""
    noise = (0.1 * np.random.default_rng(1).standard_normal(24_000)).astype(np.float32)
    pause = np.concatenate([np.zeros(16_000, np.float32), tone(0.4, 700, np.random.default_rng(2))])
    again = [tones(hz, hz + 400) for hz in (200.0, 500.0, 900.0, 1300.0)] + [tones(300, 600, 800)]
    return [tones(500), noise, pause, *again]


@pytest.mark.slow
@pytest.mark.parametrize("names", [(kind,) for kind in KINDS] + [KINDS])
def test_an_attempt_is_scored_as_a_recording_of_its_own(
    names: tuple[str, ...], clips: list[np.ndarray], encoder_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By each kind of model and by a blend of all; what has one attempt keeps its score to the last bit."""
    members = [Member(trained_checkpoint(encoder_dir, name), 4, 1 / len(names)) for name in names]
    off = count(members, clips, accept=False)
    monkeypatch.setattr(self_corrections, "CALLED_RIGHT", float(np.max(off.scores)) + 1e-9)
    assert not count(members, clips).starts.any()  # nothing is called right
    monkeypatch.setattr(self_corrections, "CALLED_RIGHT", float(np.max(off.scores)))
    monkeypatch.setattr(self_corrections, "counting_attempt", lambda whole, attempts: len(attempts) - 1)
    found = count(members, clips)
    again = found.starts > 0
    assert again[3:].sum() >= 4
    assert not again[:3].any()
    np.testing.assert_array_equal(found.scores[~again], off.scores[~again])
    cut = [clips[row][round(found.starts[row] * 16_000) :] for row in np.flatnonzero(again)]
    np.testing.assert_allclose(found.scores[again], count(members, cut, accept=False).scores, atol=1e-6)


def scorer_of(members: list[Member], folder: Path, accept: bool) -> Scorer:
    return Scorer(
        Published(members, members[0].checkpoint.voice, {}), "cpu", "fp32", folder, accept_self_corrections=accept
    )


def test_scorers_take_the_rule(
    members: list[Member], clips: list[np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [Answer(clip, "cat", "blending", "1") for clip in clips]
    table = pd.DataFrame(
        [("", "blending", "cat", "1")] * len(clips), columns=["filename", "task", "expected_text", "grade"]
    )
    plain = score_clips(members, table, Path(), {}, CPU, "fp32", 0, clips)
    usual = scorer_of(members, tmp_path, accept=False)
    np.testing.assert_array_equal(usual.score_batch(answers), plain)
    assert not usual.score_counted(answers).starts.any()
    monkeypatch.setattr(self_corrections, "counting_attempt", lambda whole, attempts: len(attempts) - 1)
    monkeypatch.setattr(self_corrections, "CALLED_RIGHT", 1.0)
    accepting = scorer_of(members, tmp_path, accept=True)
    counted = accepting.score_counted(answers)
    np.testing.assert_array_equal(accepting.score_batch(answers), counted.scores)
    assert counted.starts[3:].all()
    assert accepting.score_counted([]).scores.shape == (0,)


@pytest.mark.parametrize("kind", NO_ANSWERS)
def test_what_is_no_answer_is_refused_as_ever(kind: str, members: list[Member], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"record it again|silent"):
        scorer_of(members, tmp_path, accept=True).score(NO_ANSWERS[kind], "cat", "blending", "1")


@pytest.mark.slow
def test_infer_tells_which_answers_count_from_a_later_attempt(
    work: Path, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [name for name, _ in read_rows(work / "data" / "submission_format.csv")[1:]]
    for name in names[:3]:
        soundfile.write(work / "data" / name, tones(400, 800), 16_000)
    (work / "data" / names[5]).write_bytes(b"broken")
    assert script(INFER, "--device", "cpu", "--output", "off.csv").code == 0
    off = read_rows(work / "off.csv")
    monkeypatch.setattr(self_corrections, "CALLED_RIGHT", 1.0)  # all are looked into, and none is right
    assert script(INFER, "--device", "cpu", "--accept_self_corrections", "--output", "none.csv").code == 0
    assert read_rows(work / "none.csv") == off
    monkeypatch.setattr(self_corrections, "counting_attempt", lambda whole, attempts: len(attempts) - 1)
    outcome = script(INFER, "--device", "cpu", "--accept_self_corrections", "--output", "on.csv")
    assert outcome.code == 0
    assert "3 answers count from where they were begun again" in outcome.output
    changed = [row[0] for row, other in zip(read_rows(work / "on.csv"), off, strict=True) if row != other]
    assert changed == names[:3]
    told = {name: reason for name, _, reason in read_reasons(work / "on.csv.problems.csv")}
    assert set(told) == {*names[:3], names[5]}
    assert told[names[0]] == "self-corrected: scored from 1.48 s on"
