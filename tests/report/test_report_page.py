"""The report's page, end to end: it needs nothing from outside, runs nothing, and says what is missing.

Run: .venv/bin/python -m pytest tests/report/test_report_page.py
"""

import base64
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from fakes import ROOT, VOICE, Script, checkpoints, outside_data, recipe, tone

from models.clips.tables import fingerprint, read_training_table, utterances
from models.ensemble.blend import read_assets
from models.ensemble.bootstrap import Estimate
from models.ensemble.checkpoint import Checkpoint, OutOfFold, save_checkpoint
from models.errors import InputError
from models.report.content import Report, ReportOptions, gather_report
from models.report.page import interval, number, percent, render_page
from models.report.worst_clips import SoundBox
from models.speech.audio import write_wav
from models.speech.references import reference_path

VOID = {"meta", "br", "link", "img", "input", "hr"}
EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&"
HISTORY = [
    {"epoch": float(epoch), "train_loss": 0.5, "validation_log_loss": 0.4, "validation_auc": 0.9} for epoch in (1, 2)
]


class Page(HTMLParser):
    """The elements of a page, its text, and whether every element that opens closes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.source, self.elements, self.text, self.open = (
            text,
            list[tuple[str, dict[str, str | None]]](),
            "",
            list[str](),
        )
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def check_self_contained(page: Page) -> None:
    """Nothing is loaded and nothing runs; every link leads to an element of the page, and no two have the same id."""
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes in page.elements:
        assert tag not in ("script", "iframe", "object", "embed", "link", "base", "form", "img")
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href", "xlink:href", "srcset", "action", "data"):
                assert value is not None
                assert value.startswith("data:audio/") or value[1:] in ids
    assert "://" not in page.source
    assert "url(" not in page.source.replace("url(#", "")
    assert "@import" not in page.source
    policy = [item["content"] for item in page.all("meta") if item.get("http-equiv") == "Content-Security-Policy"]
    assert policy
    assert str(policy[0]).startswith("default-src 'none'")


def save_all(folder: Path, items: list[Checkpoint]) -> Path:
    for item in items:
        save_checkpoint(folder / item.file_name, item)
    return folder


def gathered(folder: Path, items: list[Checkpoint], **options: object) -> Report:
    save_all(folder, items)
    nowhere = {"data_dir": folder / "nowhere", "tts_dir": folder / "nowhere"}
    return gather_report(read_assets(folder), ReportOptions(folder, **{**nowhere, **options}))  # type: ignore[arg-type]


@pytest.fixture
def trained(tmp_path: Path, make_data: Callable[..., Path]) -> Path:
    """A folder with data, references and the checkpoints of two models trained on them, folds cut by speaker."""
    data_dir, tts_dir = make_data(train=48), tmp_path / "tts"
    table, rng = read_training_table(data_dir), np.random.default_rng(0)
    tts_dir.mkdir()
    (tts_dir / "voice.json").write_text(json.dumps(VOICE))
    for text in dict.fromkeys(utterances(table)):
        write_wav(reference_path(tts_dir, VOICE, text), tone(0.5, 300, rng))
    options = {"group_by": "speaker", "groups": str(data_dir / "train_source.csv")}
    for name in ("model2s", "model3mb"):
        for fold in range(2):
            own = table.iloc[fold::2]
            columns = (own[column].tolist() for column in ("filename", "task", "grade"))
            scores = np.clip(own["score"].to_numpy() + rng.normal(0, 0.5, len(own)), 0.02, 0.98)
            oof = OutOfFold(*columns, own["score"].to_numpy(), scores)
            weights = checkpoints()[0].weights
            item = Checkpoint(recipe(name), fold, 2, weights, {}, oof, VOICE, fingerprint(table), options, HISTORY, {})
            save_checkpoint(tmp_path / "assets" / item.file_name, item)
    return tmp_path


@pytest.fixture
def make_page(trained: Path, script: Script) -> Callable[..., tuple[Page, str]]:
    def make(*arguments: object, code: int = 0) -> tuple[Page, str]:
        folders = ["--assets_dir", trained / "assets", "--data_dir", trained / "data", "--tts_dir", trained / "tts"]
        outcome = script("check_models.py", *folders, "--report", trained / "report.html", *arguments)
        assert outcome.code == code, outcome.error
        page = Page((trained / "report.html").read_text(encoding="utf-8"))
        check_self_contained(page)
        return page, outcome.output

    return make


@pytest.mark.slow
def test_the_whole_page_from_the_command_line(trained: Path, make_page: Callable[..., tuple[Page, str]]) -> None:
    page, output = make_page("--worst_clips", 5)
    assert "4 checkpoints read, 0 problems" in output
    sections = {attributes.get("id") for attributes in page.all("section")}
    assert sections >= {
        "models",
        "folds",
        "calibration",
        "ensemble",
        "learning",
        "groups",
        "review",
        "noise",
        "worst",
        "method",
    }
    assert "get_config.py takes it" in page.text
    assert "stack, with items" in page.text
    assert "6 speakers" in page.text
    assert len(page.all("figure")) == len([item for item in page.all("figure") if item.get("aria-label")]) >= 12
    assert len(page.all("svg")) == len(page.all("figure"))
    assert [path.name for path in trained.iterdir() if path.suffix == ".tmp"] == []


@pytest.mark.slow
def test_sounds_are_those_of_the_clips_and_references(
    trained: Path, make_page: Callable[..., tuple[Page, str]]
) -> None:
    page, _ = make_page("--worst_clips", 4)
    players = page.all("audio")
    assert [item["aria-label"] for item in players] == ["response", "reference"] * 4
    lengths = []
    for item in players:
        content = base64.b64decode(str(item["src"]).partition("base64,")[2])
        samples, rate = soundfile.read(io.BytesIO(content))
        lengths.append(len(samples) / rate)
    assert lengths == pytest.approx([0.3, 0.5] * 4, abs=0.01)


@pytest.mark.slow
def test_without_audio_there_is_none(make_page: Callable[..., tuple[Page, str]]) -> None:
    assert make_page("--no_audio")[0].all("audio") == []
    page, _ = make_page("--worst_clips", 0)
    assert "worst" not in {attributes.get("id") for attributes in page.all("section")}


@pytest.mark.slow
def test_missing_broken_and_foreign_sounds_are_told(trained: Path, make_page: Callable[..., tuple[Page, str]]) -> None:
    names = sorted(path.name for path in (trained / "data").glob("train*.wav"))
    for index, name in enumerate(names):
        if index % 2:
            (trained / "data" / name).unlink()
        else:
            (trained / "data" / name).write_bytes(b"RIFF, but no sound")
    page, _ = make_page("--worst_clips", 48)
    assert {item["aria-label"] for item in page.all("audio")} == {"reference"}
    assert page.text.count("no such audio file") == page.text.count("not readable as audio") == 24
    other = pd.read_csv(trained / "data" / "train_labels.csv")
    other.assign(score=1 - other["score"]).to_csv(trained / "data" / "train_labels.csv", index=False)
    page, _ = make_page()
    assert page.all("audio") == []
    assert "not the data that these models were trained on" in page.text


def test_sounds_end_where_the_page_is_full(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", tone(1.0, 300, np.random.default_rng(0)))
    box = SoundBox(most_bytes=40_000)
    taken = [box.take(tmp_path / "a.wav") for _ in range(12)]
    held = [sound for sound in taken if sound.uri]
    assert 0 < len(held) < 12
    assert sum(len(base64.b64decode(str(sound.uri).partition(",")[2])) for sound in held) <= 40_000
    assert all(sound.note for sound in taken if sound.uri is None)


@pytest.mark.slow
def test_what_strangers_wrote_is_text_and_nothing_else(tmp_path: Path) -> None:
    """In file names, tasks, grades, groups, expected texts and the names of folders."""
    items = []
    for item in checkpoints(n_folds=2, clips_per_fold=60):
        names = [f"{index}{item.fold}{EVIL}.wav" for index in range(60)]
        tasks = [EVIL if index % 2 else "blending" for index in range(60)]
        grades = ["</svg><script>" if index % 3 else "KG \ud800" for index in range(60)]
        items.append(replace(item, oof=replace(item.oof, filenames=names, tasks=tasks, grades=grades)))
    groups = tmp_path / "groups.csv"
    rows = [(name, f"{EVIL}{index % 20}") for item in items for index, name in enumerate(item.oof.filenames)]
    pd.DataFrame(rows, columns=["filename", EVIL]).to_csv(groups, index=False)
    report = gathered(tmp_path, items, groups=groups, group_by=EVIL)
    assert report.evidence is not None
    worst = [replace(clip, text=EVIL) for clip in report.evidence.worst]
    page = Page(render_page(replace(report, evidence=replace(report.evidence, worst=worst))))
    check_self_contained(page)
    assert page.text.count(EVIL) > 50
    assert "</svg><script>" in page.text


def test_a_name_that_leads_out_of_the_folder_is_not_followed(tmp_path: Path, trained: Path) -> None:
    from models.report.worst_clips import ClipFiles, _sounds

    secret = trained / "secret.wav"
    write_wav(secret, tone(0.3, 300, np.random.default_rng(0)))
    files = ClipFiles(trained / "data", {"../secret.wav": "old"}, {"../secret.wav": "old"}, None, [])
    response, reference = _sounds("../secret.wav", "old", files, SoundBox())
    assert (response.uri, reference.uri) == (None, None)


@pytest.mark.slow
def test_a_missing_fold_leaves_its_model_out_of_the_blend(tmp_path: Path) -> None:
    whole, lacking = checkpoints(n_folds=3, clips_per_fold=60), checkpoints("model3mb", 3, 60, seed=1)[:2]
    report = gathered(tmp_path, [*whole, *lacking])
    assert report.evidence is not None
    assert report.evidence.is_blend
    assert [part.model for part in report.evidence.contributions] == ["model2s"]
    assert [(item.name, item.clips) for item in report.evidence.scores] == [
        ("blend", 180),
        ("model2s", 180),
        ("model3mb", 120),
    ]
    page = Page(render_page(report))
    check_self_contained(page)
    assert "model3mb_2.pth: missing" in page.text
    assert "Left out of the blend: model3mb" in page.text


@pytest.mark.slow
@pytest.mark.parametrize("models", [["model2s"], ["model2s", "model3mb"]])
def test_as_many_hints_of_noise_as_are_announced(tmp_path: Path, models: list[str]) -> None:
    """Where no text has clips enough there are two; and one model is not called all models, nor a blend."""
    items = [item for seed, name in enumerate(models) for item in checkpoints(name, 3, 60, seed=seed)]
    source = render_page(gathered(tmp_path, items, worst_clips=0))
    section = source.partition('<section id="noise">')[2].partition("</section>")[0]
    assert section.count("<li>") == 2
    assert "two hints" in section
    assert ("all models" in section) == ("the blend" in section) == (len(models) > 1)
    assert "clips below" not in section  # none is shown


@pytest.mark.slow
def test_without_a_complete_model_one_stands_in(tmp_path: Path) -> None:
    report = gathered(
        tmp_path, [*checkpoints(n_folds=3, clips_per_fold=60)[:1], *checkpoints("model3mb", 3, 60, seed=1)[:2]]
    )
    assert report.evidence is not None
    assert not report.evidence.is_blend
    assert report.evidence.scores[0].name == report.evidence.main.name == "model3mb"
    page = Page(render_page(report))
    check_self_contained(page)
    assert "There is no blend" in page.text
    assert "ensemble" not in {attributes.get("id") for attributes in page.all("section")}


def test_broken_checkpoints_alone_still_make_a_page(tmp_path: Path) -> None:
    (tmp_path / "model2s_0.pth").write_bytes(b"half")
    report = gathered(tmp_path, [])
    page = Page(render_page(report))
    check_self_contained(page)
    assert report.evidence is None
    assert "model2s_0.pth" in page.text


@pytest.mark.slow
def test_a_fold_that_stands_out_is_marked(tmp_path: Path) -> None:
    items = checkpoints(n_folds=5, clips_per_fold=300)
    items[2] = replace(items[2], oof=replace(items[2].oof, predictions=1 - items[2].oof.predictions))
    page = Page(render_page(gathered(tmp_path, items)))
    check_self_contained(page)
    assert len([item for item in page.all("tr") if item.get("class") == "marked"]) == 1
    assert "Standing out: model2s_2.pth" in str([item.get("aria-label") for item in page.all("figure")])


@pytest.mark.slow
@pytest.mark.parametrize("whole", [False, True])
def test_answers_of_one_kind_have_no_auc_and_still_a_page(tmp_path: Path, whole: bool) -> None:
    items = []
    for item in checkpoints(n_folds=2, clips_per_fold=80):
        alone = np.array([whole or task == "blending" for task in item.oof.tasks])
        items.append(replace(item, oof=replace(item.oof, labels=np.where(alone, 1.0, item.oof.labels))))
    report = gathered(tmp_path, items)
    assert report.evidence is not None
    tasks = {group.name: group for group in report.evidence.parts[0].groups}
    assert np.isnan(tasks["blending"].figures["auc"].value)
    assert np.isnan(tasks["deletion"].figures["auc"].value) == whole
    page = Page(render_page(report))
    check_self_contained(page)
    assert "nan" not in page.text.lower()


@pytest.mark.slow
def test_a_single_task_and_grade_leave_nothing_to_compare(tmp_path: Path) -> None:
    items = [
        replace(item, oof=replace(item.oof, tasks=["blending"] * 40, grades=["KG"] * 40))
        for item in checkpoints(n_folds=2, clips_per_fold=40)
    ]
    report = gathered(tmp_path, items)
    assert report.evidence is not None
    assert report.evidence.parts == []
    check_self_contained(Page(render_page(report)))


@pytest.mark.slow
def test_a_missing_library_is_told_after_the_text(trained: Path) -> None:
    """In a process of its own, in which nothing has imported the library yet."""
    report = trained / "report.html"
    report.write_text("an older report")
    missing = trained / "missing" / "matplotlib.py"
    missing.parent.mkdir()
    missing.write_text("raise ModuleNotFoundError('gone', name='matplotlib')")
    command = [sys.executable, ROOT / "check_models.py", "--assets_dir", trained / "assets", "--report", report]
    surroundings = {**os.environ, "PYTHONPATH": str(missing.parent)}
    done = subprocess.run(command, env=surroundings, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "4 checkpoints read" in done.stdout
    assert "error: this needs the package matplotlib" in done.stderr
    assert "Traceback" not in done.stderr
    assert report.read_text() == "an older report"


@pytest.mark.slow
def test_exit_code_is_that_of_the_checks(trained: Path, make_page: Callable[..., tuple[Page, str]]) -> None:
    (trained / "assets" / "model2s_1.pth").unlink()
    page, output = make_page(code=1)
    assert "1 problems" in output
    assert "model2s_1.pth: missing" in page.text


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--worst_clips", "3"], 2),
        (["--no_audio"], 2),
        (["--report", "page.html", "--groups", "speakers.csv"], 2),
        (["--report", "page.html", "--worst_clips", "-1"], 2),
        (["--report", "."], 1),
        (["--report", "page.html", "--groups", "nowhere.csv", "--group_by", "speaker"], 1),
    ],
)
def test_options_that_make_no_sense_are_refused(
    trained: Path, script: Script, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int
) -> None:
    monkeypatch.chdir(trained)
    outcome = script("check_models.py", "--assets_dir", trained / "assets", *arguments)
    assert outcome.code == code, outcome.error
    assert not (trained / "page.html").exists()


def test_figures_as_they_are_shown() -> None:
    assert [number(value) for value in (0.12345, -0.0001, float("nan"), None)] == ["0.123", "0.000", "–", "–"]
    assert percent(0.1234).replace("\N{NO-BREAK SPACE}", " ") == "12.3 %"
    draws = np.zeros(3)
    assert "[0.100, 0.300]" in interval(Estimate(0.2, 0.1, 0.3, draws))
    assert interval(Estimate(0.2, float("nan"), float("nan"), draws)) == "0.200"
    assert interval(Estimate(float("nan"), float("nan"), float("nan"), draws)) == "–"


def test_groups_that_were_asked_for_but_can_not_be_read_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        gathered(
            tmp_path, checkpoints(n_folds=2, clips_per_fold=20), groups=tmp_path / "nowhere.csv", group_by="speaker"
        )


def test_six_models_of_the_real_size_take_a_minute_at_most(tmp_path: Path) -> None:
    import time

    folder = outside_data("goodnight_moon")
    from benchmarks.simulate_ensemble import NO_WEIGHTS, simulate

    simulate(tmp_path, read_training_table(folder), NO_WEIGHTS)
    for path in tmp_path.glob("model2*.pth"):
        path.unlink()
    start = time.process_time()
    report = gather_report(read_assets(tmp_path), ReportOptions(tmp_path, folder, tmp_path))
    assert time.process_time() - start < 60
    assert report.evidence is not None
    assert len(report.evidence.clips.filenames) == 38_095
