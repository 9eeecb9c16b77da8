"""The benchmarks measure what they say: the plain implementation gives the same scores, operations and memory are counted right.

Run: .venv/bin/python -m pytest tests/tools/test_benchmarks.py
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import load
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.aligned import PlainAligned, PlainSides, time_aligned
from benchmarks.blending import medians
from benchmarks.growth import measure
from benchmarks.inference import time_inference
from benchmarks.material import SIZES, architecture_of, as_process, made_clips, member_of, recipe_of
from benchmarks.plain import plain_scores, plain_weights
from benchmarks.random_whisper import save_random
from benchmarks.setting import Setting
from benchmarks.training import encoder_operations, time_training
from benchmarks.verifier import PlainVerifier, time_verifier
from models.clips.tables import scalars
from models.ensemble.blend import fit_weights
from models.ensemble.rebuild import rebuild_network
from models.inference.scoring import score_clips
from models.network.build import make_network
from models.network.encoder import build_encoder, encode
from models.network.pretrained import load_decoder, load_encoder

CPU = torch.device("cpu")


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    return Setting(made_clips(tmp_path, 5), "nano", 1, CPU)


def test_fixed_padding_scores_as_the_plain_implementation_does(setting: Setting) -> None:
    """librosa, the Hugging Face extractor and transformers' own encoder at 16 s are the oracle."""
    clips, member = setting.clips, member_of("nano", recipe_of(padding="fixed"))
    member.checkpoint.weights["head.0.weight"].mul_(20)  # scores that differ
    ours = score_clips([member], clips.table, clips.data_dir, clips.references, CPU, "fp32", 0)
    network = setting.plain_network(member).eval()
    plain = plain_scores(network, setting.plain_data(), torch.from_numpy(scalars(clips.table)), 2).numpy()
    assert np.ptp(plain) > 1e-3
    np.testing.assert_allclose(ours, plain, atol=5e-5)


@pytest.mark.slow
@pytest.mark.parametrize("augment", ["none", "response", "both"])
def test_plain_samples_look_like_ours(setting: Setting, augment: str) -> None:
    ours, plain = setting.clips.dataset(recipe_of(augment=augment)), setting.plain_data(augment)
    for row in range(len(ours)):
        n_frames = ours[row]["log_mel"].shape[1]
        assert plain[row].shape == (80, 1600)
        assert n_frames == pytest.approx((plain[row] > plain[row].min()).any(dim=0).sum().item(), rel=0.9)


def test_operations_are_those_that_torch_counts() -> None:
    encoder = build_encoder(architecture_of("nano")).eval()
    plainly = sdpa_kernel(SDPBackend.MATH)  # torch counts nothing for the fused attention of CPUs
    with FlopCounterMode(display=False) as counter, torch.no_grad(), plainly:
        encode(encoder, torch.randn(1, 80, 600))
    assert encoder_operations(architecture_of("nano"), 600) == pytest.approx(counter.get_total_flops(), rel=0.01)
    assert encoder_operations(architecture_of("medium"), 1600) > 100 * encoder_operations(architecture_of("nano"), 1600)


@pytest.mark.slow
def test_memory_is_the_process_own() -> None:
    """Not what this process holds."""
    held = torch.ones(500 * 2**20, dtype=torch.uint8)
    printed, seconds, peak_gb = as_process(["-c", "print('here')"])
    assert held.sum() > 0
    assert printed == "here\n"
    assert seconds > 0
    assert 0.001 < peak_gb < 0.1


def test_a_process_that_fails_is_not_measured() -> None:
    with pytest.raises(RuntimeError, match="ValueError"):
        as_process(["-c", "raise ValueError"])


def test_growth_is_measured_from_files_to_scores() -> None:
    assert 0 < measure(3, 2.0, 2, "nano") < 60
    assert set(SIZES) == {"nano", "tiny", "base", "small", "medium"}


def test_our_weights_are_no_worse_than_plain_ones() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 500).astype(float)
    predictions = 1 / (1 + np.exp(-(2 * labels[:, None] - 1) - rng.normal(0, 1, (500, 3))))

    def loss(weights: np.ndarray) -> float:
        blended = predictions @ weights
        return float(-np.log(np.where(labels > 0.5, blended, 1 - blended)).mean())

    assert loss(fit_weights(labels, predictions)) <= loss(plain_weights(labels, predictions)) + 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("given", [True, False])
def test_a_verifier_is_timed_beside_a_plain_one(
    setting: Setting, encoder_dir: Path, tmp_path: Path, given: bool
) -> None:
    rows = time_verifier(replace(setting, encoder=str(encoder_dir) if given else None), tmp_path / "whisper")
    weights = encoder_dir.name if given else "whisper-nano's size"
    assert [row.name.rpartition(",")[0] for row in rows] == [
        f"verifier, {weights}: {what}" for what in ("inference", "training step with drawn texts")
    ]
    assert all(row.ratio is not None and row.ratio > 1 for row in rows)  # 30 s of padding can't be as fast


@pytest.mark.slow
def test_a_whisper_of_random_weights_reads_texts(tmp_path: Path) -> None:
    decoder, tokenizer = load_decoder(save_random(tmp_path, "nano"))
    tokens = tokenizer.encode("and so there were ten of them")
    assert len(tokens) < 15  # words, not letters
    assert decoder.config.vocab_size == 51_864


@torch.no_grad()
def test_the_plain_aligned_network_compares_the_same_frames() -> None:
    """What it says is what ours would, on inputs of 16 s."""
    ours = rebuild_network(member_of("nano", recipe_of(pooling="alignment")).checkpoint).eval()
    plain = PlainAligned(ours).eval()
    sides, scalar_values = torch.randn(2, 2, 80, 1600), torch.randn(2, 2)
    encoded = [ours.encode(side, torch.tensor([1600, 1600])) for side in sides]
    full = torch.tensor([800, 800])
    found = plain(sides[0], full, sides[1], full, scalar_values)
    torch.testing.assert_close(found, ours.compare(*encoded, scalar_values)["logits"], atol=1e-5, rtol=0)


def test_plain_sides_are_as_long_as_ours(setting: Setting) -> None:
    clips, n_clips = setting.clips, len(setting.clips.table)
    responses = [clips.data_dir / f"{row}.flac" for row in range(n_clips)]
    plain = PlainSides([*clips.reference_files.values()], responses)
    ours = clips.dataset(recipe_of(pooling="alignment"))
    for row in range(n_clips):
        reference, reference_frames, response, response_frames = plain[row]
        assert reference.shape == response.shape == (80, 1600)
        assert reference_frames == pytest.approx(ours[row]["reference"].shape[1] / 2, abs=3)
        assert response_frames == pytest.approx(ours[row]["response"].shape[1] / 2, abs=3)
    assert len(time_aligned(setting)) == 1


@pytest.mark.slow
@pytest.mark.parametrize("given", [True, False])
def test_joint_networks_are_timed_with_weights_of_any_kind(setting: Setting, encoder_dir: Path, given: bool) -> None:
    rows = time_inference(replace(setting, encoder=str(encoder_dir) if given else None))
    named = [row for row in rows if (encoder_dir.name if given else "whisper-nano's size") in row.name]
    assert len(named) == 3
    assert all(row.ratio is not None and row.ratio > 0 for row in named)
    (share,) = (row for row in rows if row.unit == "share")
    assert 0 < share.ours < 1.5
    apart = [row.ours for row in rows if row.unit == ""]
    assert max(apart) < 0.01


@pytest.mark.slow
def test_a_training_step_is_timed_beside_a_plain_one(tmp_path: Path) -> None:
    step, *others = time_training(Setting(made_clips(tmp_path, 16), "nano", 1, CPU))
    assert step.ratio is not None
    assert step.ratio > 1
    assert all(row.ratio is None and row.ours > 0 for row in others)


def test_scripts_take_turns_as_processes() -> None:
    (seconds, memory), (others_seconds, _) = medians([["-c", "import time; time.sleep(0.2)"], ["-c", ""]], 1)
    assert seconds > others_seconds > 0
    assert memory > 0


@torch.no_grad()
def test_the_plain_verifier_judges_the_same_tokens(encoder_dir: Path) -> None:
    """What it pools is what ours would, on an input of 30 s."""
    _, tokenizer = load_decoder(str(encoder_dir))
    ours = make_network(
        load_encoder(str(encoder_dir), 3000), load("verifytiny"), 0, *load_decoder(str(encoder_dir))
    ).eval()
    plain = PlainVerifier(str(encoder_dir), len(tokenizer.prompt)).eval()
    plain.head.weight.fill_(1.0)
    plain.head.bias.zero_()
    features, tokens = torch.randn(1, 80, 3000), torch.tensor([tokenizer.encode("a cat")])
    logits, judged = ours.judge(*ours.hear(features, torch.tensor([3000])), tokens, torch.tensor([tokens.shape[1]]))
    torch.testing.assert_close(plain(features, tokens), logits[..., 0][judged].mean()[None], atol=1e-5, rtol=0)


@pytest.mark.slow
def test_the_script_for_a_gpu_runs_without_one() -> None:
    """But for CUDA graphs, which it then says it can't make."""
    asked = "--sizes nano --seconds 0.1 --device cpu --together 1 --clips 32"
    printed, _, _ = as_process(["benchmarks/gpu.py", *asked.split()])
    told = json.loads(printed)
    found = told["sizes"]["nano"]
    usual, recorded = found["step"].values()
    assert len(usual["first_losses"]) == 8
    assert "error" in recorded
    assert found["inference"]["ms_per_clip"] > 0
    for epochs in (found["epochs"], found["epochs of ready clips"]):
        parts = epochs["ms_until_batch_is_there"], epochs["ms_inside_of_step"]
        assert min(parts) > 0
        assert sum(parts) <= epochs["ms_per_step"] + 0.02
    assert len(found["together"]["1 × not recorded"]["ms_per_step_of_each"]) == 1
    assert told["loading"]["samples_per_second"] > 0
