"""Verifiers whose scores rest on phones. Run: python -m pytest tests/tools/test_weigh_phones.py"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from fakes import Script, load, tone, trained_checkpoint, write_rows

from models.clips import readings
from models.clips.groups import TASKS
from models.clips.tables import read_metadata, read_training_table
from models.ensemble.checkpoint import Checkpoint, OutOfFold, load_checkpoint, save_checkpoint
from models.ensemble.rebuild import check_weights, rebuild_network
from models.errors import InputError
from models.inference import texts
from models.inference.answers import Answer
from models.inference.published import Published, read_published, write_published
from models.inference.scorer import Scorer
from models.inference.scoring import Member, score_clips
from models.inference.texts import refused_texts
from models.localize.localization import localize
from models.network.build import network_settings
from models.network.comparison import half_weights
from models.network.phone_classifier import PhoneClassifier
from models.network.phones import PHONE_CLASSES
from models.network.verifier import VerifierNetwork
from models.speech.samples import SAMPLE_RATE_HZ
from tools import weigh_phones
from tools.average_folds import average

TOOL = "tools/weigh_phones.py"
TEXTS = ("we play", "cat", "we like big dogs", "dog", "a cat", "play", "big cats", "now")
N_EACH = 4


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    folder, rng = tmp_path / "speech", np.random.default_rng(0)
    folder.mkdir()
    rows = []
    for place, text in enumerate(TEXTS):
        soundfile.write(folder / f"{place}.wav", tone(0.8 + 0.1 * place, 200 + 40 * place, rng), SAMPLE_RATE_HZ)
        rows.append([f"{place}.wav", "sentence_repetition" if " " in text else "deletion", text, "1"])
    write_rows(folder / "train_metadata.csv", [["filename", "task", "expected_text", "grade"], *rows])
    labels = [[row[0], str(float(place % 3 != 0))] for place, row in enumerate(rows)]
    write_rows(folder / "train_labels.csv", [["filename", "score"], *labels])
    return folder


def telling(encoder_dir: Path, data_dir: Path, fold: int, n_folds: int = 2) -> Checkpoint:
    """A verifier with a classifier of phones that was never taught."""
    plain = trained_checkpoint(encoder_dir, "taughtmodel", fold)
    network = rebuild_network(plain)
    assert isinstance(network, VerifierNetwork)
    torch.manual_seed(fold)
    network.phone_classifier = PhoneClassifier(int(network.encoder.config.d_model), len(PHONE_CLASSES))
    network.phone_classes, network.phone_names = len(PHONE_CLASSES), PHONE_CLASSES
    rows = read_training_table(data_dir)[fold * N_EACH : (fold + 1) * N_EACH if n_folds > 1 else len(TEXTS)]
    columns = (rows[name].tolist() for name in ("filename", "task", "grade"))
    oof = OutOfFold(*columns, rows["score"].to_numpy(float), np.full(len(rows), 0.5))
    weights, settings = half_weights(network), network_settings(network)
    return replace(plain, fold=fold, n_folds=n_folds, oof=oof, weights=weights, encoder=settings)


@pytest.fixture
def folds(encoder_dir: Path, data_dir: Path) -> list[Checkpoint]:
    return [telling(encoder_dir, data_dir, fold) for fold in range(2)]


@pytest.fixture
def weighed(encoder_dir: Path, data_dir: Path) -> Checkpoint:
    rng = np.random.default_rng(1)
    weights = rng.normal(size=(len(TASKS), 1 + weigh_phones.N_EVIDENCE))
    return weigh_phones.weighed(telling(encoder_dir, data_dir, 0, 1), weights, rng.normal(size=len(TASKS)))


def by_member(checkpoint: Checkpoint, data_dir: Path, precision: str = "fp32") -> np.ndarray:
    table = read_training_table(data_dir)
    return score_clips([Member(checkpoint, 4, 1.0)], table, data_dir, {}, torch.device("cpu"), precision, 0)


def test_each_fold_has_the_weights_of_the_others_clips(
    tmp_path: Path, script: Script, data_dir: Path, folds: list[Checkpoint], encoder_dir: Path
) -> None:
    for fold in folds:
        save_checkpoint(tmp_path / fold.file_name, fold)
    whole = telling(encoder_dir, data_dir, 0, 1)
    save_checkpoint(tmp_path / "mean" / whole.file_name, whole)
    files = [tmp_path / fold.file_name for fold in folds]
    outcome = script(
        TOOL,
        *files,
        "--whole",
        tmp_path / "mean" / whole.file_name,
        "--data_dir",
        data_dir,
        "--output_dir",
        tmp_path / "new",
    )
    assert outcome.code == 0, outcome.output
    assert "with phones" in outcome.output
    device, table = torch.device("cpu"), read_training_table(data_dir).set_index("filename", drop=False)
    evidence = [weigh_phones.read_evidence(fold, table, data_dir, device) for fold in folds]
    for fold, (own, other) in enumerate((evidence, evidence[::-1])):
        found = load_checkpoint(tmp_path / "new" / files[fold].name)
        weights, biases = weigh_phones.fit_weights([other])
        np.testing.assert_allclose(found.weights["phone_evidence.weigh.weight"].double(), weights)
        np.testing.assert_allclose(found.weights["phone_evidence.weigh.bias"].double(), biases)
        scores = by_member(found, data_dir)[fold * N_EACH : (fold + 1) * N_EACH]
        np.testing.assert_allclose(found.oof.predictions, scores, atol=1e-5)
        assert len(own.labels) == N_EACH
    found = load_checkpoint(tmp_path / "new" / "whole" / whole.file_name)
    weights, _ = weigh_phones.fit_weights(evidence)
    np.testing.assert_allclose(found.weights["phone_evidence.weigh.weight"].double(), weights)


def test_the_weights_are_those_of_the_regression() -> None:
    rng = np.random.default_rng(0)
    tasks = rng.integers(len(TASKS), size=400)
    columns = rng.normal(size=(400, 1 + weigh_phones.N_EVIDENCE))
    slopes = np.where(tasks == weigh_phones.SENTENCES, 3.0, -3.0)
    labels = (slopes * columns[:, 2] + tasks - 1.5 + rng.logistic(size=400) > 0).astype(float)
    weights, biases = weigh_phones.fit_weights([weigh_phones.HeldOutColumns(columns, tasks, labels)])
    assert weights[weigh_phones.SENTENCES, 2] > 1.5
    assert (weights[: weigh_phones.SENTENCES, 2] < -1.5).all()
    assert (np.diff(biases) > 0).all()  # higher tasks are right more often
    scores = (columns * weights[tasks]).sum(axis=1) + biases[tasks]
    assert ((scores > 0) == (labels > 0.5)).mean() > 0.8


def test_scores_rest_on_the_phones_and_all_ways_to_ask_agree(data_dir: Path, weighed: Checkpoint) -> None:
    scores = by_member(weighed, data_dir)
    plain = replace(
        weighed,
        weights={name: value for name, value in weighed.weights.items() if not name.startswith("phone_evidence")},
        encoder={**weighed.encoder, "weighs_phones": False},
    )
    assert np.abs(scores - by_member(plain, data_dir)).max() > 0.05
    for place, row in enumerate(read_training_table(data_dir).itertuples()):
        response, _ = soundfile.read(data_dir / row.filename, dtype="float32")
        found = localize(
            weighed, row.expected_text, row.task, row.grade, response, lambda _: pytest.fail("a reference")
        )
        assert found.probability == pytest.approx(scores[place], abs=1e-5)


def test_a_given_pronunciation_is_what_should_have_been_said(data_dir: Path, weighed: Checkpoint) -> None:
    response, _ = soundfile.read(data_dir / "1.wav", dtype="float32")

    def probability(given: str) -> float:
        asked = (weighed, "cat", "deletion", "1", response, lambda _: pytest.fail("a reference"))
        return localize(*asked, pronunciation=given).probability

    assert probability("K AE T") == probability("")
    assert abs(probability("B OY") - probability("")) > 0.001


def test_all_that_is_accepted_counts_alike(data_dir: Path, weighed: Checkpoint) -> None:
    """The order in which pronunciations are given is no judgement."""
    table = read_training_table(data_dir)[1:2]
    device = torch.device("cpu")

    def score(given: str) -> float:
        asked = table.assign(pronunciation=given)
        return float(score_clips([Member(weighed, 4, 1.0)], asked, data_dir, {}, device, "fp32", 0)[0])

    either = {score("K AE T"), score("B OY")}
    assert len(either) == 2
    assert score("K AE T|B OY") == score("B OY|K AE T")
    assert score("K AE T|B OY") in either


@pytest.mark.parametrize("given", ["K AE T|B OY", "B OY|K AE T", "B OY", ""])
def test_of_given_pronunciations_all_ways_to_ask_take_the_same(data_dir: Path, weighed: Checkpoint, given: str) -> None:
    """In a table's column, of which other cells are empty, with an answer, and where words are looked for."""
    rows = read_training_table(data_dir)
    listed = rows.drop(columns="score").assign(pronunciation=[given if text == "cat" else "" for text in TEXTS])
    listed.to_csv(data_dir / "test_metadata.csv", index=False)
    table, device = read_metadata(data_dir / "test_metadata.csv"), torch.device("cpu")
    scores = score_clips([Member(weighed, 4, 1.0)], table, data_dir, {}, device, "fp32", 0)
    place = TEXTS.index("cat")
    np.testing.assert_array_equal(np.delete(scores, place), np.delete(by_member(weighed, data_dir), place))
    asked = ("cat", "deletion", "1")
    priors = {task: dict.fromkeys(("KG", "1", "2", "3"), 0.5) for task in TASKS}
    scorer = Scorer(Published([Member(weighed, 4, 1.0)], weighed.voice, priors), precision="fp32")
    (score,) = scorer.score_batch([Answer(data_dir / "1.wav", *asked, given)])
    assert score == pytest.approx(scores[place], abs=1e-6)
    response, _ = soundfile.read(data_dir / "1.wav", dtype="float32")
    found = localize(weighed, *asked, response, lambda _: pytest.fail("a reference"), pronunciation=given)
    assert found.probability == pytest.approx(scores[place], abs=1e-5)


def test_processes_that_load_audio_hand_over_the_phones(data_dir: Path, weighed: Checkpoint) -> None:
    table, device = read_training_table(data_dir), torch.device("cpu")
    apart = score_clips([Member(weighed, 4, 1.0)], table, data_dir, {}, device, "fp32", 2)
    np.testing.assert_array_equal(apart, by_member(weighed, data_dir))


def test_the_batch_changes_no_score(data_dir: Path, weighed: Checkpoint) -> None:
    table = read_training_table(data_dir)
    member, device = [Member(weighed, 4, 1.0)], torch.device("cpu")
    alone = [score_clips(member, table[at : at + 1], data_dir, {}, device, "fp32", 0)[0] for at in range(len(table))]
    np.testing.assert_allclose(by_member(weighed, data_dir), alone, atol=1e-6)


def test_a_published_one_scores_the_same(tmp_path: Path, data_dir: Path, weighed: Checkpoint) -> None:
    priors = {task: dict.fromkeys(("KG", "1", "2", "3"), 0.5) for task in TASKS}
    (tmp_path / "folder").mkdir()
    write_published(tmp_path / "folder", Published([Member(weighed, 4, 1.0)], weighed.voice, priors), "a card")
    (member,) = read_published(tmp_path / "folder").members
    np.testing.assert_allclose(by_member(member.checkpoint, data_dir), by_member(weighed, data_dir), atol=1e-6)
    scorer = Scorer.from_pretrained(tmp_path / "folder", precision="fp32")
    one = scorer.score(data_dir / "1.wav", "cat", "deletion", "1")
    assert one == pytest.approx(by_member(weighed, data_dir)[1], abs=1e-6)


def test_without_espeak_nothing_is_scored_as_if_it_were_there(
    monkeypatch: pytest.MonkeyPatch, data_dir: Path, weighed: Checkpoint
) -> None:
    def missing(utterances: tuple[str, ...]) -> None:
        raise InputError("espeak-ng is not installed")

    monkeypatch.setattr(readings, "accepted_readings", missing)
    with pytest.raises(InputError, match="espeak-ng"):
        by_member(weighed, data_dir)


def test_a_missing_espeak_is_told_before_recordings_are_read(
    monkeypatch: pytest.MonkeyPatch, weighed: Checkpoint, folds: list[Checkpoint]
) -> None:
    def missing(utterance: str) -> None:
        raise InputError("espeak-ng is not installed")

    monkeypatch.setattr(texts, "read_words", missing)
    assert refused_texts([Member(folds[0], 4, 1.0)], ["cat"]) == {}
    with pytest.raises(InputError, match="espeak-ng"):
        refused_texts([Member(weighed, 4, 1.0)], ["cat"])


@pytest.mark.parametrize("names", [list(PHONE_CLASSES[::-1]), list(PHONE_CLASSES[:-1])])
def test_phones_of_another_inventory_are_not_taken_for_these(weighed: Checkpoint, names: list[str]) -> None:
    """A text's are told by their places."""
    with pytest.raises(InputError, match="phones"):
        check_weights(replace(weighed, encoder={**weighed.encoder, "phones": names}))
    check_weights(weighed)


def test_a_mean_of_folds_forgets_weights_too(folds: list[Checkpoint]) -> None:
    weights = np.ones((len(TASKS), 1 + weigh_phones.N_EVIDENCE))
    whole = average([weigh_phones.weighed(fold, weights, np.zeros(len(TASKS))) for fold in folds])
    assert not [name for name in whole.weights if name.startswith("phone_")]
    assert not whole.encoder.keys() & {"phones", "phone_classes", "weighs_phones"}


def test_what_tells_no_phones_or_has_other_clips_is_refused(
    encoder_dir: Path, data_dir: Path, folds: list[Checkpoint]
) -> None:
    with pytest.raises(InputError, match=r"teach_phones\.py"):
        weigh_phones.check_tells_phones(trained_checkpoint(encoder_dir, "taughtmodel"))
    aligned = replace(folds[0], recipe=load("aligntiny"))  # tells phones, but is no verifier
    with pytest.raises(InputError, match=r"teach_phones\.py"):
        weigh_phones.check_tells_phones(aligned)
    table = pd.DataFrame(read_training_table(data_dir)).set_index("filename", drop=False)[2:]
    with pytest.raises(InputError, match="lacks 2 of the clips"):
        weigh_phones.read_evidence(folds[0], table, data_dir, torch.device("cpu"))
