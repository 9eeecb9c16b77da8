"""The API as programs see it: scores, tables, and every refusal as a problem document.

Run: .venv/bin/python -m pytest tests/api/test_api.py
"""

import asyncio
import io
import json
import logging
import shutil
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from fakes import tone, use_model

pytest.importorskip("fastapi_offline", reason="the API's packages are not installed")

from starlette.testclient import TestClient

from models.api import gate
from models.api.app import build_api
from models.api.keys import Keys
from models.api.settings import ApiSettings
from models.inference.answers import Answer
from models.inference.scorer import Scorer
from models.service.batching import Busy
from models.service.identity import ModelName
from models.service.service import Service
from models.service.thresholds import Thresholds
from models.service.uploads import Uploads
from models.speech.signal import PROBLEMS

SETTINGS = ApiSettings(Thresholds(), ModelName("tiny", "0123456789ab"), 1_000_000, 3_000_000, 8, 20.0, 10_000)
ASKED = {"text": "we like to play", "task": "sentence_repetition", "grade": "1"}
SECRET = "zebra crossing"


@pytest.fixture(scope="module")
def uploads() -> Iterator[Uploads]:
    made = Uploads(3_000_000)
    yield made
    made.close()


@pytest.fixture(scope="module")
def service(prepared: Path, encoder_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    cache = tmp_path_factory.mktemp("cache")
    folder = cache / "work"
    shutil.copytree(prepared, folder)
    use_model(folder, encoder_dir, "alignmodel")
    config = (folder / "model_configs.pkl", folder / "tts_data")
    made = Service(Scorer.from_config(*config, device="cpu", precision="fp32", cache_dir=cache), 5, 8)
    yield made
    made.close()


def client_of(service: Service, uploads: Uploads, keys: Keys | None = None, **changes: Any) -> TestClient:
    app = build_api(service, uploads, replace(SETTINGS, **changes), keys, "127.0.0.1")
    return TestClient(app, raise_server_exceptions=False)


@pytest.fixture(scope="module")
def client(service: Service, uploads: Uploads) -> Iterator[TestClient]:
    with client_of(service, uploads) as made:
        yield made


def sound(seconds: float = 0.5, kind: str = "WAV", seed: int = 0) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, tone(seconds, 300, np.random.default_rng(seed)), 16_000, format=kind)
    return stream.getvalue()


def post(client: TestClient, content: bytes = sound(), **changes: Any) -> Any:
    fields = {name: value for name, value in {**ASKED, **changes}.items() if value is not None}
    return client.post("/v1/score", data=fields, files={"audio": ("a.wav", content)})


def is_problem(reply: Any, status: int, code: str) -> bool:
    """Whether all that a problem document has to say is said."""
    told = reply.json()
    assert reply.headers["content-type"] == "application/problem+json"
    assert set(told) == {"type", "title", "status", "detail"}
    assert told["detail"][0].isupper() or not told["detail"][0].isalpha()
    assert told["detail"].endswith((".", "!", "?"))
    return (reply.status_code, told["status"], told["type"].rpartition(":")[2]) == (status, status, code)


# One answer


def test_an_answer_is_scored_as_the_scorer_does(client: TestClient, service: Service, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(sound())
    told = post(client).json()
    wanted = service.scorer.score(tmp_path / "a.wav", *ASKED.values())
    assert told["probability"] == pytest.approx(wanted, abs=1e-5)
    assert (told["verdict"], told["text"]) == ("review", "we like to play")
    assert told["accepted"] == [{"text": "we like to play", "probability": told["probability"]}]
    assert [word["text"] for word in told["words"] if word["kind"] != "inserted"] == ["we", "like", "to", "play"]
    assert all(0 <= word["score"] <= 1 for word in told["words"])
    assert all(word["start_seconds"] <= word["end_seconds"] <= 0.5 for word in told["words"])
    assert (told["unit"], told["heard"]["seconds"]) == ("word", 0.5)
    assert [each["kind"] for each in told["signal"]["problems"]] == ["no speech"]  # it is a tone
    assert told["signal"]["problems"][0]["advice"] == PROBLEMS["no speech"]
    assert told["signal"]["level_db"] == pytest.approx(-13.5, abs=0.5)
    assert told["model"] == {"name": "tiny", "version": "0123456789ab"}


def test_of_several_texts_the_one_that_fits_best_counts(client: TestClient) -> None:
    texts = ["we like to play", "cat", "a very big old hat"]
    alone = {text: post(client, text=text).json()["probability"] for text in texts}
    told = post(client, text=texts).json()
    assert {each["text"]: each["probability"] for each in told["accepted"]} == pytest.approx(alone, abs=1e-5)
    assert told["text"] == max(alone, key=lambda text: alone[text])
    assert told["probability"] == max(each["probability"] for each in told["accepted"])


def test_who_wants_the_score_alone_gets_no_words(client: TestClient) -> None:
    told, whole = post(client, words="false").json(), post(client).json()
    assert (told["words"], told["unit"]) == (None, None)
    assert told["probability"] == pytest.approx(whole["probability"], abs=1e-5)


def test_a_given_pronunciation_is_what_is_expected(client: TestClient, service: Service) -> None:
    told = post(client, text="bow", task="blending", pronunciation="B AW").json()["probability"]
    answers = [
        Answer(tone(0.5, 300, np.random.default_rng(0)), "bow", "blending", "1", said) for said in ("B AW", "B OW")
    ]
    wanted, other = service.scorer.score_batch(answers)
    assert told == pytest.approx(wanted, abs=1e-3)
    assert abs(told - other) > abs(told - wanted)


@pytest.mark.parametrize("kind", ["FLAC", "OGG", "MP3"])
def test_recordings_that_are_taken(client: TestClient, kind: str) -> None:
    assert post(client, sound(1.0, kind)).status_code == 200


@pytest.mark.parametrize(
    ("content", "changes", "mentions"),
    [
        (b"", {}, "empty"),
        (sound(0.0), {}, "0 samples"),
        (sound(0.5)[:9_000], {}, "breaks off"),
        (sound(5.2), {}, "longer than 5 s"),
        (b"RIFF" + bytes(99), {}, "not readable"),
        (b"\x1f\x8b" * 50, {}, "not readable"),
        (sound(), {"text": "a" * 10_000}, "10000 characters"),
        (sound(), {"text": " "}, "type the text"),
        (sound(), {"text": None}, "text: is missing"),
        (sound(), {"text": ["a"] * 11}, "11 accepted texts"),
        (sound(), {"text": "?!"}, "can't be spoken"),
        (sound(), {"task": "singing"}, "task 'singing'"),
        (sound(), {"task": None}, "task: is missing"),
        (sound(), {"grade": "K"}, "grade 'K'"),
        (sound(), {"text": ["cat", "dog"], "pronunciation": "K AE T"}, "2 texts and 1 pronunciations"),
        (sound(), {"text": "cat", "pronunciation": "no phones"}, "NO"),
    ],
)
def test_what_can_not_be_scored_is_told(client: TestClient, content: bytes, changes: Any, mentions: str) -> None:
    reply = post(client, content, **changes)
    assert is_problem(reply, 422, "invalid")
    assert mentions.lower() in reply.json()["detail"].lower()


def test_a_request_without_audio_is_told(client: TestClient) -> None:
    reply = client.post("/v1/score", data=ASKED)
    assert is_problem(reply, 422, "invalid")
    assert "Audio: is missing" in reply.json()["detail"]
    assert is_problem(client.post("/v1/score", data={**ASKED, "audio": "text"}), 422, "invalid")
    assert is_problem(client.post("/v1/score", content=b"abc"), 422, "invalid")
    broken = client.post("/v1/score", content=b"abc", headers={"content-type": "multipart/form-data; boundary=x"})
    assert broken.status_code in (400, 422)
    assert is_problem(broken, broken.status_code, "invalid")


@pytest.mark.parametrize("told", [True, False])
def test_what_is_too_large_is_refused(client: TestClient, told: bool) -> None:
    """Whether its length is told or not."""
    head = b'--x\r\nContent-Disposition: form-data; name="audio"; filename="a.wav"\r\n\r\n'
    content = [head, *[bytes(100_000)] * 25] if told else iter([head, *[bytes(100_000)] * 25])
    body = b"".join(content) if told else content
    reply = client.post("/v1/score", content=body, headers={"content-type": "multipart/form-data; boundary=x"})
    assert is_problem(reply, 413, "too-large")
    assert "More than 1 MB" in reply.json()["detail"]


def test_other_addresses_are_problems_too(client: TestClient) -> None:
    assert is_problem(client.get("/nowhere"), 404, "not-found")
    assert is_problem(client.get("/v1/score"), 405, "not-allowed")
    assert client.get("/healthz", headers={"host": "elsewhere.example"}).status_code == 400


class Slow:
    """Sends a few bytes of a request, and then nothing for long."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.sent = seconds, 0

    async def receive(self) -> dict[str, Any]:
        self.sent += 1
        if self.sent > 3:
            await asyncio.sleep(self.seconds)
        head = b'--x\r\nContent-Disposition: form-data; name="text"\r\n\r\n'
        return {"type": "http.request", "body": head if self.sent == 1 else b"abc", "more_body": True}


def test_who_sends_too_slowly_is_not_waited_for(service: Service, uploads: Uploads, monkeypatch: Any) -> None:
    monkeypatch.setitem(gate._RECEIVED_SECONDS, "/v1/score", 0.2)
    app, replies = build_api(service, uploads, SETTINGS, None, "127.0.0.1"), list[dict[str, Any]]()
    headers = [(b"host", b"localhost"), (b"content-type", b"multipart/form-data; boundary=x")]
    scope = {"type": "http", "method": "POST", "path": "/v1/score", "query_string": b"", "headers": headers}

    async def send(message: Any) -> None:
        replies.append(message)

    asyncio.run(app(scope, Slow(10).receive, send))
    assert replies[0]["status"] == 408
    assert b"too-slow" in replies[1]["body"]


# Many at once


def test_requests_that_wait_are_scored_together(client: TestClient, service: Service) -> None:
    """And each gets its own score."""
    wanted = {seed: post(client, sound(seed=seed)).json()["probability"] for seed in range(8)}
    sizes: list[int] = []
    service.batcher.on_batch = sizes.append
    found: dict[int, float] = {}

    def ask(seed: int) -> None:
        found[seed] = post(client, sound(seed=seed)).json()["probability"]

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == pytest.approx(wanted, abs=1e-5)
    assert sum(sizes) == 8
    assert max(sizes) > 1


def test_who_would_wait_too_long_is_sent_away(client: TestClient, service: Service, monkeypatch: Any) -> None:
    def full(*_: object, **__: object) -> None:
        raise Busy(8, 3)

    monkeypatch.setattr(service.batcher, "submit", full)
    reply = post(client)
    assert is_problem(reply, 429, "busy")
    assert reply.headers["retry-after"] == "3"


def test_a_score_that_takes_too_long_is_given_up(service: Service, uploads: Uploads, monkeypatch: Any) -> None:
    monkeypatch.setattr(service.scorer, "score_counted", lambda *a: time.sleep(0.5))
    with client_of(service, uploads, max_wait_seconds=0.1) as client:
        reply = post(client)
    assert is_problem(reply, 503, "too-late")
    assert "retry-after" in reply.headers


def test_one_that_fails_spoils_no_other(client: TestClient, service: Service, monkeypatch: Any, caplog: Any) -> None:
    """And what is wrong in the program is told without what was sent, to nobody."""
    original = service.scorer.score_counted

    def fail(answers: list[Answer]) -> object:
        if any(answer.text == SECRET for answer in answers):
            raise RuntimeError(f"could not score {SECRET}")
        return original(answers)

    monkeypatch.setattr(service.scorer, "score_counted", fail)
    with caplog.at_level(logging.INFO, "serve"):
        reply = post(client, text=SECRET)
        assert post(client).status_code == 200
    assert is_problem(reply, 500, "internal")
    assert SECRET not in reply.text + caplog.text
    assert "RuntimeError at" in caplog.text


def test_the_log_tells_nothing_of_what_was_sent(client: TestClient, caplog: Any, capfd: Any) -> None:
    with caplog.at_level(logging.DEBUG):
        post(client, text=SECRET)
        client.post("/v1/score", data={**ASKED, "text": SECRET}, files={"audio": (f"{SECRET}.wav", b"broken")})
        client.get(f"/{SECRET}?{SECRET}")
    logged = "\n".join(record.getMessage() for record in caplog.records if record.name == "serve")
    assert "POST /v1/score 200" in logged
    assert "POST /v1/score 422" in logged
    assert "GET other 404" in logged
    assert "zebra" not in logged + "".join(capfd.readouterr())


def test_nothing_stays(client: TestClient, uploads: Uploads, tmp_path: Path) -> None:
    post(client)
    send_table(client, {"t.csv": table_of(["a.wav"]), "a.wav": sound()})
    assert [path.name for path in uploads.folder.iterdir()] == [".lock"]


# Tables


def table_of(names: list[str], texts: list[str] | None = None) -> bytes:
    rows = [(name, "blending", text, "KG") for name, text in zip(names, texts or ["cat"] * len(names), strict=True)]
    return pd.DataFrame(rows, columns=["filename", "task", "expected_text", "grade"]).to_csv(index=False).encode()


def zip_of(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def send_table(client: TestClient, files: dict[str, bytes], start: int = 0) -> Any:
    sent = [("files", (name, content)) for name, content in files.items()]
    return client.post("/v1/batch", files=sent, data={"start": str(start)})


def lines_of(reply: Any) -> list[dict[str, Any]]:
    assert reply.headers["content-type"].startswith("application/x-ndjson")
    return [json.loads(line) for line in reply.text.splitlines()]


@pytest.mark.parametrize("zipped", [True, False])
def test_a_table_is_scored_row_by_row(client: TestClient, zipped: bool) -> None:
    files = {f"{seed}.wav": sound(seed=seed) for seed in range(4)}
    files |= {"t.csv": table_of([*files, "missing.wav", "broken.wav"]), "broken.wav": b"RIFF"}
    lines = lines_of(send_table(client, {"all.zip": zip_of(files)} if zipped else files))
    assert lines.pop() == {"finished": True, "total": 6}
    assert [(line["row"], line["done"], line["total"]) for line in lines] == [(row, row + 1, 6) for row in range(6)]
    assert [line["filename"] for line in lines] == ["0.wav", "1.wav", "2.wav", "3.wav", "missing.wav", "broken.wav"]
    alone = [post(client, sound(seed=seed), text="cat", task="blending", grade="KG").json() for seed in range(4)]
    assert [line["answer"]["probability"] for line in lines[:4]] == pytest.approx(
        [each["probability"] for each in alone], abs=1e-5
    )
    assert [line["answer"]["verdict"] for line in lines[:4]] == [each["verdict"] for each in alone]
    assert "no such recording" in lines[4]["problem"]["detail"].lower()
    assert "not readable" in lines[5]["problem"]["detail"].lower()


def test_the_rest_of_a_table_can_be_asked_for(client: TestClient) -> None:
    files = {f"{seed}.wav": sound(seed=seed) for seed in range(5)}
    files["t.csv"] = table_of(list(files))
    whole, rest = lines_of(send_table(client, files)), lines_of(send_table(client, files, start=3))
    assert [line["row"] for line in rest[:-1]] == [3, 4]
    assert [line["answer"]["probability"] for line in rest[:-1]] == pytest.approx(
        [line["answer"]["probability"] for line in whole[3:-1]], abs=1e-5
    )
    assert rest[-1] == whole[-1]


@pytest.mark.parametrize(
    ("files", "start", "mentions"),
    [
        ({"a.wav": sound()}, 0, "0 CSV files"),
        ({"a.csv": b"filename,task\n"}, 0, "column"),
        ({"a.csv": table_of(["a.wav"])}, 2, "1 rows only"),
        ({"a.csv": table_of(["a.wav"])}, -1, "Start:"),
        ({"all.zip": zip_of({"a.csv": table_of(["a.wav"])})[:-30]}, 0, "0 CSV files"),
        ({"all.zip": zip_of({"a.csv": table_of(["a.wav"]), "a.wav": bytes(60_000_000)})}, 0, "far more than its size"),
    ],
)
def test_tables_that_are_refused(
    client: TestClient, uploads: Uploads, files: dict[str, bytes], start: int, mentions: str
) -> None:
    reply = send_table(client, files, start)
    assert is_problem(reply, 422, "invalid")
    assert mentions in reply.json()["detail"]
    assert [path.name for path in uploads.folder.iterdir()] == [".lock"]


def test_only_so_many_tables_are_scored_at_a_time(service: Service, uploads: Uploads, monkeypatch: Any) -> None:
    files = {"a.csv": table_of(["a.wav"])}
    with client_of(service, uploads) as client:
        assert send_table(client, files).status_code == 200
    monkeypatch.setattr(gate, "_MOST_BATCHES", 0)
    with client_of(service, uploads) as client:
        reply = send_table(client, files)
    assert is_problem(reply, 429, "busy")
    assert reply.headers["retry-after"] == "5"


# Who may ask, and what else is told


def test_without_a_key_nothing_is_told(service: Service, uploads: Uploads) -> None:
    keys = Keys({"school": "k" * 20})
    with client_of(service, uploads, keys, requests_per_minute=3) as client:
        for header in (None, "Bearer wrong", "Basic " + "k" * 20, "Bearer", "Bearer " + "k" * 19, "Bearer \xe9"):
            headers = {} if header is None else {"authorization": header.encode("latin-1")}
            for path in ("/v1/models", "/metrics"):
                assert is_problem(client.get(path, headers=headers), 401, "no-key")
            reply = client.post("/v1/score", data=ASKED, files={"audio": sound()}, headers=headers)
            assert is_problem(reply, 401, "no-key")
            assert reply.headers["www-authenticate"] == "Bearer"
        assert client.get("/healthz").status_code == 200
        right = {"authorization": f"Bearer {'k' * 20}"}
        assert [client.get("/v1/models", headers=right).status_code for _ in range(4)] == [200, 200, 200, 429]
        reply = client.get("/v1/models", headers=right)
        assert is_problem(reply, 429, "too-many")
        assert 1 <= int(reply.headers["retry-after"]) <= 21


def test_the_model_is_named(client: TestClient) -> None:
    (told,) = client.get("/v1/models").json()["models"]
    assert (told["name"], told["version"]) == ("tiny", "0123456789ab")
    assert told["networks"] == ["alignmodel_0", "alignmodel_1"]
    assert told["max_seconds"] == 5
    assert told["accept_self_corrections"] is False


def test_what_is_counted(service: Service, uploads: Uploads) -> None:
    with client_of(service, uploads) as client:
        post(client)
        post(client, b"")
        client.get(f"/{SECRET}")
        told = client.get("/metrics").text
    for line in (
        'requests_total{path="/v1/score",status="200"} 1.0',
        'requests_total{path="/v1/score",status="422"} 1.0',
        'requests_total{path="other",status="404"} 1.0',
        'answers_total{verdict="review"} 1.0',
        "answers_waiting 0.0",
        "answers_together_count 1.0",
    ):
        assert line in told
    assert SECRET not in told


def test_the_documentation_needs_no_network(client: TestClient) -> None:
    page = client.get("/docs").text
    assert "https://" not in page
    for address in ("/static-offline-docs/swagger-ui-bundle.js", "/static-offline-docs/swagger-ui.css"):
        assert address in page
        assert client.get(address).status_code == 200
    described = client.get("/openapi.json").json()["paths"]
    assert set(described) == {"/v1/score", "/v1/batch", "/v1/models", "/healthz", "/metrics"}
    assert set(described["/v1/score"]["post"]["responses"]) >= {"200", "401", "413", "422", "429"}
