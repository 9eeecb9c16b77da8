"""The page in a real browser: Chromium, driven by Playwright. Skipped where one of them is absent.

Run: .venv/bin/python -m pytest tests/page/test_app_browser.py
"""

import io
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import numpy as np
import pandas as pd
import pytest
import soundfile
from contrast import faint_texts
from fakes import CHROMIUM, ROOT, tone

from models.page.example import EXPECTED
from models.page.phrases import all_phrases

pytest.importorskip("gradio", reason="the page's package, gradio, is not installed")
playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")]
ATTACK = "<img src=x>{{1}}"  # as long as leaves an answer room: a voice speaks it, sign by sign
PHONE = {"width": 390, "height": 844}
SECONDS_MS = 1000


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from models.speech.audio import write_wav
    from models.speech.voices import EspeakVoice

    path = tmp_path_factory.mktemp("clip") / "spoken.wav"
    write_wav(path, EspeakVoice(1.0).speak("we like to play"))
    return path


@pytest.fixture(scope="module")
def server(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address of a page, and the folder that temporary files of it lie in."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("temporary")
    environment = {**os.environ, "TMPDIR": str(folder), "SPEECH_TEXT_COMPARISON_CACHE": str(folder / "cache")}
    command = [sys.executable, ROOT / "app.py", "--port", str(port), "--max_seconds", "5", "--max_upload_mb", "1"]
    with subprocess.Popen(command, cwd=prepared, env=environment) as running:
        try:
            _wait_for(f"http://127.0.0.1:{port}/", running)
            yield f"http://127.0.0.1:{port}", folder
        finally:
            running.send_signal(signal.SIGTERM)
            running.wait(120)
    assert not list(folder.glob("speech-text-comparison-*"))  # nothing is left behind


def _wait_for(address: str, running: "subprocess.Popen[bytes]") -> None:
    for _ in range(240):
        assert running.poll() is None, "the page has ended"
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            time.sleep(0.5)
    pytest.fail("the page does not answer")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """With a microphone that hears a tone."""
    heard = tmp_path_factory.mktemp("microphone") / "tone.wav"
    soundfile.write(heard, tone(10, 440, np.random.default_rng(0)), 16_000)
    devices = [
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={heard}",
    ]
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *devices])
        yield started
        started.close()


@pytest.fixture
def open_page(browser: Any, server: tuple[str, Path]) -> Iterator[Callable[..., Any]]:
    """Opens the page; every request is watched, and in the end none may have left this computer."""
    address, contexts, asked = server[0], [], []

    def open_one(language: str = "en", **options: Any) -> Any:
        contexts.append(browser.new_context(accept_downloads=True, locale=language, **options))
        page = contexts[-1].new_page()
        page.set_default_timeout(60 * SECONDS_MS)
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        page.get_by_role("button", name=all_phrases()[language[:2]]("score_button")).wait_for()
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert asked
    assert not [url for url in asked if not url.startswith((address, "data:", "blob:"))]


def upload(page: Any, file: Any) -> None:
    page.get_by_role("button", name="Upload file").click()
    with page.expect_response(re.compile("gradio_api/upload(\\?|$)")):
        page.locator("input[type=file]").first.set_input_files(file)
    page.get_by_text("Drop Audio Here").wait_for(state="hidden")


def score(page: Any, text: str = "we like to play") -> Any:
    page.get_by_label("Expected text").fill(text)
    page.get_by_role("button", name="Score this answer").click()
    return page


def as_wav(seconds: float) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, tone(seconds, 300, np.random.default_rng(0)), 16_000, format="WAV")
    return stream.getvalue()


def payload(name: str, content: bytes) -> dict[str, Any]:
    return {"name": name, "mimeType": "audio/wav", "buffer": content}


def kept_files(folder: Path) -> list[Path]:
    return [
        path
        for own in folder.glob("speech-text-*")
        for path in own.iterdir()
        if path.is_file() and path.name != ".lock"
    ]


def test_upload_score_and_another_text(open_page: Callable[..., Any], server: tuple[str, Path], clip: Path) -> None:
    page = open_page()
    upload(page, clip)
    result = score(page).locator("section[aria-label=Result]")
    result.wait_for()
    assert re.search(r"answer was right: [0-9.]+ %", result.inner_text())
    assert result.locator("audio").count() == 2
    for sound in result.locator("audio").all():
        page.wait_for_function("audio => audio.readyState > 0", arg=sound.element_handle())  # it can be played
        assert 0.1 < sound.evaluate("audio => audio.duration") < 10
    assert not kept_files(server[1])
    before = result.inner_text()
    score(page, "she has a red hat")  # with the recording that is held in memory
    page.wait_for_function(
        "before => document.querySelector('section[aria-label=Result]').innerText != before", arg=before
    )
    assert "she has a red hat" in result.inner_text()


def test_an_example_with_one_click_and_another_text_for_it(
    open_page: Callable[..., Any], server: tuple[str, Path]
) -> None:
    """It is spoken here, drawn and played, and can be asked about again; nothing of it lies on the disk."""
    page = open_page()
    page.get_by_role("button", name="Try an example").click()
    result = page.locator("section[aria-label=Result]")
    result.locator(".stc-verdict").wait_for()
    assert page.get_by_label("Expected text").input_value() == EXPECTED
    assert result.locator("svg.stc-waveform").count() >= 1
    sound = result.locator("audio[aria-label='The answer']")
    page.wait_for_function("audio => audio.readyState > 0", arg=sound.element_handle())
    before = result.inner_text()
    score(page, "we like to play")
    page.wait_for_function(
        "before => document.querySelector('section[aria-label=Result]').innerText != before", arg=before
    )
    assert "we like to play" in result.inner_text()
    assert not kept_files(server[1])


def test_the_page_in_german_and_another_language_by_a_link(open_page: Callable[..., Any]) -> None:
    """All that is seen, told and named is German: Gradio's words, ours, a result's; then the visitor chooses French."""
    page = open_page("de-DE")
    german = all_phrases()["de"]
    assert page.evaluate("document.documentElement.lang") == "de"
    assert page.title() == german("page_title")
    page.get_by_role("button", name="Upload file").click()  # a name that Gradio has in English alone
    page.get_by_text("Audio hier ablegen").wait_for()
    page.get_by_role("button", name=german("score_button")).click()
    page.get_by_text(german("error: no recording")).wait_for()
    page.get_by_role("button", name=german("example_button")).click()
    page.locator(".stc-verdict").wait_for()
    shown = page.locator("[lang=de]").first.inner_text()
    assert german("probability_right") in shown
    english = all_phrases()["en"].texts
    names = (
        "introduction",
        "probability_right",
        "expected_label",
        "task",
        "grade",
        "answer",
        "expected_sound",
        "heard",
    )
    assert [name for name in names if english[name].partition("{")[0] in shown] == []
    page.get_by_role("link", name="Français").click()
    page.get_by_role("button", name=all_phrases()["fr"]("score_button")).wait_for()
    page.wait_for_function("document.documentElement.lang == 'fr'")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_its_ground(open_page: Callable[..., Any], clip: Path, scheme: str) -> None:
    page = open_page(viewport={"width": 1100, "height": 2500}, color_scheme=scheme)
    faint = faint_texts(page, 12)
    page.get_by_role("button", name="Upload file").click()
    page.get_by_text("When should a person review?").click()
    page.get_by_role("button", name="Score this answer").click()
    page.locator("[role=alert]").wait_for()
    page.wait_for_timeout(SECONDS_MS)  # until what was opened has come to rest
    faint += faint_texts(page, 20)
    page.get_by_role("button", name="Try an example").click()
    page.locator(".stc-verdict").wait_for()
    page.wait_for_timeout(SECONDS_MS)
    faint += faint_texts(page, 30)
    page.get_by_role("tab", name="Many answers").click()
    page.get_by_role("button", name="Score all answers").click()
    page.get_by_text("Send a table with its recordings first").wait_for()
    page.wait_for_timeout(SECONDS_MS)
    faint += faint_texts(page, 12)
    assert faint == []


def test_recording_from_the_microphone(open_page: Callable[..., Any], server: tuple[str, Path]) -> None:
    page = open_page(permissions=["microphone"])
    page.get_by_role("button", name="Record", exact=True).click()
    page.wait_for_timeout(2 * SECONDS_MS)
    with page.expect_response(re.compile("gradio_api/upload(\\?|$)")):
        page.get_by_role("button", name="Stop").locator("visible=true").first.click()
    page.wait_for_timeout(1 * SECONDS_MS)
    result = score(page).locator("section[aria-label=Result]")
    result.wait_for()
    sound = result.locator("audio").first
    page.wait_for_function("audio => audio.readyState > 0", arg=sound.element_handle())
    assert 1 < sound.evaluate("audio => audio.duration") < 5
    assert not kept_files(server[1])


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [("broken.wav", b"RIFF" + bytes(500), "not readable"), ("long.wav", as_wav(7), "longer than 5 s")],
)
def test_files_that_are_refused(
    open_page: Callable[..., Any], server: tuple[str, Path], name: str, content: bytes, told: str
) -> None:
    page = open_page()
    upload(page, payload(name, content))
    alert = score(page).locator("[role=alert]")
    alert.wait_for()
    assert told in alert.inner_text().lower()
    assert str(server[1]) not in page.content()
    assert not kept_files(server[1])


def test_a_file_that_is_too_large(open_page: Callable[..., Any], server: tuple[str, Path]) -> None:
    page = open_page()
    page.get_by_role("button", name="Upload file").click()
    page.locator("input[type=file]").first.set_input_files(payload("large.wav", bytes(2_000_000)))
    page.get_by_text("exceed the maximum allowed size").wait_for()
    assert not kept_files(server[1])


def test_typed_markup_and_file_names_do_nothing(open_page: Callable[..., Any], clip: Path) -> None:
    page = open_page()
    upload(page, payload('<img src=x onerror="window.hacked=1">.wav', clip.read_bytes()))
    result = score(page, ATTACK).locator("section[aria-label=Result]")
    result.wait_for()
    page.wait_for_timeout(SECONDS_MS)
    assert ATTACK in result.inner_text()
    assert page.evaluate("window.hacked") is None
    assert page.locator("img[src=x]").count() == 0


def test_many_answers_and_the_download(open_page: Callable[..., Any], server: tuple[str, Path], tmp_path: Path) -> None:
    page = open_page()
    page.get_by_role("tab", name="Many answers").click()
    rows = [(name, "blending", ATTACK, "KG") for name in ("a.wav", "b.wav", "missing.wav")]
    table = pd.DataFrame(rows, columns=["filename", "task", "expected_text", "grade"])
    sent = [
        payload("a.wav", as_wav(0.5)),
        payload("b.wav", as_wav(0.7)),
        payload("t.csv", table.to_csv(index=False).encode()),
    ]
    with page.expect_response(re.compile("gradio_api/upload(\\?|$)")):
        page.locator("input[type=file]").last.set_input_files(sent)
    page.wait_for_timeout(SECONDS_MS)
    page.get_by_role("button", name="Score all answers").click()
    link = page.get_by_role("link", name="Download scores.csv")
    link.wait_for()
    with page.expect_download() as started:
        link.click()
    started.value.save_as(tmp_path / "scores.csv")
    assert started.value.suggested_filename == "scores.csv"
    scores = pd.read_csv(tmp_path / "scores.csv", keep_default_na=False)
    assert scores["filename"].tolist() == ["a.wav", "b.wav", "missing.wav"]
    assert scores["probability"].astype(str).ne("").tolist() == [True, True, False]
    assert page.locator("img[src=x]").count() == 0
    listed = page.get_by_role("link", name="Listen and correct").get_attribute("href")
    assert kept_files(server[1])  # until the list is closed
    assert page.request.delete(urljoin(page.url, listed)).status == 204
    assert not kept_files(server[1])


def tab_to(page: Any, name: str) -> None:
    """As who has no mouse: press Tab until it is reached, and see that it is."""
    for _ in range(40):
        page.keyboard.press("Tab")
        named = page.evaluate(
            "(e => e.ariaLabel || (e.labels && e.labels[0] || e).innerText || '')(document.activeElement)"
        )
        if named.strip().startswith(name):
            page.wait_for_timeout(200)
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
            assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid", name
            assert float(outline.removesuffix("px")) >= 2, name
            return
    pytest.fail(f"not reached by Tab: {name}")


def test_recorded_and_scored_by_keys_alone(open_page: Callable[..., Any]) -> None:
    page = open_page(permissions=["microphone"])
    tab_to(page, "Record")
    page.keyboard.press("Enter")
    page.wait_for_timeout(2 * SECONDS_MS)
    tab_to(page, "Stop")
    with page.expect_response(re.compile("gradio_api/upload(\\?|$)")):
        page.keyboard.press("Enter")
    tab_to(page, "Expected text")
    page.keyboard.type("cat")
    tab_to(page, "Task")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    tab_to(page, "Score this answer")
    page.keyboard.press("Enter")
    page.locator("section[aria-label=Result] .stc-verdict").wait_for()


def test_a_file_is_chosen_by_keys_alone(open_page: Callable[..., Any], clip: Path) -> None:
    page = open_page()
    tab_to(page, "Upload file")
    page.keyboard.press("Enter")
    with page.expect_file_chooser() as chooser:
        tab_to(page, "Drop")
        page.keyboard.press("Enter")
    with page.expect_response(re.compile("gradio_api/upload(\\?|$)")):
        chooser.value.set_files(clip)
    tab_to(page, "Expected text")
    page.keyboard.type("we like to play")
    page.keyboard.press("Enter")
    page.locator("section[aria-label=Result] .stc-verdict").wait_for()


def test_keyboard_labels_and_a_phone(open_page: Callable[..., Any]) -> None:
    """Everything has a name and can be reached by Tab, and nothing is wider than a phone."""
    page = open_page(viewport=PHONE)
    assert page.evaluate("document.documentElement.lang") == "en"
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.get_by_label("Expected text").focus()
    reached = []
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate("document.activeElement.innerText || document.activeElement.getAttribute('aria-label')")
        )
        if "Score this answer" in str(reached[-1]):
            break
    assert "Score this answer" in str(reached[-1])
    page.keyboard.press("Enter")
    page.locator("[role=alert]").wait_for()
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll('button, input:not([type=file]), textarea, select')]
        .filter(item => item.offsetParent && !item.innerText.trim() && !item.getAttribute('aria-label')
            && !item.title && !(item.labels && [...item.labels].some(label => label.innerText.trim())))
        .map(item => item.outerHTML)"""
    )
    assert unnamed == []
