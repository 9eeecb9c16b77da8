"""Pre-training of the shipped encoder.

Run: .venv/bin/python -m pytest tests/pretrain/test_pretraining.py
"""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file

import pretrain_encoder
from models.errors import InputError
from models.network.encoder import encoder_lengths
from models.network.phone_fit import greedy_phones, negative_log_likelihood
from models.network.pretrained import pretrained_network
from models.pretrain.pretraining import (
    batch_losses,
    encode_batch,
    learning_rate_at,
    new_network,
    pairs_of,
    save_pretrained,
)
from models.pretrain.real_speech import held_out_speakers, read_recordings, read_transcripts
from models.pretrain.stream import PairBatch
from models.pretrain.validation import _edit_distance
from models.recipe import Recipe


def test_what_is_saved_is_small_and_trains_like_any_encoder(tmp_path: Path) -> None:
    torch.manual_seed(2)
    network = new_network()
    save_pretrained(tmp_path, network)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 10_000_000
    aligned = Recipe(name="a", encoder=str(tmp_path), pooling="alignment", seed=0, data_seed=0)
    found = pretrained_network(aligned).state_dict()
    for name, tensor in network.state_dict().items():
        expected = tensor[:800] if "embed_positions" in name else tensor
        torch.testing.assert_close(found[name], expected, rtol=1e-3, atol=1e-4)
    joint = Recipe(name="j", encoder=str(tmp_path), pooling="mean", seed=0, data_seed=0)
    assert torch.equal(pretrained_network(joint).encoder.conv1.weight, found["encoder.conv1.weight"])


def test_greedy_reading_joins_runs_and_drops_silence() -> None:
    best = torch.tensor([[0, 3, 3, 0, 3, 5, 5, 9], [4, 4, 0, 7, 7, 7, 7, 7]])
    phones, counts = greedy_phones(torch.nn.functional.one_hot(best, 12).float(), torch.tensor([7, 3]))
    assert counts.tolist() == [3, 1]
    assert phones[0].tolist() == [3, 3, 5]
    assert phones[1, :1].tolist() == [4]


def test_pairs_are_balanced_within_groups() -> None:
    references, responses, labels, groups = pairs_of(3)
    for own in range(12):
        in_group = labels[:12][(references[:12] == own) | (responses[:12] == own)]
        assert sorted(in_group.tolist()) == [0.0, 1.0]
    assert bool((references[12:] // 4 != responses[12:] // 4).all())
    assert groups[12:].tolist() == [0, 1, 2]


def test_learning_rate_rises_then_falls() -> None:
    rates = [learning_rate_at(progress) for progress in (0.0, 0.005, 0.02, 0.5, 1.0)]
    assert rates[0] < rates[1] < rates[2] > rates[3] > rates[4] > 0


def test_edit_distance() -> None:
    assert _edit_distance([1, 2, 3], [1, 3]) == 1
    assert _edit_distance([], [1, 2]) == 2
    assert _edit_distance([1], [2]) == 1


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four labelled clips of noise by two speakers, in the layout of a folder of real speech."""
    speech = tmp_path / "speech"
    speech.mkdir()
    rng = np.random.default_rng(6)
    source, metadata = ["filename,speaker,age,spoken_text,kind"], ["filename,task,expected_text,grade"]
    for index, kind in enumerate(["match", "swap", "match", "other sentence"]):
        soundfile.write(speech / f"{index}.flac", rng.normal(0, 0.1, 16000), 16000)
        source.append(f"{index}.flac,speaker{index // 2},8,the dog ran home,{kind}")
        metadata.append(
            f"{index}.flac,sentence_repetition,{'the dog ran home' if kind == 'match' else 'a dog home ran'},2"
        )
    (speech / "train_source.csv").write_text("\n".join(source) + "\n")
    (speech / "train_metadata.csv").write_text("\n".join(metadata) + "\n")
    return speech


def test_held_out_speakers_are_not_read(folder: Path) -> None:
    kept_out = held_out_speakers(folder, 1)
    heard = {clip.speaker for clip in read_recordings(folder, without=kept_out)}
    assert len(kept_out) == 1
    assert heard == {"speaker0", "speaker1"} - kept_out


def test_a_folder_without_transcripts_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"transcripts\.csv"):
        read_transcripts(tmp_path)


@pytest.mark.slow
def test_a_short_run_saves_resumes_and_reports(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("espeakng_loader", reason="the espeak voice is optional")
    monkeypatch.setattr("models.pretrain.pretraining.new_network", lambda: new_network(32, 1, 2))
    command = ["--output", str(tmp_path / "run"), "--frames", "2000", "--real_speech", str(folder)]
    command += ["--validation", str(folder), "--validation_speakers", "1", "--pause_minutes", "0.04"]
    pretrain_encoder.main(["--minutes", "0.05", *command])
    assert "people, own pairs" in capsys.readouterr().out
    weights = load_file(tmp_path / "run" / "encoder" / "model.safetensors")
    pretrain_encoder.main(["--minutes", "0.08", *command])
    assert "going on from step" in capsys.readouterr().out
    trained = load_file(tmp_path / "run" / "encoder" / "model.safetensors")
    assert not torch.equal(weights["layer_norm.weight"], trained["layer_norm.weight"])


def test_a_batch_encodes_as_its_clips_do() -> None:
    torch.manual_seed(3)
    model = new_network(32, 1, 2).eval()
    frames = torch.tensor([60, 20, 44, 31, 90])
    features = torch.randn(5, 80, 90)
    encoded = encode_batch(model, features, frames)
    for row, length in enumerate(frames.tolist()):
        alone, n_frames = (
            model.encode(features[row : row + 1, :, :length], frames[row : row + 1]),
            int(encoded.lengths[row]),
        )
        torch.testing.assert_close(encoded.frames[row, :n_frames], alone.frames[0], rtol=0, atol=1e-5)
        torch.testing.assert_close(encoded.phone_logits[row, :n_frames], alone.phone_logits[0], rtol=0, atol=1e-5)


def test_references_can_go_without_gradients() -> None:
    torch.manual_seed(4)
    model = new_network(32, 1, 2)
    frames = torch.tensor([40, 44, 50, 38, 42, 41, 60, 36, 52])
    labels = torch.where(torch.arange(30) < encoder_lengths(frames)[:, None], 1, -1)
    labels[[2, 8]] = -1  # recordings
    phones, counts = torch.ones(9, 4, dtype=torch.long), torch.full((9,), 4)
    features = torch.randn(9, 80, 60)
    batch = PairBatch(features, frames, labels, phones, counts, torch.zeros(2, 2))
    every, responses = (batch_losses(model, batch, through_references=flag) for flag in (True, False))
    torch.testing.assert_close(every.pair, responses.pair)
    torch.testing.assert_close(every.ctc, responses.ctc)
    encoded = encode_batch(model, features, frames)
    nats = negative_log_likelihood(encoded.phone_logits, encoded.lengths, phones, counts) / 4
    torch.testing.assert_close(every.ctc, nats[[2, 8]].mean(), rtol=1e-2, atol=0)
    torch.testing.assert_close(every.synthetic_ctc, nats[[3, 6, 7]].mean(), rtol=1e-2, atol=0)
    features.requires_grad_()
    batch_losses(model, batch, through_references=False).total(1.0).backward()
    assert features.grad is not None
    heard = features.grad.abs().amax(dim=(1, 2)) > 0
    assert heard.tolist() == [False, False, True, True] * 2 + [True]
