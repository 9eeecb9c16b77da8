"""Take docs/app.png and docs/report.png: the page judging a synthetic voice, and the head of the report, in a real Chromium.

    pip install -e '.[page]' playwright
    python experiments/draw_pages.py --assets_dir assets

No child's recording is in either picture. The page stands on --port while it is taken.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from models.base.cli import positive, run
from models.base.files import SHIPPED_MODEL
from models.errors import InputError
from tools.chain import ROOT

WAIT_MS = 60_000


def take_page(browser: Any, port: int, output: Path) -> None:
    page = browser.new_page(viewport={"width": 1100, "height": 900}, locale="en")
    page.goto(f"http://127.0.0.1:{port}")
    page.get_by_role("button", name="Try an example").click(timeout=WAIT_MS)
    page.locator("img[src^='data:image/png']").wait_for(timeout=WAIT_MS)
    page.wait_for_timeout(1000)  # until the players are drawn
    page.screenshot(path=output, full_page=True)


def take_report(browser: Any, report: Path, output: Path) -> None:
    page = browser.new_page(viewport={"width": 1220, "height": 1500})
    page.goto(report.resolve().as_uri())
    page.screenshot(path=output)


def wait_for_page(server: subprocess.Popen[str]) -> None:
    """Until it says where it is."""
    assert server.stdout is not None
    for line in server.stdout:
        if "open http" in line:
            return
    raise InputError(f"app.py ended with {server.wait()}; see above")


def find_chromium() -> str:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        raise InputError("no Chromium on the PATH; install one (apt install chromium)")
    return chromium


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, help="for the page (default: the model that comes with the project)")
    parser.add_argument("--assets_dir", type=Path, default=Path("assets"), help="for the report (default: %(default)s)")
    parser.add_argument("--data_dir", type=Path, default=Path("data"), help="for the report (default: %(default)s)")
    parser.add_argument("--tts_dir", type=Path, default=Path("tts_data"), help="for the report (default: %(default)s)")
    parser.add_argument("--output_dir", type=Path, default=ROOT / "docs", help="(default: %(default)s)")
    parser.add_argument("--port", type=positive, default=7911, help="(default: %(default)s)")
    return parser.parse_args()


def main() -> None:
    options = parse_arguments()
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise InputError(f"a package is missing ({error}): pip install playwright") from error
    chromium = find_chromium()
    with tempfile.TemporaryDirectory() as name:
        report = Path(name) / "report.html"
        folders = ["--assets_dir", options.assets_dir, "--data_dir", options.data_dir, "--tts_dir", options.tts_dir]
        check = [ROOT / "check_models.py", *folders, "--report", report, "--no_audio"]
        subprocess.run([sys.executable, *map(str, check)], check=False, stdout=subprocess.DEVNULL)
        model = ["--config", options.config] if options.config else ["--model", ROOT / SHIPPED_MODEL]
        page = ["-u", ROOT / "app.py", *model, "--port", options.port]
        server = subprocess.Popen([sys.executable, *map(str, page)], stdout=subprocess.PIPE, text=True)
        try:
            wait_for_page(server)
            with sync_playwright() as driver:
                browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
                take_page(browser, options.port, options.output_dir / "app.png")
                take_report(browser, report, options.output_dir / "report.png")
        finally:
            server.terminate()
            server.wait()
    print(f"wrote {options.output_dir / 'app.png'} and {options.output_dir / 'report.png'}")


if __name__ == "__main__":
    run(main)
