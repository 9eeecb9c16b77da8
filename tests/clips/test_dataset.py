"""The clips as the network sees them.

Run: .venv/bin/python -m pytest tests/clips/test_dataset.py
"""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from fakes import tone

from models.clips.batches import collate_joined
from models.clips.dataset import ComparisonDataset, EpochShuffle
from models.clips.tables import read_training_table, utterances
from models.errors import InputError
from models.recipe import Layout

RNG = np.random.default_rng(0)


@pytest.fixture
def data(make_data: Callable[..., Path]) -> tuple[Path, dict[str, np.ndarray]]:
    folder = make_data(train=12)
    references = {said: tone(0.4, 333, RNG) for said in utterances(read_training_table(folder))}
    return folder, references


def make(
    data: tuple[Path, dict[str, np.ndarray]],
    augment: str,
    max_frames: int = 400,
    seed: int = 0,
    layout: Layout = "joined",
) -> ComparisonDataset:
    folder, references = data
    return ComparisonDataset(read_training_table(folder), folder, references, 80, max_frames, augment, seed, layout)


def test_clip_is_the_extractors_view_of_reference_and_response(data: tuple[Path, dict[str, np.ndarray]]) -> None:
    from transformers import WhisperFeatureExtractor

    folder, references = data
    table = read_training_table(folder)
    clip = make(data, "none")[3]
    response, _ = soundfile.read(folder / table["filename"][3], dtype="float32")
    joined = np.concatenate([references[utterances(table)[3]], response])
    expected = WhisperFeatureExtractor(chunk_length=4)(joined, sampling_rate=16000, return_tensors="pt")[
        "input_features"
    ][0]
    batch = collate_joined([clip], 400)
    torch.testing.assert_close(batch["log_mel"][0], expected, atol=1e-4, rtol=0)
    assert batch["labels"].tolist() == [table["score"][3]]
    tasks = ["deletion", "nonword_repetition", "blending", "sentence_repetition"]
    assert batch["scalars"].tolist() == [
        [tasks.index(table["task"][3]) / 4, ["KG", "1", "2", "3"].index(table["grade"][3]) / 4]
    ]


def test_draws_depend_on_seed_epoch_and_row_alone(data: tuple[Path, dict[str, np.ndarray]]) -> None:
    one, other = make(data, "both"), make(data, "both")
    for row in (5, 0, 5):  # whatever was drawn before
        torch.testing.assert_close(one[row]["log_mel"], other[row]["log_mel"], atol=0, rtol=0)
        _ = other[1]
    same = [torch.equal(one[row]["log_mel"], make(data, "both", seed=1)[row]["log_mel"]) for row in range(12)]
    assert sum(same) <= 2
    before = [one[row]["log_mel"] for row in range(12)]
    one.set_epoch(1)
    assert sum(torch.equal(before[row], one[row]["log_mel"]) for row in range(12)) <= 2
    one.set_epoch(0)
    assert all(torch.equal(before[row], one[row]["log_mel"]) for row in range(12))


@pytest.mark.parametrize("layout", ["apart", "joined"])
def test_a_pickled_copy_gives_the_same_clips(data: tuple[Path, dict[str, np.ndarray]], layout: Layout) -> None:
    """As loading processes get one that are not forked."""
    dataset = make(data, "none", layout=layout)
    copy = pickle.loads(pickle.dumps(dataset))
    for row in range(len(dataset)):
        one, other = dataset[row], copy[row]
        assert one.keys() == other.keys()
        assert all(torch.equal(torch.as_tensor(one[name]), torch.as_tensor(other[name])) for name in one)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_worker_processes_change_nothing(data: tuple[Path, dict[str, np.ndarray]], num_workers: int) -> None:
    dataset = make(data, "both")
    dataset.set_epoch(3)
    loader = torch.utils.data.DataLoader(dataset, batch_size=4, num_workers=num_workers, collate_fn=list)
    loaded = [clip["log_mel"] for clips in loader for clip in clips]
    assert all(torch.equal(clip, dataset[row]["log_mel"]) for row, clip in enumerate(loaded))


def test_the_reference_stays_untouched_where_only_the_response_is_augmented(
    data: tuple[Path, dict[str, np.ndarray]],
) -> None:
    plain, augmented = make(data, "none"), make(data, "response")
    changed = 0
    for row in range(12):
        whole, other = (
            dataset._joined_spectrogram(*_sides(data, row), np.random.default_rng(row))[0]
            for dataset in (plain, augmented)
        )
        torch.testing.assert_close(whole[:, :38], other[:, :38])  # 0.4 s of reference, less what the next window sees
        changed += not torch.equal(whole, other)
    assert changed > 6


@pytest.mark.parametrize("augment", ["none", "response", "both"])
def test_joined_clips_say_where_the_response_begins(data: tuple[Path, dict[str, np.ndarray]], augment: str) -> None:
    dataset = make(data, augment, layout="matched")
    clips = [dataset[row] for row in range(4)]
    batch = dataset.collate(clips)
    assert batch["frames"].tolist() == [clip["log_mel"].shape[1] for clip in clips]
    assert batch["log_mel"].shape == (4, 80, int(batch["frames"].max()))
    assert (batch["reference_frames"] < batch["frames"]).all()
    lengths = [len(_sides(data, row)[0]) / 160 for row in range(4)]
    if augment != "both":  # which changes the reference's pace
        assert batch["reference_frames"].tolist() == [round(length) for length in lengths]


def _sides(data: tuple[Path, dict[str, np.ndarray]], row: int) -> tuple[np.ndarray, np.ndarray]:
    table = read_training_table(data[0])
    return data[1][utterances(table)[row]], soundfile.read(data[0] / table["filename"][row], dtype="float32")[0]


@pytest.mark.parametrize("augment", ["none", "response", "both"])
def test_input_is_cut_at_its_longest(data: tuple[Path, dict[str, np.ndarray]], augment: str) -> None:
    dataset = make(data, augment, max_frames=50)
    assert {dataset[row]["log_mel"].shape[1] for row in range(12)} == {50}


def test_a_name_that_leads_out_is_refused(data: tuple[Path, dict[str, np.ndarray]]) -> None:
    table = read_training_table(data[0]).assign(filename="../elsewhere.wav")
    with pytest.raises(InputError, match="elsewhere"):
        ComparisonDataset(table, data[0], data[1], 80, 400)


def test_epochs_are_whole_batches_in_an_order_of_their_own() -> None:
    lengths = np.random.default_rng(0).random(50)
    sampler = EpochShuffle(lengths, 16, seed=1)
    first = list(sampler)
    assert len(first) == len(sampler) == 48
    assert len(set(first)) == 48
    assert list(sampler) == first
    sampler.set_epoch(1)
    assert list(sampler) != first
    assert list(EpochShuffle(lengths, 16, seed=2)) != first


def test_batches_hold_clips_of_similar_length_in_random_order() -> None:
    lengths = np.random.default_rng(0).random(3200)
    batches = np.array(list(EpochShuffle(lengths, 16, seed=1))).reshape(-1, 16)
    spread = np.ptp(lengths[batches], axis=1)
    assert spread.mean() < 0.05  # 0.88 in batches of random clips
    longest = lengths[batches].max(axis=1)
    assert abs(np.corrcoef(longest[:-1], longest[1:])[0, 1]) < 0.2
