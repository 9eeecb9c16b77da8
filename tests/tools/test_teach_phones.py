"""A verifier that tells phones. Run: python -m pytest tests/tools/test_teach_phones.py"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from fakes import Script, tone, trained_checkpoint, write_rows

from models.ensemble.checkpoint import Checkpoint, OutOfFold, load_checkpoint, save_checkpoint
from models.localize import listener, said_well
from models.localize.localization import localize
from models.localize.model import load_model
from models.network.phones import PHONE_CLASSES
from models.speech.samples import SAMPLE_RATE_HZ
from tools import teach_phones
from tools.average_folds import average

TOOL = "tools/teach_phones.py"
SENTENCES = "we play|a cat|big dogs|we like cats|a dog|we play now".split("|")


@pytest.fixture
def transcripts(tmp_path: Path) -> Path:
    folder, rng = tmp_path / "spoken", np.random.default_rng(0)
    folder.mkdir()
    names = [f"{place}.wav" for place in range(len(SENTENCES))]
    for place, name in enumerate(names):
        soundfile.write(folder / name, tone(1.0 + 0.1 * place, 200 + 50 * place, rng), SAMPLE_RATE_HZ)
    write_rows(folder / "source.csv", [["filename", "spoken_text"], *map(list, zip(names, SENTENCES, strict=True))])
    return folder / "source.csv"


@pytest.fixture
def fold(encoder_dir: Path) -> Checkpoint:
    """One that has held out the first two recordings."""
    held = ["0.wav", "1.wav"]
    oof = OutOfFold(held, ["deletion"] * 2, ["1"] * 2, np.array([1.0, 0.0]), np.array([0.7, 0.2]))
    return replace(trained_checkpoint(encoder_dir, "taughtmodel"), n_folds=2, oof=oof)


def test_a_fold_is_taught_without_what_it_held_out_and_stays_as_it_is(
    tmp_path: Path, script: Script, transcripts: Path, fold: Checkpoint
) -> None:
    save_checkpoint(tmp_path / fold.file_name, fold)
    command = (TOOL, tmp_path / fold.file_name, "--transcripts", transcripts, "--output_dir", tmp_path / "taught")
    outcome = script(*command, "--epochs", 2)
    assert outcome.code == 0, outcome.output
    assert "held out" in outcome.output
    found = load_checkpoint(tmp_path / "taught" / fold.file_name)
    assert found.encoder["phones"] == list(PHONE_CLASSES)
    assert found.weights.keys() > fold.weights.keys()
    assert all(torch.equal(found.weights[name], tensor) for name, tensor in fold.weights.items())
    before = (tmp_path / "taught" / fold.file_name).read_bytes()
    assert "already there" in script(*command).output
    assert (tmp_path / "taught" / fold.file_name).read_bytes() == before


def test_what_is_held_out_is_asked_and_not_taught(
    monkeypatch: pytest.MonkeyPatch, transcripts: Path, fold: Checkpoint
) -> None:
    heard: list[list[str]] = []

    def hear(model: object, recordings: list[teach_phones.Recording]) -> list[object]:
        heard.append([one.name for one in recordings])
        return []

    monkeypatch.setattr(teach_phones, "hear", hear)
    recordings = teach_phones.read_transcripts([transcripts])
    for checkpoint, held in ((fold, 2), (replace(fold, n_folds=1), 0)):
        heard.clear()
        with pytest.raises(teach_phones.InputError, match="did not hold out"):
            teach_phones.taught(checkpoint, recordings, teach_phones.argparse.Namespace(device="cpu", seed=0, epochs=1))
        names = [f"{place}.wav" for place in range(len(SENTENCES))]
        assert heard == [names[held:], names[:held]]


def test_teaching_lowers_the_loss(transcripts: Path, fold: Checkpoint) -> None:
    model = load_model(fold)
    network, clips = model.network, teach_phones.hear(model, teach_phones.read_transcripts([transcripts]))
    torch.manual_seed(0)
    classifier = teach_phones.PhoneClassifier(int(network.encoder.config.d_model), len(PHONE_CLASSES))
    before = teach_phones.held_out_loss(classifier, clips)
    teach_phones.teach(classifier, clips, [], 12, seed=0)
    assert teach_phones.held_out_loss(classifier, clips) < 0.7 * before


def test_how_well_a_word_was_said_knows_the_phones(
    monkeypatch: pytest.MonkeyPatch, transcripts: Path, fold: Checkpoint
) -> None:
    options = teach_phones.argparse.Namespace(device="cpu", seed=0, epochs=1)
    taught = teach_phones.taught(fold, teach_phones.read_transcripts([transcripts]), options)
    asked: list[set[str]] = []
    monkeypatch.setattr(
        said_well,
        "class_probabilities",
        lambda table, part, features: asked.append(set(features)) or np.full((len(features["least"]), 2), 0.5),
    )
    noise = np.random.default_rng(0).standard_normal(SAMPLE_RATE_HZ).astype(np.float32) * 0.1
    for checkpoint in (fold, taught):
        localize(checkpoint, "we play", "sentence_repetition", "1", noise, lambda _: pytest.fail("a reference"))
    assert asked[1] - asked[0] == {"phone_worst", "phone_mean", "phone_missing"}


def test_other_classes_than_ours_tell_nothing(transcripts: Path, fold: Checkpoint) -> None:
    options = teach_phones.argparse.Namespace(device="cpu", seed=0, epochs=1)
    taught = teach_phones.taught(fold, teach_phones.read_transcripts([transcripts]), options)
    strange = replace(taught, encoder={**taught.encoder, "phones": [f"p{n}" for n in range(len(PHONE_CLASSES))]})
    for checkpoint, tells in ((taught, True), (strange, False)):
        model = load_model(checkpoint)
        asked = listener.Listener(model.network, torch.randn(80, 100), torch.zeros(1, 2))
        assert (asked.phones() is not None) == tells


def test_a_mean_of_folds_has_to_be_taught_anew(
    capsys: pytest.CaptureFixture[str], transcripts: Path, fold: Checkpoint
) -> None:
    """What two classifiers tell by a unit need not be the same, so their mean tells nothing."""
    options = teach_phones.argparse.Namespace(device="cpu", seed=0, epochs=1)
    recordings = teach_phones.read_transcripts([transcripts])
    other = replace(fold, fold=1, oof=replace(fold.oof, filenames=["2.wav", "3.wav"]))
    folds = [teach_phones.taught(one, recordings, options) for one in (fold, other)]
    whole = average(folds)
    assert whole.weights.keys() == fold.weights.keys()
    assert whole.encoder == fold.encoder
    assert "teach_phones.py" in capsys.readouterr().out
