"""Take docs/class.png: a class's answers, said by a synthetic voice, worked through on the page, in a real Chromium.

    pip install -e '.[page]' playwright
    python experiments/draw_list.py

No child's recording is in the picture. The page stands on --port while it is taken.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile

from experiments.draw_pages import WAIT_MS, find_chromium, wait_for_page
from models.base.cli import positive, run
from models.errors import InputError
from models.speech.espeak import Espeak
from tools.chain import ROOT

ANSWERS = (  # child, expected, said
    ("07", "my brother found a big bone", "my father found a big bone"),
    ("07", "we like to play outside", "we like to play outside"),
    ("11", "she has a red hat", "she has a red cat"),
    ("11", "it is cold in the garden", "it is cold garden"),
    ("23", "the dog runs to the house", "the dog runs to the house"),
    ("23", "they go to school on monday", "they go to the school on monday"),
    ("31", "he can see a green frog", "he can see the green fog"),
    ("31", "birds sing in the morning", "birds sing in the morning"),
)
_JUDGED = 6  # before the picture is taken


def write_class(folder: Path) -> list[Path]:
    """The recordings and their table."""
    pause, rows = np.zeros(6000), []
    with Espeak() as espeak:
        for place, (child, expected, said) in enumerate(ANSWERS):
            spoken = espeak.speak(said, f"en-us+f{1 + place % 4}", 140, 50 + 5 * (place % 4)).samples / 32768
            rows.append((f"{place}.wav", "sentence_repetition", expected, "1", child))
            soundfile.write(folder / rows[-1][0], np.concatenate([pause, spoken, pause]), 22_050)
    table = pd.DataFrame(rows, columns=["filename", "task", "expected_text", "grade", "child"])
    table.to_csv(folder / "class.csv", index=False)
    return sorted(folder.iterdir())


def take_list(browser: Any, port: int, files: list[Path], output: Path) -> None:
    context = browser.new_context(viewport={"width": 1200, "height": 620}, locale="en-US")
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{port}")
    page.get_by_role("tab", name="Many answers").click(timeout=WAIT_MS)
    with page.expect_response(re.compile("gradio_api/upload(\\?|$)")):
        page.locator("input[type=file]").last.set_input_files(files)
    page.wait_for_timeout(1000)
    page.get_by_role("button", name="Score all answers").click()
    with context.expect_page() as opened:
        page.get_by_role("link", name="Listen and correct").click(timeout=WAIT_MS)
    shown = opened.value
    shown.locator("#list .current").wait_for()
    right = {expected for _, expected, said in ANSWERS if said == expected}
    for _ in range(_JUDGED):
        shown.wait_for_timeout(1000)  # until it is drawn and plays
        shown.keyboard.press("j" if shown.locator("#text").inner_text() in right else "f")
    shown.wait_for_timeout(1000)
    shown.screenshot(path=output)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", type=Path, default=ROOT / "docs", help="(default: %(default)s)")
    parser.add_argument("--port", type=positive, default=7912, help="(default: %(default)s)")
    options = parser.parse_args()
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise InputError(f"a package is missing ({error}): pip install playwright") from error
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory() as corrections:
        page = ["-u", ROOT / "app.py", "--model", ROOT / "assets/models/verifytiny-children"]
        page += ["--corrections_dir", corrections, "--port", options.port]
        server = subprocess.Popen([sys.executable, *map(str, page)], stdout=subprocess.PIPE, text=True)
        try:
            files = write_class(Path(name))
            wait_for_page(server)
            with sync_playwright() as driver:
                browser = driver.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
                take_list(browser, options.port, files, options.output_dir / "class.png")
        finally:
            server.terminate()
            server.wait()
    print(f"wrote {options.output_dir / 'class.png'}")


if __name__ == "__main__":
    run(main)
