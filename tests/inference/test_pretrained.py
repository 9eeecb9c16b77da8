"""Published models: the same scores as infer.py's, one line to load, nothing pickled, nothing changed unnoticed.

Run: .venv/bin/python -m pytest tests/inference/test_pretrained.py
"""

import json
import shutil
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from fakes import (
    INFER,
    NO_ANSWERS,
    Script,
    made_correction,
    priors,
    read_reasons,
    read_rows,
    set_cell,
    snapshot,
    trained_checkpoint,
)
from safetensors.torch import load_file, save_file

from models.base.files import sha256_of_file
from models.clips.tables import read_test_table
from models.ensemble.checkpoint import load_checkpoint, save_checkpoint
from models.ensemble.config import EnsembleConfig, ModelEntry, read_config, write_config
from models.ensemble.source import EnsembleSource
from models.errors import InputError
from models.inference.answers import Answer
from models.inference.hearing import PartlyHeard
from models.inference.origins import given_pronunciations
from models.inference.published import CONFIG_FILE
from models.inference.published_references import CACHE_VARIABLE
from models.inference.scorer import Scorer
from models.inference.scoring import Member
from models.speech.arpabet import parse_phones
from models.speech.options import VoiceOptions
from models.speech.pronunciation_table import leave_beside
from models.speech.references import read_identity, reference_path

PUBLISH = "publish.py"


@pytest.fixture(scope="session")
def blended(prepared: Path, encoder_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Beside `prepared`'s joint model an aligned and a matched one, of other weights, and one of no weight."""
    folder = tmp_path_factory.mktemp("blended")
    shutil.copytree(prepared, folder, dirs_exist_ok=True)
    config = read_config(folder / "model_configs.pkl")
    entries = [replace(config.models[0], weight=0.5)]
    for name, weight in (("alignsmall", 0.2), ("verifymodel", 0.1), ("matchedmodel", 0.2), ("model3mb", 0.0)):
        paths = [f"assets/{name}_{fold}.pth" for fold in range(2)]
        for fold, path in enumerate(paths):
            made = trained_checkpoint(encoder_dir, name, fold)
            save_checkpoint(folder / path, replace(made, voice=config.voice, n_folds=2))
        checksums = [sha256_of_file(folder / path) for path in paths]
        entries.append(ModelEntry(name, weight, paths, [0, 1], checksums, 4.0, 4))
    write_config(folder / "model_configs.pkl", EnsembleConfig(2, config.voice, "data", priors(), entries))
    return folder


@pytest.fixture
def work(blended: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to damage, and the current folder; references that are spoken on demand go into its `cache`."""
    folder = tmp_path / "work"
    shutil.copytree(blended, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv(CACHE_VARIABLE, str(folder / "cache"))
    return folder


@pytest.fixture(scope="session")
def pristine(blended: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pristine") / "published"
    scorer = Scorer.from_config(str(blended / "model_configs.pkl"), str(blended / "tts_data"), device="cpu")
    scorer.save_pretrained(folder)
    return folder


@pytest.fixture
def published(pristine: Path, work: Path) -> Path:
    """A published folder to damage, in the current folder."""
    shutil.copytree(pristine, work / "published")
    return work / "published"


def answers(folder: Path) -> list[Answer]:
    table = read_test_table(folder / "data")
    rows = zip(table["filename"], table["expected_text"], table["task"], table["grade"], strict=True)
    return [Answer(folder / "data" / name, text, task, grade) for name, text, task, grade in rows]


def load(folder: Path, **options: object) -> Scorer:
    return Scorer.from_pretrained(folder, device="cpu", precision="fp32", **options)


@pytest.mark.slow
def test_scores_are_those_of_infer(script: Script, work: Path) -> None:
    """As a batch, clip by clip, as waveforms; from the published folder and from the configuration."""
    assert script(INFER, "--precision", "fp32").code == 0
    assert script(PUBLISH).code == 0
    wanted = pd.read_csv("submission.csv")["score"].to_numpy()
    shutil.rmtree("assets")  # what was published stands alone
    scorer = load(work / "published")
    np.testing.assert_allclose(scorer.score_batch(answers(work)), wanted, rtol=0, atol=1e-6)
    for answer, score in list(zip(answers(work), wanted, strict=True))[:3]:
        context = (answer.text, answer.task, answer.grade)
        assert scorer.score(answer.audio, *context) == pytest.approx(score, abs=1e-6)
        waveform, rate_hz = soundfile.read(answer.audio, dtype="float32")
        assert scorer.score(waveform, *context) == pytest.approx(score, abs=1e-6)
        assert rate_hz == 16_000
    assert len(scorer.published.members) == 8  # a model of no weight is not published
    assert np.ptp(wanted) > 0.001  # or everything would be equal


@pytest.mark.slow
def test_what_was_given_as_texts_were_spoken_counts_for_infer_too(script: Script, work: Path) -> None:
    """Of a published folder; what is given beside the references that are asked for comes first."""
    first = answers(work)[0]
    key, other = (first.task, first.text), "B OY " * len(first.text.split())
    leave_beside(work / "tts_data", {key: (parse_phones(other),)})
    assert script(PUBLISH).code == 0
    usual = script(INFER, "--model", "published", "--tts_dir", "elsewhere", "--precision", "fp32")
    assert usual.code == 0, usual.output
    wanted = load(work / "published").score_batch(answers(work))
    np.testing.assert_allclose(pd.read_csv("submission.csv")["score"], wanted, rtol=0, atol=1e-6)
    source = EnsembleSource(Path(), (), work / "published")
    assert given_pronunciations(source, work / "elsewhere") == {key: (parse_phones(other),)}
    again = (parse_phones(other.replace("OY", "IY")),)
    leave_beside(work / "elsewhere", {key: again})
    assert given_pronunciations(source, work / "elsewhere") == {key: again}


@pytest.mark.slow
def test_corrected_scores_are_the_same_everywhere(script: Script, work: Path) -> None:
    """By infer.py, from the configuration, from the published folder; and of texts that the table does not know."""
    config = read_config(work / "model_configs.pkl")
    names = [entry.name for entry in config.models if entry.weight > 0]
    correction = made_correction(names, read_test_table(work / "data"))
    plain = Scorer.from_config(work / "model_configs.pkl", work / "tts_data", device="cpu", precision="fp32")
    write_config(work / "model_configs.pkl", replace(config, correction=correction))
    assert script(INFER, "--precision", "fp32").code == 0
    wanted = pd.read_csv("submission.csv")["score"].to_numpy()
    assert script(PUBLISH).code == 0
    fitted = Scorer.from_config(work / "model_configs.pkl", work / "tts_data", device="cpu", precision="fp32")
    for scorer in (fitted, load(work / "published")):
        np.testing.assert_allclose(scorer.score_batch(answers(work)), wanted, rtol=0, atol=1e-6)
    assert np.abs(plain.score_batch(answers(work)) - wanted).min() > 1e-3
    load(work / "published").save_pretrained(work / "again", (work / "published/README.md").read_text())
    assert snapshot(work / "again") == snapshot(work / "published")


def test_waveforms_of_another_rate(published: Path) -> None:
    scorer, rng = load(published), np.random.default_rng(0)
    waveform = (0.1 * rng.standard_normal(22_050)).astype(np.float32)
    soundfile.write("clip.wav", waveform, 44_100, subtype="FLOAT")
    score = scorer.score(waveform, "old", "deletion", "KG", sample_rate_hz=44_100)
    assert score == pytest.approx(scorer.score("clip.wav", "old", "deletion", "KG"), abs=1e-6)


@pytest.mark.slow
def test_what_is_loaded_saves_as_the_same_bytes(script: Script, work: Path) -> None:
    assert script(PUBLISH).code == 0
    load(work / "published").save_pretrained(work / "again", (work / "published/README.md").read_text())
    assert snapshot(work / "again") == snapshot(work / "published")
    assert script(PUBLISH, "--output_dir", "third", "--name", "published").code == 0
    assert snapshot(work / "third") == snapshot(work / "published")


@pytest.mark.skipif(
    torch.__version__.startswith("2.4"), reason="torch below 2.6 reads no checkpoint without a checksum"
)
def test_one_checkpoint_alone(script: Script, work: Path) -> None:
    file = work / "assets/model2s_1.pth"
    assert script(PUBLISH, "--checkpoints", file).code == 0
    alone = Scorer.from_checkpoints([file], work / "tts_data", device="cpu", precision="fp32")
    wanted = alone.score_batch(answers(work))
    np.testing.assert_allclose(load(work / "published").score_batch(answers(work)), wanted, rtol=0, atol=1e-6)
    assert {path.name for path in (work / "published").glob("*.safetensors")} == {"model2s_1.safetensors"}


@pytest.mark.slow
def test_nothing_is_pickled_and_nothing_tells_of_clips_or_places(script: Script, work: Path) -> None:
    """No file name of a training clip, and no path of the machine that it was published on."""
    for path in work.glob("assets/*.pth"):
        checkpoint = load_checkpoint(path, sha256_of_file(path))
        options = {"groups": str(work / "secret_place/groups.csv"), "data_dir": str(work)}
        save_checkpoint(
            path, replace(checkpoint, options=options, recipe=replace(checkpoint.recipe, encoder=str(work / "enc")))
        )
    config = read_config(work / "model_configs.pkl")
    entries = [replace(entry, sha256=[sha256_of_file(work / path) for path in entry.paths]) for entry in config.models]
    write_config(work / "model_configs.pkl", replace(config, models=entries))
    assert script(PUBLISH).code == 0
    kinds = {path.suffix for path in (work / "published").rglob("*") if path.is_file()}
    assert kinds == {".json", ".md", ".safetensors", ".wav", ".csv"}
    text = (work / "published/config.json").read_text() + (work / "published/README.md").read_text()
    assert str(work) not in text
    assert "secret_place" not in text
    file = work / "assets/model2s_0.pth"
    assert not any(f'"{name}"' in text for name in load_checkpoint(file, sha256_of_file(file)).oof.filenames)


def test_whoever_may_read_the_card_may_read_the_weights(pristine: Path) -> None:
    modes = {path.stat().st_mode for path in pristine.rglob("*") if path.is_file()}
    assert len(modes) == 1


@pytest.mark.slow
def test_folds_per_model_are_spread_as_infer_does(script: Script, work: Path) -> None:
    assert script(INFER, "--precision", "fp32", "--folds_per_model", 1).code == 0
    assert script(PUBLISH, "--folds_per_model", 1).code == 0
    scorer = load(work / "published")
    assert len(scorer.published.members) == 4
    wanted = pd.read_csv("submission.csv")["score"]
    np.testing.assert_allclose(scorer.score_batch(answers(work)), wanted, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_references_are_published_or_spoken_on_demand(script: Script, work: Path) -> None:
    assert script(PUBLISH).code == 0
    assert script(PUBLISH, "--no_references", "--output_dir", "bare").code == 0
    with_references, bare = load(work / "published"), load(work / "bare")
    wanted = with_references.score_batch(answers(work))
    assert not (work / "cache").exists()
    np.testing.assert_array_equal(bare.score_batch(answers(work)), wanted)
    assert not (work / "bare/references").exists()
    with_references.score(answers(work)[0].audio, "a text that was never spoken", "sentence_repetition", "2")
    assert len(list((work / "cache").rglob("*.wav"))) == len({answer.text for answer in answers(work)}) + 1


@pytest.mark.slow
def test_another_voice_is_refused(script: Script, work: Path) -> None:
    """In the folder of references at publishing, in the published folder, in the cache, and as the voice that should speak."""
    clip = answers(work)[0].audio
    for folder in ("tts_data", "published/references"):
        if folder.startswith("published"):
            assert script(PUBLISH).code == 0
        voice = work / folder / "voice.json"
        before = voice.read_text()
        voice.write_text(json.dumps({**json.loads(before), "speed": 1.3}))
        if folder == "tts_data":
            outcome = script(PUBLISH)
            assert (outcome.code, "another voice" in outcome.error) == (1, True)
            assert not (work / "published").exists()
        else:
            with pytest.raises(InputError, match="another voice"):
                load(work / "published")
        voice.write_text(before)
    other = load(work / "published", voice=VoiceOptions("espeak", speed=1.2))
    with pytest.raises(InputError, match="is not engine espeak-ng"):
        other.score(clip, "new words", "sentence_repetition", "1")
    cache = work / "taken"
    shutil.copytree(work / "tts_data", cache)
    (cache / "voice.json").write_text(json.dumps({**read_identity(cache), "speed": 1.3}))
    with pytest.raises(InputError, match="another voice"):
        load(work / "published", cache_dir=cache).score(clip, "new words", "sentence_repetition", "1")


def swap_bytes(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-8] + bytes(reversed(content[-8:])) + b"x")


def change_config(change: Callable[[dict], object]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        content = json.loads((folder / CONFIG_FILE).read_text())
        change(content)
        (folder / CONFIG_FILE).write_text(json.dumps(content))

    return apply


def nan_weights(folder: Path) -> None:
    path = folder / "model2s_0.safetensors"
    weights = load_file(path)
    weights["encoder.conv1.weight"] = torch.full_like(weights["encoder.conv1.weight"], torch.nan)
    save_file(weights, path)
    change_config(lambda config: config["members"][0].update(sha256=sha256_of_file(path)))(folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "mentions"),
    [
        (lambda folder: swap_bytes(folder / "model2s_1.safetensors"), r"model2s_1\.safetensors.*checksum"),
        (lambda folder: (folder / "model2s_1.safetensors").unlink(), r"model2s_1\.safetensors.*missing"),
        (lambda folder: (folder / CONFIG_FILE).unlink(), r"config\.json.*missing"),
        (lambda folder: (folder / CONFIG_FILE).write_text("{"), "not JSON"),
        (lambda folder: (folder / CONFIG_FILE).write_text("[]"), "not a published model"),
        (change_config(lambda config: config.update(format="other 1")), "not a published model"),
        (change_config(lambda config: config.pop("priors")), "not complete"),
        (change_config(lambda config: config["members"][0].update(share=0.9)), "sum to"),
        (change_config(lambda config: config["members"][0].update(fold="../../etc")), "fold"),
        (change_config(lambda config: config["members"][0]["recipe"].update(name="../up")), "name"),
        (change_config(lambda config: config["members"][0]["recipe"].update(head="hidden-7")), "weights do not fit"),
        (change_config(lambda config: config["members"][0].update(n_folds=2, batch_size=0)), "batch_size"),
        (change_config(lambda config: config["members"].append(config["members"][0])), "sum to"),
        (nan_weights, "not finite"),
    ],
)
def test_damage_is_named(script: Script, work: Path, damage: Callable[[Path], object], mentions: str) -> None:
    assert script(PUBLISH).code == 0
    damage(work / "published")
    with pytest.raises(InputError, match=mentions):
        load(work / "published")


def test_a_changed_reference_is_not_used(published: Path, work: Path) -> None:
    scorer, answer = load(published), answers(work)[0]
    file = reference_path(published / "references", scorer.published.voice, answer.text)
    other = next(path for path in file.parent.glob("*.wav") if path != file)
    shutil.copyfile(other, file)
    with pytest.raises(InputError, match="not the file that was published"):
        scorer.score(answer.audio, answer.text, answer.task, answer.grade)


@pytest.mark.parametrize(("lies", "named"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_file_is_found_whose_name_looks_the_same(work: Path, lies: str, named: str) -> None:
    first = answers(work)[0]
    shutil.copy(first.audio, work / "data" / unicodedata.normalize(lies, "né.wav"))
    scorer = Scorer.from_config(work / "model_configs.pkl", work / "tts_data", device="cpu")
    other = replace(first, audio=work / "data" / unicodedata.normalize(named, "né.wav"))
    one, again = scorer.score_batch([first, other])
    assert one == pytest.approx(again, abs=1e-6)


def test_accents_of_an_answer_s_text_are_composed() -> None:
    """For voices and tokenizers alike."""
    composed, apart = (unicodedata.normalize(form, "a café") for form in ("NFC", "NFD"))
    assert Answer("a.wav", apart, "sentence_repetition", "1") == Answer("a.wav", composed, "sentence_repetition", "1")


@pytest.mark.parametrize(
    ("changes", "mentions"),
    [
        ({"task": "singing"}, "task 'singing'"),
        ({"grade": "4"}, "grade '4'"),
        ({"text": "  "}, "must not be empty"),
        ({"text": "it\udc92s"}, "not UTF-8"),
        ({"audio": "nowhere.wav"}, r"nowhere\.wav: no such audio file"),
        ({"audio": np.zeros((2, 100), np.float32)}, "one channel"),
        ({"audio": np.zeros(0, np.float32)}, "at least one sample"),
        ({"audio": np.zeros(100, np.int16)}, "divide 16-bit"),
        ({"audio": np.full(1000, 9000.0)}, "reach 9000.*divide"),
        ({"audio": np.full(1000, 1e300)}, "reach 1e.300"),
        *(({"audio": waveform}, "record it again") for waveform in NO_ANSWERS.values()),
        ({"audio": np.full(100, np.nan, np.float32)}, "NaN"),
    ],
)
def test_wrong_questions_are_answered_by_name(work: Path, changes: dict, mentions: str) -> None:
    scorer = Scorer.from_config(work / "model_configs.pkl", work / "tts_data", device="cpu")
    right = answers(work)[0]
    with pytest.raises(InputError, match=mentions):
        scorer.score_batch([right, replace(right, **changes)])
    assert len(scorer.score_batch([])) == 0


def test_a_file_that_is_no_answer_is_named(work: Path) -> None:
    scorer = Scorer.from_config(work / "model_configs.pkl", work / "tts_data", device="cpu")
    soundfile.write("silent.wav", NO_ANSWERS["silence"], 16_000)
    with pytest.raises(InputError, match=r"silent\.wav.*record it again"):
        scorer.score("silent.wav", "old", "deletion", "KG")


def test_what_is_not_heard_is_told(work: Path) -> None:
    """By all members of 4 s: some hear the response alone."""
    scorer = Scorer.from_config(work / "model_configs.pkl", work / "tts_data", device="cpu")
    long = (0.1 * np.random.default_rng(0).standard_normal(16_000 * 5)).astype(np.float32)
    with pytest.warns(PartlyHeard, match=r"recording's 5\.0 s"):
        scorer.score(long, "old", "deletion", "KG")
    text = "she has a red hat and he has a blue coat and they go to the big house on the hill"
    with pytest.warns(PartlyHeard, match="hear nothing of the answer"):
        mixed = scorer.score(long[:16_000], text, "sentence_repetition", "1")
    listening = [member for member in scorer.published.members if member.checkpoint.recipe.layout in ("apart", "text")]
    alone = Scorer(replace(scorer.published, members=_sharing_all(listening)), "cpu")
    with pytest.warns(PartlyHeard, match="reference's"):
        assert mixed == pytest.approx(alone.score(long[:16_000], text, "sentence_repetition", "1"), abs=1e-6)
    deaf = [member for member in scorer.published.members if member not in listening]
    with pytest.raises(InputError, match="nothing of the answer is heard"):
        Scorer(replace(scorer.published, members=deaf), "cpu").score(long, text, "sentence_repetition", "1")


def _sharing_all(members: list[Member]) -> list[Member]:
    whole = sum(member.share for member in members)
    return [replace(member, share=member.share / whole) for member in members]


@pytest.mark.slow
def test_a_folder_that_holds_something_is_left_alone(script: Script, work: Path) -> None:
    (work / "full").mkdir()
    (work / "full/thesis.txt").write_text("years of work")
    before = snapshot(work / "full")
    outcome = script(PUBLISH, "--output_dir", "full")
    assert (outcome.code, "not empty" in outcome.error) == (1, True)
    assert snapshot(work / "full") == before
    (work / "empty").mkdir()
    assert script(PUBLISH, "--output_dir", "empty").code == 0
    assert (work / "empty/config.json").is_file()
    assert not list(work.glob(".*.tmp"))


def test_progress_is_told_to_the_end(work: Path) -> None:
    scorer = Scorer.from_config(work / "model_configs.pkl", work / "tts_data", device="cpu", precision="fp32")
    told: list[tuple[int, int]] = []
    scorer.score_batch(answers(work), on_progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (64, 64)  # 8 clips, 8 networks
    assert [done for done, _ in told] == sorted({done for done, _ in told})


@pytest.mark.parametrize("source", ["./nowhere", "/no/where", "nowhere", "a/b/c"])
def test_folders_that_are_not_there(source: str) -> None:
    with pytest.raises(InputError, match="no such folder"):
        Scorer.from_pretrained(source)


def test_offline_the_hub_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """HF_HUB_OFFLINE is set for all tests."""

    def connect(*_: object) -> None:
        pytest.fail("a connection is made")

    monkeypatch.setattr("socket.socket.connect", connect)
    with pytest.raises(
        InputError, match=r"no such folder here.*\n.*hf download nobody/no-such-model --local-dir no-such-model"
    ):
        Scorer.from_pretrained("nobody/no-such-model")


def test_from_the_hub(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked of the hub, and that what it gives is loaded."""
    asked: list[tuple[str, object]] = []

    def download(repo_id: str, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append((repo_id, revision))
        assert not any(
            pattern.endswith((".py", ".pkl", "*")) and pattern != "references/*" for pattern in allow_patterns
        )
        return str(published)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    scorer = Scorer.from_pretrained("some/model", revision="v1", device="cpu")
    assert asked == [("some/model", "v1")]
    assert len(scorer.published.members) == 8


@pytest.mark.slow
def test_a_text_that_a_verifier_can_not_read_is_listed(script: Script, work: Path) -> None:
    """And has the prior of its task and grade; the other clips are scored."""
    set_cell(work / "data" / "test_metadata.csv", 2, "expected_text", "naïve")
    assert script(INFER).code == 0
    ((_, _, reason),) = read_reasons(work / "submission.csv.problems.csv")
    assert "'naïve' holds signs that the model's tokenizer does not know" in reason


def test_verifiers_alone_need_no_voice(script: Script, work: Path) -> None:
    """They read the text: there need be no references, and what an older version had spoken does not concern them."""
    config = read_config(work / "model_configs.pkl")
    (entry,) = (replace(entry, weight=1.0) for entry in config.models if entry.name == "verifymodel")
    old = dict.fromkeys(read_test_table(work / "data")["expected_text"], "0" * 64)
    write_config(work / "model_configs.pkl", replace(config, models=[entry], references=old))
    shutil.rmtree(work / "tts_data")
    outcome = script(INFER, "--precision", "fp32")
    assert outcome.code == 0, outcome.error
    assert not (work / "tts_data").exists()
    scores = [float(score) for _, score in read_rows(work / "submission.csv")[1:]]
    scorer = Scorer.from_config(work / "model_configs.pkl", device="cpu", precision="fp32")
    rows = read_test_table(work / "data").itertuples()
    answers = [Answer(work / "data" / row.filename, row.expected_text, row.task, row.grade) for row in rows]
    np.testing.assert_allclose(scorer.score_batch(answers), scores, atol=1e-6)
    assert not (work / "cache").exists()
