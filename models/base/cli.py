"""What the scripts share: how they start, how they fail, options that several of them have."""

import argparse
import io
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from models.base.environment import draw_into_files
from models.base.files import SHIPPED_MODEL
from models.base.processes import first_to_fail, is_first_process, local_processes
from models.errors import InputError


def run(main: Callable[[], int | None]) -> None:
    """Call a script's main function and exit: 0 on success, 1 with a message where the input is wrong, 130 on Ctrl-C.

    A file or folder that the system refuses to read or write, or that is in the way, is wrong input too. Of several processes
    under torchrun, which end together, the first to fail says why.
    """
    # Idle threads of torch wait without spinning: the loading processes need the cores. Read when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    draw_into_files()
    for stream in (sys.stdout, sys.stderr):  # what a terminal can't show must not end a run: phones, names of files
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        sys.exit(main() or 0)
    except KeyboardInterrupt:
        if is_first_process():
            print("interrupted", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        if not first_to_fail():
            sys.exit(1)
        message = explain(error)
        if message is None:
            raise
        sys.exit(f"error: {message}")


def explain(error: Exception) -> str | None:
    """What a user is told of an error in the input; None where it is one in the program."""
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, UnicodeEncodeError) and any("\ud800" <= sign <= "\udfff" for sign in error.object):
        return f"{error.object[:100]!r} is not UTF-8; give another name or text, or set the terminal to UTF-8"
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("models"):
        package = error.name.partition(".")[0]
        return (
            f"this needs the package {package}, which is not installed; pip install {package}, or all: pip install -e ."
        )
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}; make room, move it, change its permissions, or give another path"
    return None


def make_parser(description: str, example: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        description=description,
        epilog=f"example: {example}",
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data_dir",
        type=Path,
        default=Path("data"),
        help="folder with the metadata, the labels and the audio files (default: %(default)s)",
    )
    add_tts_argument(parser)


def add_tts_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--tts_dir", type=Path, default=Path("tts_data"), help="folder with the references (default: %(default)s)"
    )


def add_config_argument(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--config",
        type=Path,
        default=Path("model_configs.pkl"),
        help="the ensemble, from get_config.py (default: %(default)s)",
    )


def add_ensemble_arguments(parser: argparse.ArgumentParser, published: bool = False) -> None:
    """A configuration, or checkpoints instead, or a published model where that will do."""
    source = parser.add_mutually_exclusive_group()
    add_config_argument(source)
    add_checkpoints_argument(source)
    if published:
        add_model_argument(source)


def add_model_argument(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--model",
        nargs="?",
        const=SHIPPED_MODEL,
        help="or a published model: a folder that publish.py has written, or the hub id of one; with no value the one that "
        f"comes with the project, {SHIPPED_MODEL}",
    )


def add_checkpoints_argument(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--checkpoints",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="or trained folds, from train.py, blended with equal weights: nothing is fitted, and one is enough",
    )


def add_self_corrections_argument(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--accept_self_corrections",
        action="store_true",
        help="let an answer that is wrong as a whole be right where what was said after a pause, to its end, is right "
        "(default: all that was said counts)",
    )


def add_device_arguments(parser: argparse.ArgumentParser) -> None:
    """Where and how to compute, and how many processes load audio for it."""
    add_compute_arguments(parser)
    parser.add_argument(
        "--num_workers",
        type=non_negative,
        default=default_workers(),
        help="processes that load and transform audio, for each GPU (default: %(default)s, this machine's cores up to 8)",
    )


def add_compute_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device",
        default="auto",
        help="auto, cpu, cuda or cuda:N; auto takes the GPU if there is one (default: %(default)s)",
    )
    parser.add_argument(
        "--precision",
        choices=("auto", "bf16", "fp16", "fp32"),
        default="auto",
        help="number format of the encoder's arithmetic; auto: bf16 where the hardware has it, else fp16 on a GPU and fp32 on "
        "the CPU (default: %(default)s)",
    )


def to_arguments(options: Mapping[str, Any]) -> list[str]:
    """Options back to what would be typed; those that are True are flags."""
    pairs = [(f"--{name}",) if value is True else (f"--{name}", str(value)) for name, value in options.items()]
    return [text for pair in pairs for text in pair]


def default_workers() -> int:
    return max(1, min(8, (os.cpu_count() or 1) // local_processes()))


def non_negative(text: str) -> int:
    return _at_least(text, 0)


def positive(text: str) -> int:
    return _at_least(text, 1)


def _at_least(text: str, low: int) -> int:
    try:
        value = int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from error
    if value < low:
        raise argparse.ArgumentTypeError(f"{value} is less than {low}")
    return value
