"""Scoring with an ensemble: features once, memory flat, shares right, members checked.

Run: .venv/bin/python -m pytest tests/inference/test_inference.py
"""

import math
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from fakes import ROOT, priors, recipe, tone, trained_checkpoint

from models.base.compute import compute_each
from models.base.files import sha256_of_file
from models.clips import dataset
from models.clips.tables import read_test_table, utterances
from models.ensemble.checkpoint import Checkpoint, save_checkpoint
from models.ensemble.config import EnsembleConfig, ModelEntry
from models.ensemble.metrics import sigmoid
from models.ensemble.rebuild import rebuild_network
from models.errors import InputError
from models.inference import chunk, scoring
from models.inference.networks import KeptNetworks
from models.inference.scoring import Member, chunk_clips, load_members, score_clips
from models.network.aligned import AlignedNetwork
from models.network.pretrained import pretrained_network

CPU = torch.device("cpu")


@pytest.fixture
def clips(make_data: Callable[..., Path]) -> tuple[pd.DataFrame, Path, dict[str, np.ndarray]]:
    folder = make_data(train=4, test=10)
    table = read_test_table(folder)
    rng = np.random.default_rng(0)
    return table, folder, {said: tone(0.5, 300 + 7 * len(said), rng) for said in utterances(table)}


def alone(member: Member, clips: tuple[pd.DataFrame, Path, dict[str, np.ndarray]]) -> np.ndarray:
    """A checkpoint's probabilities, one clip at a time."""
    table, folder, references = clips
    data = dataset.ComparisonDataset(table, folder, references, **member.features)
    network = rebuild_network(member.checkpoint)
    batches = [data.collate([data[row]]) for row in range(len(data))]
    with torch.no_grad():
        return np.array([sigmoid(network(**batch)["logits"].numpy())[0] for batch in batches])


@pytest.mark.slow
def test_blend_of_members_of_several_lengths_and_kinds(
    clips: tuple[pd.DataFrame, Path, dict[str, np.ndarray]], encoder_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the chunks, batches and workers are."""
    members = [
        Member(trained_checkpoint(encoder_dir, fold=0), 4, 0.5),
        Member(trained_checkpoint(encoder_dir, "alignsmall", fold=1), 3, 0.1),
        Member(trained_checkpoint(encoder_dir, "matchedmodel", fold=1), 3, 0.05),
        Member(trained_checkpoint(encoder_dir, "verifymodel", fold=1), 3, 0.05),
        Member(trained_checkpoint(encoder_dir, fold=2, max_seconds=1.0), 4, 0.3),  # half a second beside the reference
    ]
    expected = sum(member.share * alone(member, clips) for member in members)
    for size, workers in ((2048, 0), (1, 0), (4, 2)):
        monkeypatch.setattr(scoring, "CHUNK_CLIPS", size)
        found = score_clips(members, *clips, CPU, "fp32", workers)
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.slow
def test_whole_chunks_are_scored_to_the_same_bytes_apart(
    clips: tuple[pd.DataFrame, Path, dict[str, np.ndarray]], encoder_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As over a cluster: what stands in other chunks changes nothing, where a chunk's borders stay."""
    monkeypatch.setattr(scoring, "CHUNK_CLIPS", 4)
    monkeypatch.setattr(scoring, "LOADER_CLIPS", 1)
    table, folder, references = clips
    members = [Member(trained_checkpoint(encoder_dir, name), 4, 0.5) for name in ("alignsmall", "verifymodel")]
    size = 2 * chunk_clips(members)
    assert size == 4
    parts = [table.iloc[at : at + size].reset_index(drop=True) for at in range(0, len(table), size)]
    apart = [score_clips(members, part, folder, references, CPU, "fp32", 0) for part in parts]
    np.testing.assert_array_equal(np.concatenate(apart), score_clips(members, *clips, CPU, "fp32", 0))


@pytest.fixture
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
def test_the_number_of_threads_changes_no_score(
    clips: tuple[pd.DataFrame, Path, dict[str, np.ndarray]],
    encoder_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    three_threads: None,
) -> None:
    """Each batch is one thread's work; several batches are scored at the same time."""
    monkeypatch.setattr(chunk, "CPU_BATCH_FRAMES", 1)
    members = [Member(trained_checkpoint(encoder_dir, name), 4, 0.5) for name in ("alignsmall", "verifymodel")]
    meeting, original = threading.Barrier(3, timeout=180), chunk._arguments
    met = iter([True] * 3)
    monkeypatch.setattr(chunk, "_arguments", lambda *a: (next(met, None) and meeting.wait(), original(*a))[1])
    several = score_clips(members, *clips, CPU, "fp32", 0)
    torch.set_num_threads(1)
    monkeypatch.setattr(chunk, "_arguments", original)
    np.testing.assert_array_equal(several, score_clips(members, *clips, CPU, "fp32", 0))


def test_items_are_computed_by_one_thread_each_or_in_turn_by_all(three_threads: None) -> None:
    for items, threads in (([1, 2, 3, 4], 1), ([1, 2], 3)):
        found = compute_each(
            lambda item: (item, torch.get_num_threads(), torch.is_inference_mode_enabled()), items, CPU
        )
        assert found == [(item, threads, True) for item in items]
        assert torch.get_num_threads() == 3
    with pytest.raises(ZeroDivisionError):
        compute_each(lambda item: 1 // item, [1, 0, 1], CPU)
    assert torch.get_num_threads() == 3


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="reads the number of open files from /proc")
def test_many_clips_need_few_open_files(
    clips: tuple[pd.DataFrame, Path, dict[str, np.ndarray]], encoder_dir: Path
) -> None:
    """Tensors that loading processes hand over hold a file open each, and 1,024 open files are the usual limit."""
    table, folder, references = clips
    many = pd.concat([table] * 30, ignore_index=True)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 100, before[1]))
    try:
        member = Member(trained_checkpoint(encoder_dir), 4, 1.0)
        assert len(score_clips([member], many, folder, references, CPU, "fp32", 2)) == 300
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


GROWTH = """
import torch
from torch.nn import Conv1d, Sequential
import models.inference.scoring

def held_mb():
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) / 1000 for line in lines if line.startswith("RssAnon"))

torch.set_num_threads(1)
network = Sequential(Conv1d(80, 384, 3, padding=1), Conv1d(384, 384, 3, stride=2, padding=1))
with torch.inference_mode():
    for frames in range(100, 700):
        network(torch.zeros(1, 80, frames))
        if frames == 200:
            before = held_mb()
print(held_mb() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="reads the memory held from /proc")
def test_no_kernels_are_kept_for_each_length_of_a_batch() -> None:
    """It was 112 MB on torch 2.11 and 93 MB on torch 2.4, and 1.5 GB after 38,095 clips."""
    process = subprocess.run(
        [sys.executable, "-c", GROWTH], cwd=ROOT, capture_output=True, text=True, check=True, timeout=300
    )
    assert float(process.stdout) < 60


def test_loading_processes_end_well(
    clips: tuple[pd.DataFrame, Path, dict[str, np.ndarray]], encoder_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that ends with an error is taken for a crash, if torch looks at the wrong moment."""
    from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter as Loading

    exit_codes, original = [], Loading._shutdown_workers

    def shut_down(self: Loading) -> None:
        original(self)
        exit_codes.extend(worker.exitcode for worker in self._workers)

    monkeypatch.setattr(Loading, "_shutdown_workers", shut_down)
    score_clips([Member(trained_checkpoint(encoder_dir), 4, 1.0)], *clips, CPU, "fp32", 2)
    assert set(exit_codes) == {0}


@pytest.mark.slow
def test_features_are_computed_once_and_few_are_held(
    clips: tuple[pd.DataFrame, Path, dict[str, np.ndarray]], encoder_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed, held = [], []
    original_features, original_score = dataset.log_mel, scoring.score_chunk
    monkeypatch.setattr(dataset, "log_mel", lambda *a: computed.append(1) or original_features(*a))
    monkeypatch.setattr(
        scoring, "score_chunk", lambda m, w, n, d, c, *a: held.append(len(c)) or original_score(m, w, n, d, c, *a)
    )
    table, folder, references = clips
    many = pd.concat([table] * 5, ignore_index=True)
    monkeypatch.setattr(scoring, "CHUNK_CLIPS", 16)
    members = [Member(trained_checkpoint(encoder_dir, fold=fold), 4, 0.25) for fold in range(4)]
    score_clips(members, many, folder, references, CPU, "fp32", 0)
    assert len(computed) == len(many) == 50
    assert max(held) <= 16
    assert sum(held) == 4 * 50


def test_each_distinct_reference_is_encoded_once(
    clips: tuple[pd.DataFrame, Path, dict[str, np.ndarray]], encoder_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = []
    original = AlignedNetwork.encode
    monkeypatch.setattr(AlignedNetwork, "encode", lambda self, x, n: encoded.append(len(x)) or original(self, x, n))
    table, folder, references = clips
    twice = pd.concat([table, table], ignore_index=True)
    score_clips(
        [Member(trained_checkpoint(encoder_dir, "alignsmall"), 4, 1.0)], twice, folder, references, CPU, "fp32", 0
    )
    assert sum(encoded) == table["expected_text"].nunique() + len(twice)  # references, responses


def test_each_response_is_decoded_once(
    clips: tuple[pd.DataFrame, Path, dict[str, np.ndarray]], encoder_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever forms the members read it in."""
    decoded = []
    original = dataset.read_audio
    monkeypatch.setattr(dataset, "read_audio", lambda path, *a: decoded.append(path) or original(path, *a))
    names = ("model2s", "matchedmodel", "alignsmall", "verifymodel")
    members = [Member(trained_checkpoint(encoder_dir, name), 4, 1 / 4) for name in names]
    score_clips(members, *clips, CPU, "fp32", 0)
    assert len(decoded) == len(set(decoded)) == len(clips[0])


def test_the_next_chunk_is_loaded_while_one_is_scored(
    clips: tuple[pd.DataFrame, Path, dict[str, np.ndarray]], encoder_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scoring the first chunk waits until the second one is being read."""
    second_is_read, waited = threading.Event(), []
    original_read, original_score = dataset.read_audio, scoring.score_chunk
    fifth = clips[1] / clips[0]["filename"][4]
    monkeypatch.setattr(scoring, "CHUNK_CLIPS", 4)
    monkeypatch.setattr(scoring, "LOADER_CLIPS", 4)

    def read(path: Path, *arguments: object) -> np.ndarray:
        if path == fifth:
            second_is_read.set()
        return original_read(path, *arguments)

    def score(*arguments: object) -> np.ndarray:
        waited.append(second_is_read.wait(30))
        return original_score(*arguments)

    monkeypatch.setattr(dataset, "read_audio", read)
    monkeypatch.setattr(scoring, "score_chunk", score)
    score_clips([Member(trained_checkpoint(encoder_dir), 4, 1.0)], *clips, CPU, "fp32", 0)
    assert waited[0]


def test_bf16_changes_little(clips: tuple[pd.DataFrame, Path, dict[str, np.ndarray]], encoder_dir: Path) -> None:
    members = [Member(trained_checkpoint(encoder_dir), 4, 1.0)]
    full, half = (score_clips(members, *clips, CPU, precision, 0) for precision in ("fp32", "bf16"))
    assert not np.array_equal(half, full)
    np.testing.assert_allclose(half, full, atol=0.005)


def test_networks_that_read_phones_stay_in_float32() -> None:
    """A rounded frame can turn one phone of the reference into another, which the score then jumps with."""
    for joint, pooling in (("plain", "alignment"), ("matched", "mean")):
        asked = recipe("aligned" if pooling == "alignment" else "matchedmodel")
        shipped = str(ROOT / "assets/encoders/phonetic-tiny")
        network = pretrained_network(replace(asked, encoder=shipped, joint=joint, pooling=pooling))
        network.lower_precision(torch.bfloat16)
        assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}


def make_config(encoder_dir: Path, folder: Path, weights: dict[str, float]) -> EnsembleConfig:
    entries = []
    for name, weight in weights.items():
        paths = []
        for fold in range(4):
            checkpoint = replace(trained_checkpoint(encoder_dir, name, fold), n_folds=4)
            save_checkpoint(folder / checkpoint.file_name, checkpoint)
            paths.append(checkpoint.file_name)
        checksums = [sha256_of_file(folder / path) for path in paths]
        entries.append(ModelEntry(name, weight, paths, [0, 1, 2, 3], checksums, 4.0, 4))
    return EnsembleConfig(4, checkpoint.voice, checkpoint.data_fingerprint, priors(), entries)


@pytest.mark.slow
def test_members_and_their_shares(encoder_dir: Path, tmp_path: Path) -> None:
    config = make_config(encoder_dir, tmp_path, {"model2s": 0.75, "model3mb": 0.0, "model2m": 0.25})
    everything = load_members(config, tmp_path, None)
    assert len(everything) == 8  # a model without weight is not loaded
    half = load_members(config, tmp_path, 2)
    chosen = [(item.checkpoint.recipe.name, item.checkpoint.fold, item.share) for item in half]
    assert chosen == [("model2s", 0, 0.375), ("model2s", 2, 0.375), ("model2m", 1, 0.125), ("model2m", 3, 0.125)]
    assert sum(item.share for item in everything) == pytest.approx(1)


def test_a_checkpoint_that_does_not_fit_is_refused(encoder_dir: Path, tmp_path: Path) -> None:
    config = make_config(encoder_dir, tmp_path, {"model2s": 1.0})
    entry = config.models[0]
    for changed, told in (
        (replace(config, data_fingerprint="other"), "training data's fingerprint: data, not other"),
        (replace(config, n_folds=6), "n_folds: 4, not 6"),
        (replace(config, voice={**config.voice, "speed": 2.0}), "voice: "),
        (replace(config, models=[replace(entry, name="model2m")]), "model: model2s, not model2m"),
        (replace(config, models=[replace(entry, folds=[3, 1, 2, 0])]), "fold: 0, not 3"),
    ):
        with pytest.raises(InputError, match=rf"model2s_0\.pth.*\({told}[^;]*\)"):  # this, and nothing else
            load_members(changed, tmp_path, None)
    save_checkpoint(tmp_path / "model2s_2.pth", trained_checkpoint(encoder_dir, fold=5))
    with pytest.raises(InputError, match="checksum"):
        load_members(config, tmp_path, None)


def test_scores_that_are_not_finite_are_never_written(
    clips: tuple[pd.DataFrame, Path, dict[str, np.ndarray]], encoder_dir: Path
) -> None:
    checkpoint = trained_checkpoint(encoder_dir)
    checkpoint.weights["encoder.conv1.weight"].fill_(float("nan"))
    with pytest.raises(InputError, match="model2s_0"):
        score_clips([Member(checkpoint, 4, 1.0)], *clips, CPU, "fp32", 0)


def test_networks_are_built_once_and_kept_while_they_fit(encoder_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second would be one too many here: it is built anew each time, and scores the same."""
    built: list[str] = []

    def build(checkpoint: Checkpoint, device: torch.device) -> object:
        built.append(checkpoint.file_name)
        return rebuild_network(checkpoint, device)

    monkeypatch.setattr("models.inference.networks.rebuild_network", build)
    first, second = (trained_checkpoint(encoder_dir, fold=fold) for fold in (0, 1))
    size = sum(4 * tensor.numel() for tensor in first.weights.values())
    kept = KeptNetworks(CPU, "fp32", most_bytes=size + size // 2)
    assert kept(first) is kept(first)
    assert kept(second) is not kept(second)
    assert built == ["model2s_0.pth", "model2s_1.pth", "model2s_1.pth"]


def test_batches_on_a_cpu_hold_clips_of_similar_length() -> None:
    """What a long clip would have the short ones padded to costs more than a batch of its own."""
    lengths = [600, 100, 115, 125, 118]
    assert chunk._alike(lengths, 3200, 1.2) == [[1, 2, 4], [3], [0]]
    assert chunk._alike(lengths, 3200, math.inf) == [[1, 2, 4, 3, 0]]
    assert chunk._alike(lengths, 240, 1.2) == [[1, 2], [4], [3], [0]]  # 3 × 118 are too many frames
