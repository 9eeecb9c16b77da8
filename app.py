"""A page on which answers are scored: record or upload one, or send many."""

import argparse
import signal
import sys
from contextlib import closing
from pathlib import Path

from models import page, service
from models.base.cli import make_parser, run
from models.errors import InputError
from models.service.options import add_service_arguments, check_service_arguments, free_socket, load_scorer


def parse_arguments() -> argparse.Namespace:
    parser = make_parser(
        "Serve a page on this computer: record or upload an answer, type the expected text, and see the probability that it was "
        "right, or score a table of answers. Works without network. A recording is not kept; those of a table are "
        "until it has been worked through, and what is said of them stays.",
        "python app.py",
    )
    add_service_arguments(parser, port=7860)
    parser.add_argument(
        "--folder_root",
        type=Path,
        help="let visitors score folders on this computer that lie below it (default: they can't)",
    )
    parser.add_argument(
        "--corrections_dir",
        type=Path,
        default=Path("corrections"),
        help="where is saved what people say of a table's answers, for train.py --corrections (default: %(default)s, here)",
    )
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    settings = page.PageSettings(check_service_arguments(arguments), arguments.folder_root, arguments.corrections_dir)
    if arguments.corrections_dir.exists() and not arguments.corrections_dir.is_dir():
        raise InputError(f"--corrections_dir {arguments.corrections_dir}: is a file; give a folder, new or old")
    if arguments.folder_root and not arguments.folder_root.is_dir():
        raise InputError(f"--folder_root {arguments.folder_root}: no such folder")
    try:
        import uvicorn

        build_app = page.build_app  # imports Gradio
    except ImportError as error:
        raise InputError(f"the page needs a package ({error}): pip install -e '.[page]'") from error
    scorer = load_scorer(arguments)
    uploads = service.Uploads(arguments.max_upload_mb * 1_000_000)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that what was sent is deleted
    try:
        with (
            free_socket(arguments.host, arguments.port) as listening,
            closing(service.Service(scorer, arguments.max_seconds)) as scoring,
        ):
            app = build_app(scoring, uploads, settings, arguments.host)
            print(f"{scorer.published.blending}; on {scorer.device}; open http://{arguments.host}:{arguments.port}")
            uvicorn.Server(uvicorn.Config(app, log_level="warning")).run([listening])
    finally:
        uploads.close()


if __name__ == "__main__":
    run(main)
