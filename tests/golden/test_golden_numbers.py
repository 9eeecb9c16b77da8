"""What the shipped encoder and the design's constants give, to the digits: a small change anywhere shows here.

The numbers were computed when everything else was tested. A change of them is a change of every score, and needs a reason.

Run: python -m pytest tests/golden/test_golden_numbers.py
"""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fakes import checkpoints, load
from transformers import set_seed

from models.clips.augment import AUGMENTATIONS, Chain, PitchShift, SpanMask
from models.clips.dataset import ComparisonDataset
from models.clips.features import HOP_LENGTH, frames_for_seconds
from models.clips.groups import GRADES, TASKS
from models.ensemble import blend
from models.localize.localization import localize
from models.localize.model import LoadedModel
from models.localize.spans import around_gaps
from models.network.alignment import _course
from models.network.phone_fit import phone_fit
from models.network.phones import PHONE_CLASSES
from models.network.pretrained import pretrained_network
from models.recipe import Recipe
from models.report.checks import stands_out
from models.speech.audio import Waveform

RATE_HZ = 16_000


def hum(seconds: float, syllables: int, seed: int) -> Waveform:
    """Harmonics of a voice whose formants move from syllable to syllable, with quiet between: no speech, but of its kind."""
    times = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    rng, place = np.random.default_rng(seed), times / seconds * syllables
    formants = rng.uniform((300, 900), (800, 2400), (syllables, 2))[place.astype(int).clip(max=syllables - 1)]
    pitch_hz = 180 + 40 * np.sin(2 * np.pi * 0.7 * times)
    phase = 2 * np.pi * np.cumsum(pitch_hz) / RATE_HZ
    wave = np.zeros(len(times))
    for harmonic in range(1, 20):
        distance = np.abs(harmonic * pitch_hz[:, None] - formants).min(axis=1)
        wave += np.exp(-distance / 150) * np.sin(harmonic * phase)
    envelope = np.sin(np.pi * (place % 1)) ** 0.5
    return (0.1 * wave * envelope + 1e-3 * rng.standard_normal(len(times))).astype(np.float32)


CLIPS = {"alike": (hum(1.2, 5, 1), hum(1.3, 5, 1)), "unlike": (hum(1.2, 5, 1), hum(0.9, 3, 2))}


def logit(recipe: Recipe, reference: Waveform, response: Waveform) -> float:
    """Of the network that training would begin with, for a deletion in kindergarten."""
    import pandas as pd

    set_seed(0)
    network = pretrained_network(recipe).eval()
    table = pd.DataFrame({"filename": ["a"], "task": [TASKS[0]], "expected_text": ["x"], "grade": [GRADES[0]]})
    data = ComparisonDataset(
        table, None, {"x": reference}, 80, frames_for_seconds(recipe.max_seconds), layout=recipe.layout,
        padding=recipe.padding, sources=[response],
    )  # fmt: skip
    batch = data.collate([data[0]])
    with torch.inference_mode():
        return float(network(**{name: value for name, value in batch.items() if name != "labels"})["logits"][0])


ALIGNED = load("aligntiny")
MATCHED = replace(load("model3mcp"), encoder=ALIGNED.encoder, joint="matched")


@pytest.mark.parametrize(
    ("recipe", "clip", "expected"),
    [
        (ALIGNED, "alike", 5.96784),
        (ALIGNED, "unlike", -4.98145),
        (MATCHED, "alike", -0.00175),
        (MATCHED, "unlike", 0.12754),
    ],
    ids=["aligned, alike", "aligned, unlike", "matched, alike", "matched, unlike"],
)
def test_scores_of_the_shipped_encoder(recipe: Recipe, clip: str, expected: float) -> None:
    assert logit(recipe, *CLIPS[clip]) == pytest.approx(expected, abs=1e-4)


def test_scores_of_units() -> None:
    """By the frames of the aligned network; without espeak-ng's phones, so that it is not asked."""
    model = LoadedModel("golden", pretrained_network(ALIGNED).eval(), ALIGNED, torch.device("cpu"), reads_phones=False)
    reference, response = CLIPS["unlike"]
    found = localize(model, "we like to play", TASKS[3], GRADES[0], response, lambda text: reference, "alignment")
    scores = [unit.score for unit in found.expected_units]
    np.testing.assert_allclose(scores, [0.08627, 0.31140, 0.95338, 0.87767], atol=1e-4)
    np.testing.assert_allclose(found.gap_scores, [0.99658, 0.99658, 0.99626, 0.75580, 0.81886], atol=1e-4)


def test_the_fit_of_phones() -> None:
    """Peaked logits, in which some frames fall short by more than the cap, and one phone and a run of three do worst."""
    rng = np.random.default_rng(0)
    reference, response = torch.zeros(1, 40, len(PHONE_CLASSES)), torch.full((1, 40, len(PHONE_CLASSES)), -40.0)
    spoken = rng.integers(1, len(PHONE_CLASSES), 10)
    for place in range(10):
        reference[0, 4 * place : 4 * place + 4, spoken[place]] = 30.0
        response[0, 4 * place : 4 * place + 4, spoken[place]] = 30.0 - 7.0 * place
        response[0, 4 * place : 4 * place + 4, 0] = 3.0
    lengths = torch.tensor([40]), torch.tensor([40])
    found = phone_fit(reference, lengths[0], response, lengths[1])
    expected = [3.21888, 3.80666, 4.06044, 4.06044, 2.56495, 3.61092, 1.90211, 0.0, 4.06044]
    np.testing.assert_allclose(found[0].numpy(), expected, atol=1e-4)


def test_the_course_of_a_counterpart() -> None:
    """It jumps by 30 frames and back, faster than is told apart; before the first lag its pace counts as even."""
    weights = torch.zeros(1, 40, 60)
    for frame in range(40):
        weights[0, frame, frame if frame < 20 else frame + 20 if frame < 30 else frame - 20] = 1.0
    course = _course(weights, torch.ones(1, 40, dtype=torch.bool))[0]
    assert course.shape == (40, 2 + 3)
    assert course[1, 2:].tolist() == [1.0, 1.0, 1.0]
    assert course[2, 2:].tolist() == pytest.approx([1.0, 1.0, 1.0])
    assert course[20, 2:].tolist() == pytest.approx([4.0, 4.0, 1 + 20 / 12])
    assert course[30, 2:].tolist() == pytest.approx([-4.0, -4.0, 1 - 20 / 12], abs=1e-4)


# The design's numbers


def test_augmentation_is_the_designs() -> None:
    reference, response = AUGMENTATIONS["both"]
    assert (reference.probability, response.probability) == (0.4, 0.4)
    assert SpanMask() in reference.transforms
    assert {PitchShift(5.0), SpanMask(1, 6, 0.025, 0.075)} <= set(response.transforms)
    assert not any(isinstance(transform, PitchShift) for transform in reference.transforms)


@pytest.mark.parametrize(
    ("augment", "expected"),
    [
        ("response", [0.03999, 0.06189, 0.23723, 0.07742, 0.07079, 0.23755]),
        ("both", [0.00628, -0.06019, 0.02515, 0.14486, 0.04709, 0.03394]),
    ],
)
def test_draws_of_augmentation(augment: str, expected: list[float]) -> None:
    """Mean of six clips' features: a recipe trains on the same draws as ever."""
    import pandas as pd

    reference, response = CLIPS["unlike"]
    table = pd.DataFrame({"filename": list("abcdef"), "task": TASKS[0], "expected_text": "x", "grade": GRADES[0]})
    data = ComparisonDataset(table, None, {"x": reference}, 80, 400, augment, seed=3, sources=[response] * 6)
    np.testing.assert_allclose([float(data[row]["log_mel"].mean()) for row in range(6)], expected, atol=1e-4)


@pytest.mark.parametrize("max_frames", [16, 1600])
@pytest.mark.parametrize(("reference", "response"), [(1600, 3200), (1679, 3200), (1681, 3200), (3200, 0)])
def test_where_a_joined_clip_changes_sides(reference: int, response: int, max_frames: int) -> None:
    """At the frame nearest to the sample, and never at the very end: the response has a frame at least."""
    import pandas as pd

    table = pd.DataFrame({"filename": ["a"], "task": [TASKS[0]], "expected_text": ["x"], "grade": [GRADES[0]]})
    waveforms = np.zeros(reference, np.float32), np.zeros(response, np.float32)
    for augment in ("none", "both"):
        data = ComparisonDataset(
            table, None, {"x": waveforms[0]}, 80, max_frames, layout="matched", sources=[waveforms[1]], augment=augment
        )
        if augment == "both":  # the way of augmented clips, with nothing that changes their lengths
            data._augment_reference = data._augment_response = Chain((), 0.0)
        clip = data[0]
        frames = clip["log_mel"].shape[1]
        assert clip["reference_frames"] == min(round(reference / HOP_LENGTH), frames - 1)


def test_priors_of_few_clips_are_drawn_towards_all() -> None:
    (item, *_) = checkpoints(n_folds=1, clips_per_fold=100)
    oof = item.oof
    chosen = (np.array(oof.tasks) == TASKS[0]) & (np.array(oof.grades) == GRADES[0])
    overall, own = (oof.labels.sum() + 1) / 102, oof.labels[chosen]
    expected = (own.sum() + 10 * overall) / (len(own) + 10)
    assert blend.group_priors([item])[TASKS[0]][GRADES[0]] == pytest.approx(expected, abs=1e-12)


def test_a_millionth_of_a_weight_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Among models that say the same, all weights are as good."""
    found = np.array([1 - 2e-6, 1.5e-6, 0.5e-6])
    monkeypatch.setattr("scipy.optimize.minimize", lambda *_, **__: SimpleNamespace(x=found))
    weights = blend.fit_weights(np.array([0.0, 1.0]), np.full((2, 3), 0.5))
    assert (weights > 0).tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("others", "standard_error", "excess"),
    [
        ([0.3, 0.3, 0.3, 0.3], 1e-6, 0.1 * 0.3),  # a tenth of the median
        ([0.28, 0.29, 0.3, 0.31, 0.32], 1e-6, 4 * 1.4826 * 0.01),  # four robust standard deviations
        ([0.3, 0.3, 0.3, 0.3], 0.05, 3 * 0.05),  # three standard errors of the fold's own loss
    ],
)
def test_when_a_fold_stands_out(others: list[float], standard_error: float, excess: float) -> None:
    assert not stands_out(0.3 + 0.98 * excess, standard_error, others)
    assert stands_out(0.3 + 1.02 * excess, standard_error, others)


def test_a_words_length_around_a_gap() -> None:
    assert around_gaps([(30, 40), (60, 70)], 100) == [(5, 25), (40, 60), (75, 95)]
    assert around_gaps([(4, 8)], 15) == [(0, 15), (0, 15)]
