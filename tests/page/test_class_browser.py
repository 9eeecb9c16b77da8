"""A list of answers, worked through in a real browser: Chromium, driven by Playwright. Skipped where one of them is absent.

Run: .venv/bin/python -m pytest tests/page/test_class_browser.py
"""

import io
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from contrast import faint_texts
from fakes import CHROMIUM, ROOT, read_rows, tone

pytest.importorskip("gradio", reason="the page's package, gradio, is not installed")
playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")]
PHONE = {"width": 390, "height": 844}
SECONDS_MS = 1000
TEXTS = {"a.wav": "cat", "b.wav": "fox", "c.wav": "desk", "d.wav": "old", "missing.wav": "lap"}


class Server:
    """`app.py` in a folder of its own, which can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"http://127.0.0.1:{free.getsockname()[1]}"
        self.start()

    def start(self) -> None:
        environment = {**os.environ, "SPEECH_TEXT_COMPARISON_CACHE": str(self.folder / "cache")}
        command = [sys.executable, ROOT / "app.py", "--port", self.address.rpartition(":")[2], "--max_seconds", "5"]
        self.running = subprocess.Popen(command, cwd=self.folder, env=environment)
        for _ in range(240):
            assert self.running.poll() is None, "the page has ended"
            try:
                urllib.request.urlopen(self.address, timeout=5).close()
                return
            except OSError:
                time.sleep(0.5)
        pytest.fail("the page does not answer")

    def stop(self, how: int = signal.SIGTERM) -> None:
        self.running.send_signal(how)
        self.running.wait(120)

    def saved(self) -> dict[str, str]:
        """Score by file name, as it lies on the disk."""
        files = list((self.folder / "corrections").glob("*.csv"))
        return {row[0]: row[1] for row in read_rows(files[0])[1:]} if files else {}


@pytest.fixture(scope="module")
def server(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("class") / "work"
    shutil.copytree(prepared, folder)
    made = Server(folder)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def context(browser: Any, server: Server) -> Iterator[Any]:
    """Every request is watched: none may leave this computer, and no script may fail. Nobody has judged anything yet."""
    shutil.rmtree(server.folder / "corrections", ignore_errors=True)
    made, asked, failed = browser.new_context(locale="en-US", accept_downloads=True), [], []
    made.set_default_timeout(60 * SECONDS_MS)
    made.on("request", lambda request: asked.append(request.url))
    made.on("weberror", lambda error: failed.append(str(error.error)))
    yield made
    made.close()
    assert not [url for url in asked if not url.startswith((server.address, "data:", "blob:"))]
    assert failed == []


def files() -> list[dict[str, Any]]:
    rows = [(name, "blending", text, "KG", f"child {place % 2}") for place, (name, text) in enumerate(TEXTS.items())]
    table = pd.DataFrame(rows, columns=["filename", "task", "expected_text", "grade", "child"])
    sent = [{"name": "class.csv", "mimeType": "text/csv", "buffer": table.to_csv(index=False).encode()}]
    for place, name in enumerate(list(TEXTS)[:-1]):
        stream = io.BytesIO()
        soundfile.write(
            stream, tone(1 + place / 4, 200 + 90 * place, np.random.default_rng(place)), 16_000, format="WAV"
        )
        sent.append({"name": name, "mimeType": "audio/wav", "buffer": stream.getvalue()})
    return sent


def send_table(context: Any, server: Server) -> Any:
    """Score the table on the page, and open its list by the link."""
    page = context.new_page()
    page.goto(server.address)
    page.get_by_role("tab", name="Many answers").click()
    with page.expect_response(re.compile("gradio_api/upload(\\?|$)")):
        page.locator("input[type=file]").last.set_input_files(files())
    page.wait_for_timeout(SECONDS_MS)
    page.get_by_role("button", name="Score all answers").click()
    with context.expect_page() as opened:
        page.get_by_role("link", name="Listen and correct").click()
    page.close()
    return ready(opened.value)


def until(page: Any, expression: str) -> None:
    """Wait for it. Playwright's own waiting would evaluate text, which the page's policy forbids."""
    for _ in range(600):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(100)
    pytest.fail(f"never: {expression}")


def ready(page: Any) -> Any:
    page.locator("#list .current").wait_for()
    until(page, "document.getElementById('sound').readyState > 0 || document.getElementById('right').disabled")
    return page


def shown(page: Any) -> str:
    return str(page.locator("#text").inner_text())


def press(page: Any, key: str, told: str) -> str:
    """Press a key, and wait for what the page says of it; returns the text of the answer that was judged."""
    text = shown(page)
    page.wait_for_timeout(400)  # what is pressed sooner was meant for the answer before
    page.evaluate("document.getElementById('saved').textContent = ''")
    page.keyboard.press(key)
    until(page, f"document.getElementById('saved').textContent === {told!r}")
    return text


def name_of(text: str) -> str:
    return next(name for name, own in TEXTS.items() if own == text)


def test_a_list_is_worked_through_by_keys_and_survives_a_reload_another_tab_and_a_kill(
    context: Any, server: Server
) -> None:
    page = send_table(context, server)
    assert page.locator("#list button").count() == 5
    assert server.saved() == {}
    first = press(page, "j", "Saved: Right")
    assert server.saved() == {name_of(first): "1"}  # before anything else is pressed
    second = press(page, "f", "Saved: Wrong")
    third = press(page, "s", "Saved: skipped")
    wanted = {name_of(first): "1", name_of(second): "0", name_of(third): ""}
    assert server.saved() == wanted
    assert page.locator("#done").inner_text() == "2 of 5 listened to"
    fourth = shown(page)
    assert len({first, second, third, fourth}) == 4

    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert shown(page) == second
    assert page.locator("#wrong").get_attribute("aria-pressed") == "true"
    page.keyboard.press("ArrowRight")
    assert shown(page) == third

    ready(page.reload() and page)  # in the middle
    assert shown(page) == fourth
    assert page.locator("#done").inner_text() == "2 of 5 listened to"
    assert page.locator("#list .sign.right, #list .sign.wrong, #list .sign.skipped").count() == 3

    other = context.new_page()  # two tabs
    other.goto(page.url)
    ready(other)
    assert shown(other) == fourth
    press(other, "j", "Saved: Right")
    press(page, "f", "Saved: Wrong")  # the same answer: the last one holds
    wanted[name_of(fourth)] = "0"
    assert server.saved() == wanted
    other.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    until(other, "document.querySelectorAll('#list .sign.wrong').length === 2")
    other.close()

    server.stop(signal.SIGKILL)
    before = shown(page)
    page.keyboard.press("s")
    alert = page.locator("#alert")
    alert.wait_for()
    assert alert.inner_text() == "Not saved. The page does not answer; is it still running?"
    assert shown(page) == before
    server.start()
    page.reload()
    page.get_by_text("Send the table and its recordings again").wait_for()
    again = send_table(context, server)
    assert server.saved() == wanted
    assert again.locator("#done").inner_text() == "3 of 5 listened to"
    again.locator("#list button", has_text=second).click()
    press(again, "f", "Taken back")
    assert server.saved() == {name: score for name, score in wanted.items() if name != name_of(second)}


def test_playing_a_missing_recording_and_keys_that_are_off(context: Any, server: Server) -> None:
    page = send_table(context, server)
    page.locator("#list button", has_text=TEXTS["b.wav"]).click()
    until(page, "!document.getElementById('sound').paused")  # at once
    assert 1.2 < page.evaluate("document.getElementById('sound').duration") < 1.3
    page.locator("#text").focus()
    page.keyboard.press(" ")
    until(page, "document.getElementById('sound').paused")
    page.keyboard.press(" ")
    until(page, "!document.getElementById('sound').paused")
    page.locator("#list button", has_text=TEXTS["missing.wav"]).click()
    assert page.locator("#right").is_disabled()
    assert "No such recording" in page.locator("#remarks").inner_text().capitalize()
    before = server.saved()
    page.wait_for_timeout(400)
    page.keyboard.press("j")
    page.locator("#list button", has_text=TEXTS["a.wav"]).click()
    page.get_by_label("Keyboard keys").uncheck()
    page.locator("#text").focus()
    page.keyboard.press("j")
    page.wait_for_timeout(SECONDS_MS)
    assert server.saved() == before


def test_everything_has_a_name_fits_a_phone_and_is_reached_by_tab(context: Any, server: Server) -> None:
    page = send_table(context, server)
    page.set_viewport_size(PHONE)
    plain = page.url.partition("?")[0]
    for address in (plain, f"{plain}summary", f"{plain}?lang=de", f"{plain}summary?lang=fr"):
        page.goto(address)
        page.locator("h1").wait_for()
        page.wait_for_timeout(SECONDS_MS)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], address
        unnamed = page.evaluate(
            """() => [...document.querySelectorAll('button, a, input, select, audio, progress')]
            .filter(item => item.offsetParent && !item.textContent.trim() && !item.getAttribute("aria-label")
                && !item.getAttribute('aria-labelledby') && !(item.labels && item.labels.length))
            .map(item => item.outerHTML)"""
        )
        assert unnamed == [], address
    page.goto(f"{plain}?lang=es")
    ready(page)
    assert page.get_by_role("button", name="Correcta", exact=False).first.is_visible()
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id"))
    assert {"play", "wrong", "skipped", "right", "back", "next", "order", "keys"} <= reached


def test_every_text_stands_out_from_its_ground(context: Any, server: Server) -> None:
    """On the list, with answers of each kind of judgement and a menu that is open, and on the summary."""
    page = send_table(context, server)
    page.set_viewport_size({"width": 1200, "height": 2000})
    faint = faint_texts(page, 20)
    for key, told in (("j", "Saved: Right"), ("f", "Saved: Wrong"), ("s", "Saved: skipped")):
        press(page, key, told)
    page.keyboard.press("ArrowLeft")  # what is pressed is marked on its button
    page.get_by_text("Save", exact=True).click()
    page.wait_for_timeout(SECONDS_MS)
    faint += faint_texts(page, 20)
    page.goto(page.url.replace("?", "summary?"))
    page.get_by_role("heading", name="By child").wait_for()
    faint += faint_texts(page, 50)
    assert faint == []


def test_a_printed_summary_has_no_buttons(context: Any, server: Server) -> None:
    page = send_table(context, server)
    press(page, "j", "Saved: Right")
    page.get_by_role("link", name="Summary and print").click()
    page.get_by_role("heading", name="By child").wait_for()
    assert page.get_by_role("button", name="Print").is_visible()
    page.emulate_media(media="print")
    assert not page.get_by_role("button", name="Print").is_visible()
    assert page.get_by_text("Who says so").is_visible()
