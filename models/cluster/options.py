"""The options of runs on Ray: on the command line, and as plain values for everything behind it."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from models.base.cli import positive
from models.errors import InputError


@dataclass(frozen=True)
class ClusterOptions:
    """What each task asks for, and where the cluster is.

    Attributes
    ----------
    address
        HOST:PORT, "auto", or "local" for a cluster on this machine that ends with the run.
    gpus
        Of a task; None: one where there are GPUs.
    memory_gb
        Main memory to be free for a task; 0: not asked.
    local_states
        Of folds: keep the states of unfinished ones on the nodes' own disks.
    """

    address: str
    cpus: int
    gpus: float | None = None
    memory_gb: int = 0
    local_states: bool = False


def add_fold_arguments(parser: argparse.ArgumentParser) -> None:
    """Options for training folds side by side."""
    group = parser.add_argument_group("Ray", "folds side by side, on this machine or over a cluster (docs/cluster.md)")
    _add_ray_address(group, "train")
    _add_shares(group, "fold", "one trains, the others load audio unless --num_workers says otherwise")
    group.add_argument(
        "--memory_per_fold", type=positive, metavar="GB", help="main memory to be free for a fold (default: not asked)"
    )
    group.add_argument(
        "--local_states",
        action="store_true",
        help="keep the states of unfinished folds on the nodes' own disks even where the output folder is shared: faster, but "
        "what a lost node has done is done again",
    )


def add_clip_arguments(parser: argparse.ArgumentParser) -> None:
    """Options for scoring clips in many places."""
    group = parser.add_argument_group("Ray", "for millions of clips over a cluster (docs/cluster.md)")
    _add_ray_address(group, "score")
    _add_shares(group, "task", "one scores, the others load audio")


def fold_options(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> ClusterOptions | None:
    """None without --ray. Raises InputError where an option would do nothing."""
    names = ("gpus_per_fold", "cpus_per_fold", "memory_per_fold", "local_states")
    if not _with_ray(arguments, parser, names):
        return None
    memory_gb = arguments.memory_per_fold or 0
    return ClusterOptions(
        arguments.ray, arguments.cpus_per_fold, arguments.gpus_per_fold, memory_gb, arguments.local_states
    )


def clip_options(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> ClusterOptions | None:
    """None without --ray. Raises InputError where an option would do nothing."""
    if not _with_ray(arguments, parser, ("gpus_per_task", "cpus_per_task")):
        return None
    if arguments.num_workers != parser.get_default("num_workers"):
        raise InputError("--num_workers: not with --ray, where all but one of --cpus_per_task load audio")
    return ClusterOptions(arguments.ray, arguments.cpus_per_task, arguments.gpus_per_task)


def _add_ray_address(group: argparse._ActionsContainer, purpose: str) -> None:
    group.add_argument(
        "--ray",
        nargs="?",
        const="local",
        metavar="ADDRESS",
        help=f"{purpose} with Ray: on all of this machine, or on the cluster at HOST:PORT, or 'auto' for the one that this "
        "machine is part of",
    )


def _add_shares(group: argparse._ActionsContainer, what: str, use: str) -> None:
    group.add_argument(
        f"--gpus_per_{what}",
        type=_gpu_share,
        metavar="N",
        help=f"GPUs of a {what}; 0.5 lets two share one, whose memory must hold both (default: 1 where there are GPUs)",
    )
    group.add_argument(
        f"--cpus_per_{what}",
        type=positive,
        default=2,
        metavar="N",
        help=f"CPU cores of a {what}; {use} (default: %(default)s)",
    )


def _with_ray(arguments: argparse.Namespace, parser: argparse.ArgumentParser, names: Sequence[str]) -> bool:
    """Raises InputError where one of these options is given without --ray."""
    for name in names:
        if arguments.ray is None and getattr(arguments, name) != parser.get_default(name):
            raise InputError(f"--{name}: is for --ray; give that too, or leave this out")
    return arguments.ray is not None


def _gpu_share(text: str) -> float:
    """The type of an option: a share of a GPU, or a number of GPUs."""
    try:
        value = float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from error
    if not (0 <= value <= 1 or (value > 1 and value.is_integer())):
        raise argparse.ArgumentTypeError(f"{text} is neither a share of a GPU (0 to 1) nor a whole number of them")
    return value
