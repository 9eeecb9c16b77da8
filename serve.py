"""An HTTP API on which programs have answers scored: audio and expected text in, probability and words out."""

import argparse
import logging
import signal
import sys
import time
from contextlib import closing
from pathlib import Path

from models import api, service
from models.base.cli import make_parser, positive, run
from models.errors import InputError
from models.service.options import (
    add_service_arguments,
    check_service_arguments,
    free_socket,
    identify,
    load_scorer,
)
from models.service.uploads import LOCAL_HOSTS


def parse_arguments() -> argparse.Namespace:
    parser = make_parser(
        "Serve an HTTP API: POST /v1/score takes a recording and the expected text, POST /v1/batch a table of them; /docs tells "
        "the rest. Works without network. Nothing that is sent is kept, and no text, audio or name is logged.",
        "python serve.py --model published",
    )
    add_service_arguments(parser, port=8000)
    parser.add_argument(
        "--api_keys",
        type=Path,
        help="file with a name and a key in each line; needed on other addresses than this computer",
    )
    parser.add_argument("--requests_per_minute", type=positive, default=600, help="of each key (default: %(default)s)")
    parser.add_argument(
        "--max_waiting",
        type=positive,
        default=64,
        help="answers that may wait; further ones get 429 (default: %(default)s)",
    )
    parser.add_argument(
        "--max_wait_seconds", type=positive, default=30, help="longest wait for a score (default: %(default)s)"
    )
    parser.add_argument(
        "--max_batch_mb", type=positive, default=100, help="largest table with its recordings (default: %(default)s)"
    )
    return parser.parse_args()


def read_keys(arguments: argparse.Namespace) -> "api.Keys | None":
    if arguments.api_keys is not None:
        return api.Keys.read(arguments.api_keys)
    if arguments.host not in LOCAL_HOSTS:
        raise InputError(f"--host {arguments.host}: others could ask too; give a file with keys as --api_keys")
    return None


def log_to_terminal() -> None:
    """With times in UTC, and of this program alone: uvicorn would log addresses with all that is in them."""
    form = logging.Formatter("%(asctime)sZ %(message)s", "%Y-%m-%dT%H:%M:%S")
    form.converter = time.gmtime
    handler = logging.StreamHandler()
    handler.setFormatter(form)
    logger = logging.getLogger("serve")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)


def main() -> None:
    arguments = parse_arguments()
    thresholds = check_service_arguments(arguments)
    try:
        import uvicorn

        keys, build_api = read_keys(arguments), api.build_api  # imports FastAPI
    except ImportError as error:
        raise InputError(f"the API needs a package ({error}): pip install -e '.[serve]'") from error
    log_to_terminal()
    uploads = service.Uploads(arguments.max_batch_mb * 1_000_000)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that what was sent is deleted
    try:
        with free_socket(arguments.host, arguments.port) as listening:
            scorer = load_scorer(arguments, uploads.folder / "spoken" / "references")  # what was sent as text goes, too
            settings = api.ApiSettings(
                thresholds=thresholds,
                model=identify(arguments),
                max_score_bytes=arguments.max_upload_mb * 1_000_000,
                max_batch_bytes=uploads.max_bytes,
                max_waiting=arguments.max_waiting,
                max_wait_seconds=arguments.max_wait_seconds,
                requests_per_minute=arguments.requests_per_minute,
            )
            limits = (arguments.max_seconds, arguments.max_waiting, arguments.max_wait_seconds)
            with closing(service.Service(scorer, *limits)) as scoring:
                app = build_api(scoring, uploads, settings, keys, arguments.host)
                print(
                    f"{len(scorer.published.members)} networks on {scorer.device}; http://{arguments.host}:{arguments.port}/docs"
                )
                config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=10)
                uvicorn.Server(config).run([listening])
    finally:
        uploads.close()


if __name__ == "__main__":
    run(main)
