"""Choosing checkpoints within a time budget, and what they cost.

Run: .venv/bin/python -m pytest tests/packing/test_selection.py
"""

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import tone
from simulate import trained_checkpoint

from models.ensemble.blend import Blend, fit_weights
from models.ensemble.metrics import log_loss
from models.errors import InputError
from models.packing.cost import Work, checkpoint_operations, checkpoint_seconds, encoder_operations, measure_work
from models.packing.selection import _averaged, _Search, _stand_ins, select
from models.speech.audio import write_wav
from models.speech.references import reference_path

WHISPER = {  # name: width, layers, heads, mel bands
    "tiny": (384, 4, 6, 80),
    "medium": (1024, 24, 16, 80),
}


def settings(width: int, layers: int, heads: int, n_mels: int) -> dict[str, object]:
    return {
        "d_model": width,
        "encoder_layers": layers,
        "encoder_attention_heads": heads,
        "encoder_ffn_dim": 4 * width,
        "num_mel_bins": n_mels,
        "max_source_positions": 1500,
        "activation_function": "gelu",
        "dropout": 0.0,
        "attention_dropout": 0.0,
        "activation_dropout": 0.0,
        "encoder_layerdrop": 0.0,
        "scale_embedding": False,
    }


def probabilities(logits: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-logits))


def draw_blend(spreads: list[float], seed: int = 0, clips: int = 2000) -> Blend:
    """Models that hear the same and differ by noise of these standard deviations, in logits."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, clips).astype(float)
    heard = (2 * labels - 1) * 1.5 + rng.normal(0, 1, clips)
    predictions = probabilities(heard[:, None] + rng.normal(0, 1, (clips, len(spreads))) * spreads)
    names = [f"model{index}" for index in range(len(spreads))]
    return Blend(names, [f"{clip}.wav" for clip in range(clips)], labels, predictions, np.zeros(clips, int))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("budget", [3, 7, 12, 20])
def test_greedy_comes_close_to_the_best_of_all_choices(budget: float, seed: int) -> None:
    """All that 4 models of 3 folds allow, tried out."""
    rng = np.random.default_rng(seed)
    blend = draw_blend(sorted(rng.uniform(0.3, 1.5, 4)), seed)
    seconds = dict(zip(blend.models, rng.uniform(0.5, 3.0, 4), strict=True))
    search = _Search(blend, seconds, 3, budget)
    everything = (np.array(counts) for counts in itertools.product(range(4), repeat=4) if any(counts))
    best = min(search.expected_loss(counts) for counts in everything if counts @ search.costs <= budget)
    found = select(blend, seconds, 3, budget)
    counts = np.array([found.folds.get(name, 0) for name in blend.models])
    assert found.seconds == pytest.approx(counts @ search.costs)
    assert found.seconds <= budget
    assert search.expected_loss(counts) < best + 0.005  # nats, of about 0.3


def test_weights_are_those_fitted_on_the_chosen_models() -> None:
    blend = draw_blend([0.5, 0.6, 0.7, 0.8])
    found = select(blend, {"model0": 9.0, "model1": 1.0, "model2": 1.0, "model3": 1.0}, 2, 6.0)
    chosen = [blend.models.index(name) for name in found.weights]
    assert 0 not in chosen  # does not fit
    expected = fit_weights(blend.labels, blend.predictions[:, chosen])
    np.testing.assert_array_equal(list(found.weights.values()), expected)
    assert found.loss == pytest.approx(log_loss(blend.labels, blend.predictions[:, chosen] @ expected))
    assert found.weights.keys() == found.folds.keys()


def test_with_time_enough_all_models_of_weight_come_with_all_folds() -> None:
    blend = draw_blend([0.5, 0.6, 3.0])
    weights = fit_weights(blend.labels, blend.predictions)
    found = select(blend, dict.fromkeys(blend.models, 1.0), 6, 1000.0)
    assert found.folds == {name: 6 for name, weight in zip(blend.models, weights, strict=True) if weight > 0}
    assert set(found.folds) == {"model0", "model1"}


def test_what_another_model_replaces_gives_its_time_back() -> None:
    """A noisier copy comes first, since it is cheap, and adds nothing once the better one is in."""
    blend = draw_blend([0.3, 0.3])
    rng = np.random.default_rng(1)
    copy = probabilities(np.log(blend.predictions[:, 0] / (1 - blend.predictions[:, 0])) + rng.normal(0, 2, 2000))
    blend = replace(blend, predictions=np.stack([copy, blend.predictions[:, 1]], axis=1))
    found = select(blend, {"model0": 1.0, "model1": 5.0}, 1, 6.0)
    assert found.folds == {"model1": 1}


def test_a_dear_model_that_is_worth_it_is_not_shut_out_by_a_cheap_one() -> None:
    blend = draw_blend([1.5, 0.1])
    found = select(blend, {"model0": 1.0, "model1": 10.0}, 1, 10.0)
    assert found.folds == {"model1": 1}


def test_one_model_alone_takes_as_many_folds_as_fit() -> None:
    blend = draw_blend([0.5])
    assert select(blend, {"model0": 2.0}, 6, 9.0).folds == {"model0": 4}
    assert select(blend, {"model0": 2.0}, 3, 900.0).folds == {"model0": 3}


def test_gain_of_more_folds_is_about_that_of_real_ones() -> None:
    """Where models differ by noise alone, a stand-in is as good as a fold."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 20_000).astype(float)
    heard = (2 * labels - 1) * 1.5 + rng.normal(0, 1, 20_000)
    folds = probabilities(heard[:, None] + rng.normal(0, 0.7, (20_000, 8)))
    real = np.mean([log_loss(labels, folds[:, index]) for index in range(6)]) - log_loss(
        labels, folds[:, :6].mean(axis=1)
    )
    blend = Blend(["a", "b"], [], labels, folds[:, 6:], np.zeros(20_000, int))
    search = _Search(blend, {"a": 1.0, "b": 1.0}, 6, 10.0)
    counts = np.array([6, 0])
    assert search.loss(counts) - search.expected_loss(counts) == pytest.approx(real, rel=0.25)
    assert _averaged(1) == 0
    assert _averaged(6) == pytest.approx(5 / 6)


def test_stand_in_is_the_most_similar_model() -> None:
    blend = draw_blend([0.1, 2.0, 0.1])
    right = np.where(blend.labels[:, None] > 0.5, blend.predictions, 1 - blend.predictions)
    found = _stand_ins(right)
    np.testing.assert_array_equal(found[:, 0], right[:, 2])
    np.testing.assert_array_equal(found[:, 2], right[:, 0])


def test_too_little_time_for_any_checkpoint_is_refused() -> None:
    with pytest.raises(InputError, match=r"--time_budget_minutes.*model1"):
        select(draw_blend([0.5, 0.5]), {"model0": 20.0, "model1": 10.0}, 6, 5.0)


# What a checkpoint costs


@pytest.mark.parametrize("name", WHISPER)
@pytest.mark.parametrize("n_frames", [200, 1600])
def test_encoder_operations_are_those_of_the_formula(name: str, n_frames: int) -> None:
    """Two operations per multiplication and addition, of convolutions and matrix products."""
    width, layers, heads, n_mels = WHISPER[name]
    frames = n_frames // 2
    convolutions = 2 * 3 * (n_frames * n_mels * width + frames * width * width)
    projections, inner = 4 * 2 * frames * width**2, 2 * 2 * frames * width * 4 * width
    attention = 2 * 2 * frames**2 * width
    expected = convolutions + layers * (projections + inner + attention)
    assert encoder_operations(settings(width, layers, heads, n_mels), n_frames) == pytest.approx(expected, rel=1e-6)


def test_operations_follow_what_a_network_reads(encoder_dir: Path) -> None:
    joint, aligned = trained_checkpoint(encoder_dir), trained_checkpoint(encoder_dir, "alignsmall")
    fixed = replace(joint, recipe=replace(joint.recipe, padding="fixed"))
    work = Work(clips=1000, texts=10, reference_seconds=1.0, response_seconds=2.0)

    def once(seconds: float) -> float:
        return encoder_operations(joint.encoder, round(seconds * 100))

    assert checkpoint_operations(joint, work) == 1000 * once(3)
    assert checkpoint_operations(fixed, work) == 1000 * once(joint.recipe.max_seconds)
    assert checkpoint_operations(joint, replace(work, response_seconds=100.0)) == checkpoint_operations(fixed, work)
    assert checkpoint_operations(aligned, work) == 1000 * once(2) + 10 * once(1)
    five_chunks = replace(work, clips=10_000)
    assert checkpoint_operations(aligned, five_chunks) == 10_000 * once(2) + 5 * 10 * once(1)


def test_seconds_follow_the_rate(encoder_dir: Path) -> None:
    checkpoint = trained_checkpoint(encoder_dir)
    work = Work(clips=1000, texts=10, reference_seconds=1.0, response_seconds=2.0)
    loading = checkpoint_seconds(checkpoint, work, 1e9)
    seconds = [checkpoint_seconds(checkpoint, work, rate) - loading for rate in (1e-6, 2e-6)]
    assert seconds[0] == pytest.approx(checkpoint_operations(checkpoint, work) / 1e6, rel=1e-3)
    assert seconds[0] == pytest.approx(2 * seconds[1], rel=1e-3)


def test_work_is_that_of_the_test_clips_or_the_training_clips(make_data: Callable[..., Path], tmp_path: Path) -> None:
    folder, tts_dir = make_data(train=8, test=4), tmp_path / "tts_data"
    tts_dir.mkdir()
    (tts_dir / "voice.json").write_text('{"engine": "espeak-ng", "speed": 0.7, "source": "espeak"}')
    identity = {"engine": "espeak-ng", "speed": 0.7, "source": "espeak"}
    for text in ("old", "cat", "teevog", "we like to play", "eat", "fox", "huhmeyf", "she has a red hat"):
        write_wav(reference_path(tts_dir, identity, text), tone(0.5, 300, np.random.default_rng(0)))
    assert measure_work(folder, tts_dir) == Work(4, 4, 0.5, 0.3)
    (folder / "test3.wav").write_bytes(b"broken")
    soundfile.write(folder / "test2.wav", tone(0.6, 300, np.random.default_rng(0)), 16000)
    assert measure_work(folder, tts_dir).response_seconds == pytest.approx((0.3 + 0.3 + 0.6) / 3)
    (folder / "test_metadata.csv").unlink()
    with pytest.raises(InputError, match="--clips"):
        measure_work(folder, tts_dir)
    assert measure_work(folder, tts_dir, clips=500) == Work(500, 8, 0.5, 0.3)
