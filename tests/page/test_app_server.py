"""The server around the page: who may send what, and that nothing is fetched from elsewhere.

Run: .venv/bin/python -m pytest tests/page/test_app_server.py
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import Script, tone

pytest.importorskip("gradio", reason="the page's package, gradio, is not installed")

from models.classroom.answer_lists import AnswerLists
from models.errors import InputError
from models.inference.published_references import CACHE_VARIABLE
from models.inference.scorer import Scorer
from models.page.form import _Handlers, _only_sent
from models.page.phrases import all_phrases
from models.page.server import build_app
from models.page.settings import PageSettings
from models.service.options import free_socket
from models.service.service import Service
from models.service.thresholds import Thresholds
from models.service.uploads import Uploads
from models.speech.audio import write_wav

pytestmark = pytest.mark.slow


@pytest.fixture
def uploads() -> Iterator[Uploads]:
    made = Uploads(100_000)
    yield made
    made.close()


@pytest.fixture
def service(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    scorer = Scorer.from_config(prepared / "model_configs.pkl", prepared / "tts_data", device="cpu", precision="fp32")
    made = Service(scorer, max_seconds=5)
    yield made
    made.close()


@pytest.fixture
def client(service: Service, uploads: Uploads) -> Iterator[Any]:
    from starlette.testclient import TestClient

    with TestClient(build_app(service, uploads, PageSettings(Thresholds()), "127.0.0.1")) as made:
        yield made


def make_handlers(service: Service, uploads: Uploads, root: Path | None = None, language: str = "en") -> _Handlers:
    lists = AnswerLists(uploads.folder / "corrections")
    return _Handlers(service, uploads, PageSettings(Thresholds(), root), lists, all_phrases()[language])


def sent(uploads: Uploads) -> list[Path]:
    return [path for path in uploads.folder.iterdir() if path.is_file() and path.name != ".lock"]


def test_the_page_may_load_nothing_from_elsewhere(client: Any) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert "http:" not in page.headers["content-security-policy"]
    assert client.get("/docs").headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("address", "accepted", "language"),
    [("/", "de-AT, en;q=0.5", "de"), ("/?lang=es", "de", "es"), ("/?lang=xx", "", "en"), ("/fr/", "de", "fr")],
)
def test_the_page_speaks_the_visitors_language(client: Any, address: str, accepted: str, language: str) -> None:
    page = client.get(address, headers={"accept-language": accepted})
    assert page.url.path == f"/{language}/"
    shown = json.dumps(client.get(f"/{language}/config").json())
    assert json.dumps(all_phrases()[language]("score_button"))[1:-1] in shown
    assert all(f'hreflang=\\"{each}\\"' in shown for each in all_phrases())


def test_uploads_are_named_by_the_server(client: Any, uploads: Uploads) -> None:
    files = [("files", ("../../evil.wav", b"abc")), ("files", ("<b>.exe", b"def"))]
    answer = client.post("/en/gradio_api/upload", files=files)
    paths = [Path(path) for path in answer.json()]
    assert [path.read_bytes() for path in paths] == [b"abc", b"def"]
    assert [path.suffix for path in paths] == [".wav", ".bin"]
    assert {path.parent for path in paths} == {uploads.folder}
    assert not any("evil" in path.name or "<" in path.name for path in paths)


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"origin": "http://elsewhere.example"}, b"abc", 403),
        ({"host": "elsewhere.example"}, b"abc", 400),
        ({"origin": "http://testserver"}, b"abc", 200),
        ({}, bytes(200_000), 413),
    ],
)
def test_who_may_send_what(client: Any, uploads: Uploads, headers: dict[str, str], body: bytes, status: int) -> None:
    answer = client.post("/en/gradio_api/upload", files={"files": ("a.wav", body)}, headers=headers)
    assert answer.status_code == status
    assert len(sent(uploads)) == (status == 200)


def test_a_length_that_is_not_told_is_counted(client: Any, uploads: Uploads) -> None:
    def pieces() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.wav"\r\n\r\n'
        for _ in range(100):
            yield bytes(10_000)

    answer = client.post(
        "/en/gradio_api/upload", content=pieces(), headers={"content-type": "multipart/form-data; boundary=x"}
    )
    assert answer.status_code == 413
    assert not sent(uploads)


def test_what_is_no_form_is_refused(client: Any, uploads: Uploads) -> None:
    assert client.post("/en/gradio_api/upload", content=b"abc").status_code == 400
    assert not sent(uploads)


@pytest.mark.anyio
@pytest.mark.parametrize("named", ["http://elsewhere.example/a.wav", "/etc/passwd", "", "nowhere.wav"])
async def test_no_address_and_no_other_file_is_read(uploads: Uploads, named: str) -> None:
    import gradio as gr

    component = _only_sent(gr.Audio(), uploads, lambda payload: payload, all_phrases()["en"])
    with pytest.raises(gr.Error, match="not here any more"):
        await component.async_move_resource_to_block_cache(named)
    own = uploads.new_path("a.wav")
    own.write_bytes(b"x")
    assert await component.async_move_resource_to_block_cache(str(own)) == str(own)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def test_a_recording_is_deleted_and_remembered_in_memory_only(service: Service, uploads: Uploads) -> None:
    handlers = make_handlers(service, uploads)
    path = uploads.new_path("a.wav")
    write_wav(path, tone(0.5, 300, np.random.default_rng(0)))
    shown, remembered, emptied = handlers.score_one(path, None, "cat", "blending", "KG", 0.25, 0.75)
    assert "Probability" in shown
    assert (path.exists(), emptied) == (False, None)
    again, kept, _ = handlers.score_one(None, remembered, "cat", "blending", "KG", 0.25, 0.75)
    assert again == shown
    assert kept is remembered
    broken = uploads.new_path("b.wav")
    broken.write_bytes(b"RIFF")
    told, forgotten, _ = handlers.score_one(broken, remembered, "cat", "blending", "KG", 0.25, 0.75)
    assert 'role="alert"' in told
    assert (broken.exists(), forgotten) == (False, None)


@pytest.mark.parametrize(
    ("changes", "mentions"),
    [
        ({"sent": None}, "record or upload"),
        ({"text": ""}, "type the text"),
        ({"text": None}, "type the text"),
        ({"low": 0.8, "high": 0.3}, "uncertain range"),
        ({"task": "singing"}, "singing"),
    ],
)
def test_mistakes_are_shown_in_words(
    service: Service, uploads: Uploads, changes: dict[str, Any], mentions: str
) -> None:
    handlers, path = make_handlers(service, uploads), uploads.new_path("a.wav")
    write_wav(path, tone(0.5, 300, np.random.default_rng(0)))
    given = {
        "sent": path,
        "remembered": None,
        "text": "cat",
        "task": "blending",
        "grade": "KG",
        "low": 0.25,
        "high": 0.75,
    }
    shown, _, _ = handlers.score_one(**{**given, **changes})
    assert 'role="alert"' in shown
    assert mentions.lower() in shown.lower()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"sent": None}, "Nehmen Sie zuerst eine Antwort auf"),
        ({"text": " "}, "Geben Sie den erwarteten Text ein."),
        ({"text": "a" * 400}, "hat 400 Zeichen; höchstens 300"),
        ({"task": "singing"}, "auf Englisch"),
        ({"seconds": 7.0}, "länger als 5 s"),
        ({"seconds": 0.02}, "dauert nur 20 ms"),
        ({"level": 0.0}, "Die Aufnahme ist stumm"),
        ({"content": b"RIFF" + bytes(500)}, "nicht als Ton lesbar"),
    ],
)
def test_mistakes_are_told_in_the_visitors_language(
    service: Service, uploads: Uploads, change: dict[str, Any], told: str
) -> None:
    path = uploads.new_path("a.wav")
    level, seconds = change.pop("level", 1.0), change.pop("seconds", 0.5)
    write_wav(path, (level * tone(seconds, 300, np.random.default_rng(0))).astype(np.float32))
    if "content" in change:
        path.write_bytes(change.pop("content"))
    given = {"sent": path, "remembered": None, "text": "cat", "task": "blending", "grade": "KG"}
    shown, _, _ = make_handlers(service, uploads, language="de").score_one(**{**given, **change}, low=0.25, high=0.75)
    assert 'role="alert"' in shown
    assert told in shown


def test_folders_of_the_server_only_where_they_are_allowed(service: Service, uploads: Uploads, prepared: Path) -> None:
    def progress(*_: object, **__: object) -> None: ...

    shown = {}
    for root in (None, prepared):
        handlers = make_handlers(service, uploads, root)
        shown[root], _ = handlers.score_many([], "data", 0.25, 0.75, progress)  # type: ignore[arg-type]
    assert "send a table" in shown[None].lower()
    assert "8 answers" in shown[prepared]


def test_a_port_that_is_taken_is_told() -> None:
    with free_socket("127.0.0.1", 0) as taken:
        taken.listen()
        with pytest.raises(InputError, match="can't be served on"):
            free_socket("127.0.0.1", taken.getsockname()[1])


def test_a_model_that_is_not_there_is_told(script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = script("app.py", "--config", "nowhere.pkl")
    assert outcome.code == 1
    assert "nowhere.pkl: no such file" in outcome.error
    assert script("app.py", "--model", "./nowhere").code == 1
    assert "multiples of 0.05" in script("app.py", "--review_from", 0.33).error
