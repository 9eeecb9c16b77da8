"""A page on which answers are scored: record or upload one, or send many."""

import argparse
import signal
import sys
from dataclasses import replace
from pathlib import Path

from models import inference, page, report
from models.base.cli import add_checkpoints_argument, add_compute_arguments, make_parser, positive, run
from models.errors import InputError

DEFAULT_CONFIGS = (Path("model_configs.pkl"), Path("demo/blend.pkl"))


def parse_arguments() -> argparse.Namespace:
    parser = make_parser(
        "Serve a page on this computer: record or upload an answer, type the expected text, and see the probability that it was "
        "right, or score a table of answers. Works without network. Recordings are not kept.",
        "python app.py --config model_configs.pkl",
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--config",
        type=Path,
        help="the ensemble, from get_config.py (default: model_configs.pkl, or else the demo's, demo/blend.pkl)",
    )
    add_checkpoints_argument(source)
    source.add_argument("--model", help="a folder that publish.py has written, or the hub id of one")
    parser.add_argument(
        "--tts_dir",
        type=Path,
        help="folder with references of a --config or of --checkpoints (default: tts_data beside it, or here, if it is there)",
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to serve on (default: %(default)s, this computer only)"
    )
    parser.add_argument("--port", type=positive, default=7860, help="port to serve on (default: %(default)s)")
    parser.add_argument(
        "--max_upload_mb", type=positive, default=20, help="largest upload, all files together (default: %(default)s)"
    )
    parser.add_argument(
        "--max_seconds", type=positive, default=60, help="longest recording, in seconds (default: %(default)s)"
    )
    parser.add_argument(
        "--review_from", type=float, default=0.25, help="below it an answer is called wrong (default: %(default)s)"
    )
    parser.add_argument(
        "--review_to", type=float, default=0.75, help="from it on an answer is called right (default: %(default)s)"
    )
    parser.add_argument(
        "--folder_root",
        type=Path,
        help="let visitors score folders on this computer that lie below it (default: they can't)",
    )
    add_compute_arguments(parser)
    return parser.parse_args()


def find_config(given: Path | None) -> Path:
    for path in (given,) if given else DEFAULT_CONFIGS:
        if path.is_file():
            return path
    wanted = given or " or ".join(str(path) for path in DEFAULT_CONFIGS)
    raise InputError(
        f"{wanted}: no such ensemble. Give one as --config or a published folder as --model, or make one: "
        "`make demo` trains on synthetic voices in minutes, offline; then run app.py again"
    )


def load_scorer(arguments: argparse.Namespace) -> "inference.Scorer":
    options = {"device": arguments.device, "precision": arguments.precision}
    if arguments.model:
        return inference.Scorer.from_pretrained(arguments.model, **options)
    if arguments.checkpoints:
        tts_dir = arguments.tts_dir or Path("tts_data")
        scorer = inference.Scorer.from_checkpoints(arguments.checkpoints, tts_dir, **options)
    else:
        config = find_config(arguments.config)
        scorer = inference.Scorer.from_config(config, arguments.tts_dir or config.parent / "tts_data", **options)
    scorer.published = replace(scorer.published, figures=report.member_figures(scorer.published.members))
    return scorer


def main() -> None:
    arguments = parse_arguments()
    settings = page.PageSettings(page.Thresholds(arguments.review_from, arguments.review_to), arguments.folder_root)
    if arguments.folder_root and not arguments.folder_root.is_dir():
        raise InputError(f"--folder_root {arguments.folder_root}: no such folder")
    if not arguments.model and not arguments.checkpoints:
        find_config(arguments.config)
    try:
        import uvicorn

        build_app = page.build_app  # imports Gradio
    except ImportError as error:
        raise InputError(f"the page needs a package ({error}): pip install -e '.[page]'") from error
    scorer = load_scorer(arguments)
    uploads = page.Uploads(arguments.max_upload_mb * 1_000_000)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that what was sent is deleted
    try:
        with page.free_socket(arguments.host, arguments.port) as listening:
            app = build_app(
                page.Service(scorer, arguments.max_seconds, page.make_explain(scorer)),
                uploads,
                settings,
                arguments.host,
            )
            print(f"{scorer.published.blending}; on {scorer.device}; open http://{arguments.host}:{arguments.port}")
            uvicorn.Server(uvicorn.Config(app, log_level="warning")).run([listening])
    finally:
        uploads.close()


if __name__ == "__main__":
    run(main)
