"""What is asked of the command line by all that serve: which model, where, and how much is taken."""

import argparse
import socket
from dataclasses import replace
from pathlib import Path

from models import inference, report
from models.base.cli import add_compute_arguments, positive
from models.base.files import sha256_of_file
from models.errors import InputError
from models.service.identity import ModelName
from models.service.thresholds import Thresholds

DEFAULT_CONFIGS = (Path("model_configs.pkl"), Path("demo/blend.pkl"))


def add_service_arguments(parser: argparse.ArgumentParser, port: int) -> None:
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--config",
        type=Path,
        help="the ensemble, from get_config.py (default: model_configs.pkl, or else the demo's, demo/blend.pkl)",
    )
    source.add_argument("--model", help="a folder that publish.py has written, or the hub id of one")
    parser.add_argument(
        "--tts_dir",
        type=Path,
        help="folder with references of a --config (default: tts_data beside it, if it is there)",
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to serve on (default: %(default)s, this computer only)"
    )
    parser.add_argument("--port", type=positive, default=port, help="port to serve on (default: %(default)s)")
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
    add_compute_arguments(parser)


def check_service_arguments(arguments: argparse.Namespace) -> Thresholds:
    """What can be told before anything slow is loaded."""
    thresholds = Thresholds(arguments.review_from, arguments.review_to)
    if not arguments.model:
        find_config(arguments.config)
    return thresholds


def find_config(given: Path | None) -> Path:
    for path in (given,) if given else DEFAULT_CONFIGS:
        if path.is_file():
            return path
    wanted = given or " or ".join(str(path) for path in DEFAULT_CONFIGS)
    raise InputError(
        f"{wanted}: no such ensemble. Give one as --config or a published folder as --model, or make one: "
        "`make demo` trains on synthetic voices in minutes, offline; then run this again"
    )


def load_scorer(arguments: argparse.Namespace, cache_dir: Path | None = None) -> "inference.Scorer":
    """The model that was asked for; `cache_dir` as of `Scorer`."""
    options = {"device": arguments.device, "precision": arguments.precision, "cache_dir": cache_dir}
    if arguments.model:
        return inference.Scorer.from_pretrained(arguments.model, **options)
    config = find_config(arguments.config)
    scorer = inference.Scorer.from_config(config, arguments.tts_dir or config.parent / "tts_data", **options)
    scorer.published = replace(scorer.published, figures=report.member_figures(scorer.published.members))
    return scorer


def identify(arguments: argparse.Namespace) -> ModelName:
    """The model that was asked for."""
    if arguments.model:
        folder = inference.locate(arguments.model, None)
        file, name = folder / inference.CONFIG_FILE, arguments.model
        name = folder.resolve().name if folder == Path(arguments.model) else name
    else:
        file = find_config(arguments.config)
        name = file.stem
    return ModelName(name, sha256_of_file(file)[:12])


def free_socket(host: str, port: int) -> socket.socket:
    """A socket that listens there, taken before anything slow is loaded."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise InputError(f"--host {host} --port {port}: can't be served on ({error.strerror}); give another") from error
    return listening
