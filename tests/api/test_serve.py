"""serve.py as a process: real requests, hang-ups, kills. Run: .venv/bin/python -m pytest tests/api/test_serve.py"""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from fakes import ROOT, Script, tone

pytest.importorskip("fastapi_offline", reason="the API's packages are not installed")
import httpx

pytestmark = pytest.mark.slow
ASKED = {"text": "we like to play", "task": "sentence_repetition", "grade": "1"}
WAIT = 120.0
Start = Callable[..., tuple[subprocess.Popen[bytes], str]]


def sound(seconds: float = 0.5, seed: int = 0) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, tone(seconds, 300, np.random.default_rng(seed)), 16_000, format="WAV")
    return stream.getvalue()


@contextmanager
def serving(folder: Path, temporary: Path, *arguments: object) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, ROOT / "serve.py", "--port", str(port), "--precision", "fp32", *map(str, arguments)]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    with (
        open(temporary / "log", "ab") as log,
        subprocess.Popen(command, cwd=folder, env=environment, stderr=log) as running,
    ):
        try:
            wait_until(lambda: is_up(f"http://127.0.0.1:{port}", running))
            yield running, f"http://127.0.0.1:{port}"
        finally:
            running.terminate()


@pytest.fixture
def start(prepared: Path, tmp_path: Path) -> Iterator[Start]:
    (tmp_path / "temporary").mkdir()
    with ExitStack() as stack:
        yield lambda *options: stack.enter_context(serving(prepared, tmp_path / "temporary", *options))


def is_up(address: str, running: subprocess.Popen[bytes]) -> bool:
    assert running.poll() is None, "serve.py ended"
    try:
        return bool(httpx.get(f"{address}/healthz").status_code == 200)
    except httpx.TransportError:
        return False


def wait_until(done: Callable[[], bool]) -> None:
    until = time.monotonic() + WAIT
    while not done():
        assert time.monotonic() < until, "waited for too long"
        time.sleep(0.05)


def post(address: str, content: bytes, **options: Any) -> httpx.Response:
    return httpx.post(f"{address}/v1/score", data=ASKED, files={"audio": ("a.wav", content)}, timeout=WAIT, **options)


def test_keys_limits_and_an_orderly_end(start: Start, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"school {'k' * 24}\n")
    running, address = start("--api_keys", tmp_path / "keys", "--max_upload_mb", 1)
    right = {"authorization": f"Bearer {'k' * 24}"}
    assert 0 < post(address, sound(), headers=right).json()["probability"] < 1
    assert post(address, sound()).status_code == 401
    assert post(address, bytes(900_000)).status_code == 401
    assert post(address, bytes(4_000_000), headers=right).status_code == 413  # and the reason is read
    running.send_signal(signal.SIGTERM)
    assert running.wait(WAIT) in (0, -signal.SIGTERM)
    assert {path.name for path in (tmp_path / "temporary").iterdir()} == {"log"}
    log = (tmp_path / "temporary" / "log").read_text()
    assert "POST /v1/score 200" in log
    assert "Traceback" not in log
    assert "kkkk" not in log


def test_who_hangs_up_is_noticed(start: Start) -> None:
    _, address = start()
    host, port = address.removeprefix("http://").split(":")
    request = httpx.Request("POST", f"{address}/v1/score", data=ASKED, files={"audio": ("a.wav", sound(4))})
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    for _ in range(5):
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(f"POST /v1/score HTTP/1.1\r\n{head}\r\n".encode() + request.read())
    wait_until(lambda: 'path="/v1/score",status="499"' in httpx.get(f"{address}/metrics").text)
    assert post(address, sound()).status_code == 200


def test_who_hangs_up_while_a_table_is_scored_leaves_nothing(start: Start, tmp_path: Path) -> None:
    _, address = start()
    assert len(lines(address, table(60), 0, stop_after=2)) == 2
    wait_until(lambda: not list((tmp_path / "temporary").glob("speech-text-comparison-*/*.wav")))
    counted = httpx.get(f"{address}/metrics").text
    scored = sum(float(line.split()[1]) for line in counted.splitlines() if line.startswith("answers_total{"))
    assert scored < 60
    assert post(address, sound()).status_code == 200


def table(n_rows: int) -> list[tuple[str, tuple[str, bytes]]]:
    files = {f"{row}.wav": sound(seed=row) for row in range(n_rows)}
    rows = [(name, "blending", "cat", "KG") for name in files]
    metadata = pd.DataFrame(rows, columns=["filename", "task", "expected_text", "grade"]).to_csv(index=False)
    return [("files", ("t.csv", metadata.encode())), *(("files", (name, content)) for name, content in files.items())]


def lines(address: str, files: Any, start: int, stop_after: int | None = None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    with httpx.stream("POST", f"{address}/v1/batch", files=files, data={"start": str(start)}, timeout=WAIT) as reply:
        for line in reply.iter_lines():
            found.append(json.loads(line))
            if len(found) == stop_after:
                break
    return found


def test_a_killed_batch_goes_on_without_a_lost_or_doubled_answer(start: Start, tmp_path: Path) -> None:
    files = table(30)
    running, address = start()
    first = lines(address, files, 0, stop_after=7)
    running.kill()
    running.wait()
    assert list((tmp_path / "temporary").glob("speech-text-comparison-*/*.wav"))  # what it had in hand
    _, address = start()
    rest = lines(address, files, start=len(first))
    whole = lines(address, files, 0)
    assert not list((tmp_path / "temporary").glob("speech-text-comparison-*/*.wav"))
    joined = first + rest[:-1]
    assert [line["row"] for line in joined] == list(range(30))
    assert [line["answer"]["probability"] for line in joined] == pytest.approx(
        [line["answer"]["probability"] for line in whole[:-1]], abs=1e-5
    )
    assert rest[-1] == whole[-1] == {"finished": True, "total": 30}


def test_others_may_not_ask_without_keys(script: Script, work: Path) -> None:
    outcome = script("serve.py", "--host", "0.0.0.0")
    assert outcome.code == 1
    assert "--api_keys" in outcome.error
    assert "line 1" in script("serve.py", "--api_keys", work / "data/train_labels.csv").error
