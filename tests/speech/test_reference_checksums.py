"""Models are only asked with the references that they were trained with: another file for the same text is refused.

Run: .venv/bin/python -m pytest tests/speech/test_reference_checksums.py
"""

import json
import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile
import torch
from fakes import INFER, OLD_TORCH, TRAIN, Script, change, checkpoints, read_rows, reference, snapshot

from models.base.files import read_whole, sha256_of_file
from models.clips.tables import read_training_table, utterances
from models.ensemble.blend import gather_references
from models.ensemble.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from models.ensemble.config import read_config, write_config
from models.errors import InputError
from models.inference.scorer import Scorer
from models.inference.scoring import load_members
from models.report.checks import find_faulty_folds
from models.speech.references import References

needs_new_torch = pytest.mark.skipif(OLD_TORCH, reason="reads checkpoints without their checksums: needs torch 2.6")


def set_known(work: Path, **changes: str) -> dict[str, str]:
    """Let the configuration know the references as they are, but for `changes`; returns what it knows."""
    said = utterances(read_training_table(work / "data"))
    known = {**References(work / "tts_data").checksums(said), **changes}
    config = read_config(work / "model_configs.pkl")
    write_config(work / "model_configs.pkl", replace(config, references=known))
    return known


@pytest.fixture
def known(work: Path) -> dict[str, str]:
    return set_known(work)


# Which checkpoints belong together


def with_references(folder: Path, *known: dict[str, str]) -> dict[Path, Checkpoint]:
    """A model's folds that were trained with these references."""
    items = [replace(item, references=own) for item, own in zip(checkpoints(n_folds=len(known)), known, strict=True)]
    for item in items:
        save_checkpoint(folder / item.file_name, item)
    return {folder / item.file_name: item for item in items}


ONE, OTHER = {"cat": "0" * 64, "old": "1" * 64}, {"cat": "0" * 64, "old": "2" * 64}


def test_the_references_of_all_checkpoints(tmp_path: Path) -> None:
    found = with_references(tmp_path, ONE, {}, {"fox": "3" * 64})
    assert gather_references(found) == ONE | {"fox": "3" * 64}


@needs_new_torch
def test_checkpoints_of_different_references_make_no_ensemble(tmp_path: Path, work: Path, script: Script) -> None:
    with_references(tmp_path, ONE, ONE, OTHER)
    before = snapshot(work)
    outcome = script("get_config.py", "--assets_dir", tmp_path)
    assert outcome.code == 1
    for mention in ("model2s_0.pth", "model2s_2.pth", "'old'"):
        assert mention in outcome.error
    assert snapshot(work) == before


def test_check_models_names_the_one_of_other_references(tmp_path: Path) -> None:
    problems = find_faulty_folds(with_references(tmp_path, ONE, OTHER, ONE, {}), tmp_path)
    assert [(problem.file_name, problem.kind) for problem in problems] == [("model2s_1.pth", "stranger")]
    assert "'old'" in problems[0].what
    assert "--fold 1" in problems[0].command


@needs_new_torch
def test_the_configuration_knows_what_the_checkpoints_know(work: Path, script: Script) -> None:
    assets = work / "known"
    assets.mkdir()
    with_references(assets, ONE, ONE)
    assert script("get_config.py", "--assets_dir", assets, "--output", "known.pkl").code == 0
    assert read_config(work / "known.pkl").references == ONE


def test_a_checkpoint_of_other_references_than_the_configurations(work: Path) -> None:
    path = work / "assets" / "model2s_1.pth"
    config = read_config(work / "model_configs.pkl")
    (entry,) = config.models
    save_checkpoint(path, replace(load_checkpoint(path, entry.sha256[1]), references=OTHER))
    entry = replace(entry, sha256=[entry.sha256[0], sha256_of_file(path)])
    assert len(load_members(replace(config, models=[entry], references={"cat": "0" * 64}), work, None)) == 2
    with pytest.raises(InputError, match=r"model2s_1\.pth.*\(references: another of 'old'\)"):
        load_members(replace(config, models=[entry], references=ONE), work, None)


# Asking the models


def test_inference_refuses_a_changed_reference(
    work: Path, known: dict[str, str], script: Script, refused: Callable[..., str]
) -> None:
    path = reference(work / "tts_data", "old")
    change(path)
    refused(INFER, mentions=(path.name, "'old'", f"1 of the {len(TEST_TEXTS)}", "tts_data", "delete"))
    change(reference(work / "tts_data", "cat"))
    refused(INFER, mentions=(f"2 of the {len(TEST_TEXTS)}",))


TEST_TEXTS = {"old", "cat", "teevog", "we like to play", "eat", "fox", "huhmeyf", "she has a red hat"}


def test_a_deleted_reference_is_spoken_again(work: Path, known: dict[str, str], script: Script) -> None:
    """As the message about a changed one says."""
    assert script(INFER).code == 0
    before = read_rows(work / "submission.csv")
    path = reference(work / "tts_data", "old")
    path.unlink()
    outcome = script(INFER)
    assert outcome.code == 0, outcome.error
    assert read_rows(work / "submission.csv") == before
    assert sha256_of_file(path) == known["old"]


def test_a_voice_that_speaks_otherwise_is_told(work: Path, script: Script) -> None:
    """As another build of it does. What it has spoken is not left behind."""
    set_known(work, old="0" * 64)
    reference(work / "tts_data", "old").unlink()
    outcome = script(INFER)
    assert outcome.code == 1
    assert "otherwise" in outcome.error
    assert "'old'" in outcome.error
    assert not reference(work / "tts_data", "old").exists()
    assert not (work / "submission.csv").exists()


def test_references_that_are_not_known_are_not_compared(work: Path, script: Script) -> None:
    """Nor are texts that training did not have."""
    known = set_known(work)
    config = read_config(work / "model_configs.pkl")
    known.pop("old")
    write_config(work / "model_configs.pkl", replace(config, references=known))
    change(reference(work / "tts_data", "old"))
    assert script(INFER).code == 0


def test_localisation_refuses_a_changed_reference(aligned_work: Path, script: Script) -> None:
    work = aligned_work
    path = work / "assets" / "alignmodel_0.pth"
    config = read_config(work / "model_configs.pkl")
    checkpoint = load_checkpoint(path, config.models[0].sha256[0])
    save_checkpoint(path, replace(checkpoint, references=set_known(work)))
    entry = replace(config.models[0], sha256=[sha256_of_file(path), config.models[0].sha256[1]])
    write_config(work / "model_configs.pkl", replace(config, models=[entry]))
    change(reference(work / "tts_data", "old"))
    outcome = script("localize.py", "--audio", "data/test0.wav", "--text", "old")
    assert outcome.code == 1
    assert "'old'" in outcome.error
    assert not (work / "localized").exists()


def test_packing_refuses_a_changed_reference(work: Path, known: dict[str, str], refused: Callable[..., str]) -> None:
    change(reference(work / "tts_data", "old"))
    refused("pack_submission.py", mentions=("'old'", "tts_data"))


def test_packing_leaves_nothing_to_speak_that_the_models_know(
    work: Path, known: dict[str, str], script: Script
) -> None:
    """Where the submission runs, the voice could speak otherwise, and that would be refused."""
    import zipfile

    reference(work / "tts_data", "kerbohfim{K ER B OW F IH M}").unlink()  # a training text that no test clip has
    (work / "tts_data" / "data_paths.csv").write_text("path,text\n")
    assert script("pack_submission.py").code == 0
    with zipfile.ZipFile(work / "submission.zip") as archive:
        packed = set(archive.namelist())
    assert {f"tts_data/{reference(work / 'tts_data', text).name}" for text in known} <= packed


@pytest.mark.slow
def test_publishing_and_the_page_refuse_a_changed_reference(work: Path, known: dict[str, str], script: Script) -> None:
    scorer = Scorer.from_config(work / "model_configs.pkl", work / "tts_data", device="cpu")
    assert scorer.score(work / "data" / "test0.wav", "old", "deletion", "KG") > 0
    change(reference(work / "tts_data", "old"))
    with pytest.raises(InputError, match="'old'"):
        scorer.score(work / "data" / "test0.wav", "old", "deletion", "KG")
    outcome = script("publish.py", "--license", "mit")
    assert outcome.code == 1
    assert "'old'" in outcome.error
    assert not (work / "published").exists()


def test_references_spoken_on_demand_are_those_of_training(work: Path, tmp_path: Path) -> None:
    set_known(work, old="0" * 64)
    scorer = Scorer.from_config(work / "model_configs.pkl", None, device="cpu", cache_dir=tmp_path / "cache")
    assert scorer.score(work / "data" / "test0.wav", "cat", "deletion", "KG") > 0
    with pytest.raises(InputError, match="otherwise"):
        scorer.score(work / "data" / "test0.wav", "old", "deletion", "KG")


def test_a_text_that_can_not_be_spoken_on_demand(work: Path, tmp_path: Path) -> None:
    scorer = Scorer.from_config(work / "model_configs.pkl", None, device="cpu", cache_dir=tmp_path / "cache")
    with pytest.raises(InputError, match=r"\?!"):
        scorer.score(work / "data" / "test0.wav", "?!", "deletion", "KG")


@pytest.mark.parametrize("tts_dir", ["tts_data", None])
def test_a_published_folder_tells_no_text_of_training(tts_dir: str | None, work: Path, known: dict[str, str]) -> None:
    scorer = Scorer.from_config(work / "model_configs.pkl", tts_dir and work / tts_dir, device="cpu")
    scorer.save_pretrained(work / "published")
    content = (work / "published" / "config.json").read_text()
    assert "she has a red hat" not in content
    assert bool(json.loads(content)["references"]) == (tts_dir is not None)


# Folders of strangers


@pytest.mark.parametrize("name", [INFER, "pack_submission.py"])
def test_a_reference_that_lies_elsewhere_is_refused(
    name: str, work: Path, linked: Path, refused: Callable[..., str]
) -> None:
    refused(name, mentions=(linked.name, "link"))


@pytest.mark.slow
def test_a_reference_that_lies_elsewhere_is_not_published(work: Path, linked: Path, script: Script) -> None:
    outcome = script("publish.py", "--license", "mit")
    assert outcome.code == 1
    assert linked.name in outcome.error
    assert not (work / "published").exists()


def test_a_known_reference_may_lie_elsewhere(work: Path, known: dict[str, str], linked: Path, script: Script) -> None:
    """The hub's cache is made of links; the checksum tells that it is the right file."""
    assert script(INFER).code == 0
    scorer = Scorer.from_config(work / "model_configs.pkl", work / "tts_data", device="cpu")
    scorer.save_pretrained(work / "published")
    references, blobs = work / "published" / "references", work / "blobs"
    blobs.mkdir()
    for path in references.glob("*.wav"):
        path.rename(blobs / path.name)
        path.symlink_to(blobs / path.name)
    found = Scorer.from_pretrained(work / "published", device="cpu")
    clip = work / "data" / "test0.wav"
    assert found.score(clip, "old", "deletion", "KG") == pytest.approx(
        scorer.score(clip, "old", "deletion", "KG"), abs=1e-6
    )


@pytest.mark.slow
@pytest.mark.parametrize("what", ["device", "pipe", "huge"])
def test_what_is_no_reference_is_not_copied(what: str, work: Path, script: Script) -> None:
    """It would fill the disk, or never end."""
    path = work / "tts_data" / f"{'0' * 20}.wav"
    if what == "device":
        path.symlink_to("/dev/zero")
    elif what == "pipe":
        os.mkfifo(path)
    else:
        path.touch()
        os.truncate(path, 1 << 40)
    outcome = script("publish.py", "--license", "mit")
    assert outcome.code == (1 if what == "huge" else 0), outcome.error
    assert (
        path.name in outcome.error if what == "huge" else not (work / "published" / "references" / path.name).exists()
    )


@pytest.mark.parametrize(
    "name", ["model_configs.pkl", "tts_data/voice.json", "data/test_metadata.csv", "data/submission_format.csv"]
)
def test_a_huge_file_does_not_fill_the_memory(name: str, work: Path, refused: Callable[..., str]) -> None:
    os.truncate(work / name, 1 << 40)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("conftest.snapshot", lambda folder: {})  # it would read the file
        refused(INFER, mentions=(Path(name).name, "MB"))


# What strangers may have written

WRONG = [None, [], "x", {"cat": 1}, {1: "0" * 64}, {"cat": "0" * 63}, {"cat": "G" * 64}, {"\ud800": "0" * 64}]


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
def test_a_configuration_with_wrong_checksums(wrong: object, work: Path, refused: Callable[..., str]) -> None:
    content = pickle.loads((work / "model_configs.pkl").read_bytes())
    (work / "model_configs.pkl").write_bytes(pickle.dumps(content | {"references": wrong}))
    refused(INFER, mentions=("model_configs.pkl", "get_config.py"))


@pytest.mark.parametrize(
    "wrong", [1, None, "", "{", "[]", '{"cat": 1}', '{"cat": "00"}', "[" * 100_000, '{"\\ud800": "' + "0" * 64 + '"}']
)
def test_a_checkpoint_with_wrong_checksums(wrong: object, tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    save_checkpoint(path, checkpoints()[0])
    torch.save({**torch.load(path, weights_only=True), "references": wrong}, path)
    with pytest.raises(InputError, match=r"a\.pth"):
        load_checkpoint(path, sha256_of_file(path))


@pytest.mark.parametrize(
    "wrong",
    [
        {"fold": "0"}, {"n_folds": 2.0}, {"voice": []}, {"weights": [1]}, {"weights": {"w": 1}}, {"encoder": None},
        {"options": 1}, {"history": {}}, {"tries": [1]}, {"versions": []}, {"data_fingerprint": None},
    ],
    ids=str,
)  # fmt: skip
def test_a_checkpoint_with_a_field_of_another_type(wrong: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    save_checkpoint(path, checkpoints()[0])
    torch.save({**torch.load(path, weights_only=True), **wrong}, path)
    with pytest.raises(InputError, match=r"a\.pth"):
        load_checkpoint(path, sha256_of_file(path))


def test_checkpoints_and_configurations_without_checksums_are_read(tmp_path: Path, work: Path) -> None:
    path = tmp_path / "a.pth"
    save_checkpoint(path, replace(checkpoints()[0], references=ONE))
    content = torch.load(path, weights_only=True)
    assert load_checkpoint(path, sha256_of_file(path)).references == ONE
    content.pop("references")
    torch.save(content, path)
    assert load_checkpoint(path, sha256_of_file(path)).references == {}
    plain = pickle.loads((work / "model_configs.pkl").read_bytes())
    plain.pop("references")
    (work / "model_configs.pkl").write_bytes(pickle.dumps(plain))
    assert read_config(work / "model_configs.pkl").references == {}


@pytest.mark.slow
def test_inference_and_training_read_each_file_once(
    work: Path, known: dict[str, str], script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bytes that are hashed are those that are decoded, and the voice's file is looked at once."""
    read: list[str] = []

    def count(path: Path, most_bytes: int) -> bytes:
        read.append(path.name)
        return read_whole(path, most_bytes)

    def decode(file: object, *arguments: object, **options: object) -> soundfile.SoundFile:
        assert "tts_data" not in str(file)
        return original(file, *arguments, **options)

    original = soundfile.SoundFile
    monkeypatch.setattr("models.speech.references.read_whole", count)
    monkeypatch.setattr(soundfile, "SoundFile", decode)
    for name, *options in ((INFER,), (TRAIN, "--output_dir", "new")):
        read.clear()
        assert script(name, *options).code == 0
        assert len(read) == len(set(read)) > 8
        assert "voice.json" in read
