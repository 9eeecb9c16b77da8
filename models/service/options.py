"""What is asked of the command line by all that serve: which model, where, and how much is taken."""

import argparse
import socket
from dataclasses import replace
from pathlib import Path

from models import ensemble, inference, report, service
from models.base.cli import (
    add_checkpoints_argument,
    add_compute_arguments,
    add_model_argument,
    add_self_corrections_argument,
    positive,
)
from models.base.files import sha256_of_file
from models.errors import InputError
from models.service.identity import ModelName


def add_service_arguments(parser: argparse.ArgumentParser, port: int) -> None:
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--config",
        type=Path,
        help="the ensemble, from get_config.py (default: model_configs.pkl where it is there, or else the model that comes with "
        "the project)",
    )
    add_checkpoints_argument(source)
    add_model_argument(source)
    parser.add_argument(
        "--tts_dir",
        type=Path,
        help="folder with references of a --config or of --checkpoints (default: tts_data beside it, or here, if it is there)",
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
    add_self_corrections_argument(parser)
    add_compute_arguments(parser)


def check_service_arguments(arguments: argparse.Namespace) -> "service.Thresholds":
    """What can be told before anything slow is loaded."""
    thresholds = service.Thresholds(arguments.review_from, arguments.review_to)
    file = _description(choose_source(arguments))
    if not file.is_file():
        raise InputError(f"{file}: no such file; give another --config, --checkpoints or --model, or none of them")
    return thresholds


def choose_source(arguments: argparse.Namespace) -> "ensemble.EnsembleSource":
    return inference.choose_source(arguments.config, arguments.checkpoints, arguments.model)


def load_scorer(arguments: argparse.Namespace, cache_dir: Path | None = None) -> "inference.Scorer":
    """The model that was asked for; `cache_dir` as of `Scorer`."""
    options = {
        "device": arguments.device,
        "precision": arguments.precision,
        "cache_dir": cache_dir,
        "accept_self_corrections": arguments.accept_self_corrections,
    }
    source = choose_source(arguments)
    if source.model is not None:
        return inference.Scorer.from_pretrained(source.model, **options)
    tts_dir = arguments.tts_dir or source.folder / "tts_data"
    if source.checkpoints:
        scorer = inference.Scorer.from_checkpoints(source.checkpoints, tts_dir, **options)
    else:
        scorer = inference.Scorer.from_config(source.config, tts_dir, **options)
    scorer.published = replace(scorer.published, figures=report.member_figures(scorer.published.members))
    return scorer


def identify(arguments: argparse.Namespace) -> ModelName:
    """The model that was asked for."""
    source = choose_source(arguments)
    file = _description(source)
    name = file.stem if source.model is None else source.model.resolve().name
    return ModelName(name, sha256_of_file(file)[:12])


def _description(source: "ensemble.EnsembleSource") -> Path:
    """The file that describes the model whole; of checkpoints the first."""
    return source.files[0]


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
