"""The addresses behind a list of answers: what they tell, save and refuse.

Run: .venv/bin/python -m pytest tests/page/test_class_pages.py
"""

import html
import io
import re
import shutil
import wave
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from fakes import snapshot, tone, use_model

pytest.importorskip("gradio", reason="the page's package, gradio, is not installed")

from models.clips.corrections import correct_labels, read_corrections
from models.clips.tables import METADATA_COLUMNS
from models.inference.published_references import CACHE_VARIABLE
from models.inference.scorer import Scorer
from models.localize.fluency import Fluency
from models.page.form import _Handlers
from models.page.server import build_app
from models.page.settings import PageSettings
from models.service.service import Service
from models.service.thresholds import Thresholds
from models.service.uploads import Uploads

EVIL = '<img src=x onerror="hacked=1">{{7*7}}'
ATTACK = "<img>{{7*7}}"  # as long as leaves an answer room: a voice speaks it, sign by sign
ROWS = [
    ("good.wav", "sentence_repetition", "we like to play", "1", "c1"),
    ("evil.wav", "blending", ATTACK, "KG", EVIL),
    ("missing.wav", "blending", "cat", "KG", "c1"),
    ("broken.wav", "blending", "cat", "KG", ""),
    ("silent.wav", "blending", "cat", "KG", "c2"),
]


@pytest.fixture(scope="module")
def service(prepared: Path, encoder_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Of an aligned model, which tells of words."""
    work = tmp_path_factory.mktemp("class") / "work"
    shutil.copytree(prepared, work)
    use_model(work, encoder_dir, "alignmodel")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(tmp_path_factory.mktemp("cache")))
        scorer = Scorer.from_config(work / "model_configs.pkl", work / "tts_data", device="cpu", precision="fp32")
        made = Service(scorer, max_seconds=5)
        yield made
        made.close()


@pytest.fixture
def uploads() -> Iterator[Uploads]:
    made = Uploads(1_000_000)
    yield made
    made.close()


def sound(seconds: float = 0.6, level: float = 1.0) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, level * tone(seconds, 300, np.random.default_rng(0)), 22_050, format="FLAC")
    return stream.getvalue()


def send(uploads: Uploads, rows: list[tuple[str, ...]] = ROWS) -> list[tuple[str, Path]]:
    table = pd.DataFrame(rows, columns=[*METADATA_COLUMNS, "child"]).to_csv(index=False).encode()
    files = {
        "table.csv": table,
        "good.wav": sound(),
        "evil.wav": sound(),
        "broken.wav": b"RIFF",
        "silent.wav": sound(1, 0),
    }
    sent = []
    for name, content in files.items():
        sent.append((name, uploads.new_path(name)))
        sent[-1][1].write_bytes(content)
    return sent


class Opened:
    """A list on a server: `get("answers")` asks it."""

    def __init__(self, client: Any, handlers: _Handlers) -> None:
        self.client, self.handlers = client, handlers
        self.shown, _ = handlers.score_many(send(handlers.uploads), None, 0.25, 0.75, lambda *_, **__: None)  # type: ignore[arg-type]
        found = re.search(r'href="../(class/[^"]+/)[?]lang=en"', self.shown)
        assert found is not None, self.shown
        self.address = f"/{found[1]}"

    def get(self, what: str = "", **options: Any) -> Any:
        return self.client.get(self.address + what, **options)

    def say(self, row: int, said: str, **options: Any) -> Any:
        return self.client.put(f"{self.address}judgements/{row}?said={said}", **options)


@pytest.fixture
def opened(service: Service, uploads: Uploads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opened]:
    from starlette.testclient import TestClient

    made: list[_Handlers] = []
    original = _Handlers.__init__

    def remembered(self: _Handlers, *given: Any) -> None:
        original(self, *given)
        made.append(self)

    monkeypatch.setattr(_Handlers, "__init__", remembered)
    settings = PageSettings(Thresholds(), corrections_dir=tmp_path / "corrections")
    with TestClient(build_app(service, uploads, settings, "127.0.0.1")) as client:
        yield Opened(client, made[0])


pytestmark = pytest.mark.slow


def test_a_list_tells_its_answers_and_plays_them(opened: Opened) -> None:
    found = opened.get("answers").json()
    answers = found["answers"]
    assert [each["text"] for each in answers] == [row[2] for row in ROWS]
    assert [each["child"] for each in answers] == [row[4] for row in ROWS]
    assert [each["probability"] is None for each in answers] == [False, False, True, True, True]
    assert set(found["order"][:2]) == {0, 1}
    assert (found["said"], found["problem"]) == ({}, "")
    assert [unit["text"] for unit in answers[0]["units"] if unit["kind"] != "inserted"] == ["we", "like", "to", "play"]
    assert [each["playable"] for each in answers] == [True, True, False, True, True]
    heard = opened.get("sounds/0")
    with wave.open(io.BytesIO(heard.content)) as played:
        assert (played.getframerate(), played.getnchannels()) == (16_000, 1)
    assert heard.headers["content-type"] == "audio/wav"
    for row, mentions in ((2, "no such recording"), (3, "not readable"), (9, "no row 9")):
        refused = opened.get(f"sounds/{row}")
        assert refused.status_code == 422
        assert mentions in refused.json()["detail"]
        assert str(opened.handlers.uploads.folder) not in refused.text


def test_what_is_said_is_saved_and_makes_training_labels(opened: Opened, tmp_path: Path) -> None:
    assert opened.say(0, "wrong").json() == {"0": "wrong"}
    assert opened.say(1, "right").json() == {"0": "wrong", "1": "right"}
    assert opened.say(4, "skipped").status_code == 200
    assert opened.client.delete(f"{opened.address}judgements/1").json() == {"0": "wrong", "4": "skipped"}
    assert opened.get("judgements").json() == opened.get("answers").json()["said"] == {"0": "wrong", "4": "skipped"}
    (saved,) = (tmp_path / "corrections").glob("*.csv")
    assert saved.read_bytes() == opened.get("corrections.csv").content
    assert read_corrections(saved)["score"].tolist() == ["0", ""]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "good.wav").write_bytes(sound())
    (tmp_path / "data" / "silent.wav").write_bytes(sound(1, 0))
    table = pd.DataFrame(ROWS, columns=[*METADATA_COLUMNS, "child"]).assign(score=1.0)
    corrected, told = correct_labels(table, saved, tmp_path / "data")
    assert corrected["score"].tolist() == [0, 1, 1, 1, 1]
    assert told.to_wrong == 1
    again = Opened(opened.client, opened.handlers)  # the same table, sent once more
    assert again.address != opened.address
    assert again.get("answers").json()["said"] == {"0": "wrong", "4": "skipped"}


@pytest.mark.parametrize(
    ("row", "said", "status", "mentions"),
    [
        (2, "right", 422, "no such recording"),
        (0, "perhaps", 422, "must be one of right, wrong, skipped"),
        (5, "right", 422, "no row 5"),
        (-1, "right", 422, "no row -1"),
    ],
)
def test_what_cannot_be_said_is_refused(opened: Opened, row: int, said: str, status: int, mentions: str) -> None:
    refused = opened.say(row, said)
    assert refused.status_code == status
    assert mentions in refused.json()["detail"]
    assert opened.get("judgements").json() == {}


def test_other_pages_and_guessed_names_get_nothing(opened: Opened) -> None:
    elsewhere = {"origin": "http://elsewhere.example"}
    assert opened.say(0, "right", headers=elsewhere).status_code == 403
    assert opened.client.delete(opened.address, headers=elsewhere).status_code == 403
    assert opened.say(0, "right", headers={"origin": "http://testserver"}).status_code == 200
    for what in ("answers", "sounds/0", "judgements", "answers.csv", "corrections.csv", "textgrids.zip"):
        assert opened.client.get(f"/class/guessed/{what}").status_code == 404
    assert "not here any more" in opened.client.get("/class/guessed/").text
    assert opened.client.get("/class/guessed/summary").status_code == 404
    for file in ("class_pages.py", "..%2fserver.py", "phrases.json"):
        assert opened.client.get(f"/class/files/{file}").status_code == 404


def test_pages_may_load_nothing_from_elsewhere_and_run_nothing_that_is_typed(opened: Opened) -> None:
    opened.say(1, "right")
    for what in ("", "summary", "summary?lang=de"):
        page = opened.get(what)
        assert page.status_code == 200
        assert "default-src 'none'; script-src 'self'; style-src 'self'" in page.headers["content-security-policy"]
        assert not re.search(r"(src|href)=\"?(https?:)?//", page.text)
        assert "<img" not in page.text
        assert "49" not in page.text
    assert "&lt;img" in opened.get("summary").text
    assert "<img" not in opened.shown


def test_a_summary_says_who_says_so(opened: Opened) -> None:
    opened.say(0, "right")
    found = opened.handlers.lists.get(opened.address.split("/")[2])
    assert found is not None
    found.answers[0] = replace(found.answers[0], fluency=Fluency(4, 3, 2.0, ((0.5, 1.0),)))  # type: ignore[index]
    text = html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", opened.get("summary").text)))
    assert "c1 2 1 1 0 100 % 1 90 1.0 0.5" in text  # two answers; one by a person, right; the other without a recording
    assert "Words correct per minute (the model's)" in text
    assert "Nach Kind" in opened.get("summary", headers={"accept-language": "de-AT,de;q=0.9,en"}).text


def test_files_for_other_programs(opened: Opened) -> None:
    opened.say(0, "right")
    table = pd.read_csv(io.BytesIO(opened.get("answers.csv").content), keep_default_na=False, dtype=str)
    assert table["person"].tolist() == ["right", "", "", "", ""]
    with zipfile.ZipFile(io.BytesIO(opened.get("textgrids.zip").content)) as archive:
        assert archive.namelist() == ["good.TextGrid", "evil.TextGrid"]
    assert "attachment" in opened.get("textgrids.zip").headers["content-disposition"]


def test_a_file_that_is_damaged_meanwhile_is_told(opened: Opened, tmp_path: Path) -> None:
    opened.say(0, "right")
    (saved,) = (tmp_path / "corrections").glob("*.csv")
    saved.write_text(saved.read_text(encoding="utf-8") + "evil.wav,", encoding="utf-8")
    before = snapshot(saved.parent)
    for reply in (opened.say(1, "wrong"), opened.get("judgements"), opened.get("answers.csv")):
        assert reply.status_code == 422
        assert "row 3" in reply.json()["detail"]
        assert str(tmp_path) not in reply.text
    assert "row 3" in opened.get("answers").json()["problem"]
    assert "row 3" in opened.get("summary").text
    assert snapshot(saved.parent) == before


def test_where_nothing_can_be_saved_the_list_says_so_at_once(opened: Opened, tmp_path: Path) -> None:
    (tmp_path / "corrections").write_text("a file in the folder's place")
    assert "can't be written" in opened.get("answers").json()["problem"]
    refused = opened.say(0, "right")
    assert refused.status_code == 422
    assert "can't be written" in refused.json()["detail"]


def test_closing_deletes_recordings_and_keeps_what_was_said(opened: Opened, uploads: Uploads, tmp_path: Path) -> None:
    opened.say(0, "right")
    uploads.sweep(keep_seconds=-1)
    assert opened.get("sounds/0").status_code == 200  # kept for as long as the list is open
    assert opened.client.delete(opened.address).status_code == 204
    assert [path.name for path in uploads.folder.iterdir() if path.is_file() and path.name != ".lock"] == []
    assert opened.get("answers").status_code == 404
    assert list((tmp_path / "corrections").glob("*.csv"))


def test_duplicate_rows_and_large_tables(
    opened: Opened, uploads: Uploads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handlers = opened.handlers

    def score(folder: str | None, sent: list[tuple[str, Path]]) -> str:
        return handlers.score_many(sent, folder, 0.25, 0.75, lambda *_, **__: None)[0]  # type: ignore[arg-type]

    before = set(uploads.folder.iterdir())
    assert "is there twice" in score(None, send(uploads, [*ROWS, ROWS[0]]))
    assert set(uploads.folder.iterdir()) == before
    monkeypatch.setattr("models.classroom.answers.MOST_CLIPS", 1)
    monkeypatch.setattr("models.page.form.MOST_CLIPS", 1)  # of a folder of the server, that has no such limit
    shown = score(None, send(uploads))
    assert "Download scores.csv" in shown
    assert "Listen and correct" not in shown
    assert set(uploads.folder.iterdir()) == before
