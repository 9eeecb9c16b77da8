"""Inference over a cluster with Ray Data, for millions of clips: `infer.py --ray`.

    rows of the table -> features, by any node -> chunks, in the rows' order -> scores, by actors that hold the ensemble

The chunks are those that are scored together without Ray, so the scores are the same. Everything streams: what is read waits
until an actor is free for it, and the driver sees no audio, only rows and scores.
"""

import argparse
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from models.base.cli import positive
from models.base.files import sha256_of_file
from models.clips.tables import METADATA_COLUMNS
from models.cluster.connection import (
    add_ray_address,
    check_room,
    connection,
    default_gpus,
    gpu_share,
    has_room,
    import_ray,
    node_resources,
    refuse_without_ray,
)
from models.errors import InputError
from models.inference.submission import find_unreadable

if TYPE_CHECKING:
    from models.cluster.clip_tasks import Scoring
    from models.ensemble.config import EnsembleConfig
    from models.ensemble.metrics import Values
    from models.inference.scoring import Member
    from models.speech.audio import Waveform

READ_CLIPS = 64  # of one task that reads: a few hundred milliseconds of work, 20 MB of features
READING_SHARE = (
    1 / 8
)  # of the CPUs, kept for reading; even a small ensemble scores a clip in seven times what reading takes
MOST_CPUS = 7  # of an actor without GPU, if not told otherwise: one core in eight reads
TABLES = ("test_metadata.csv", "submission_format.csv")


def add_ray_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "Ray", "for millions of clips, on this machine or over a cluster (docs/cluster.md)"
    )
    add_ray_address(group, "score")
    group.add_argument(
        "--actors",
        type=positive,
        metavar="N",
        help="processes that hold the ensemble and score (default: as many as the cluster has room for)",
    )
    group.add_argument(
        "--gpus_per_actor",
        type=gpu_share,
        metavar="N",
        help="GPUs of each; 0.5 lets two share one, whose memory must hold both (default: 1 where there are GPUs)",
    )
    group.add_argument(
        "--cpus_per_actor",
        type=positive,
        metavar="N",
        help="CPU cores of each; the cores that are left read the clips (default: 1 with a GPU, else all of a node's but "
        f"one, at most {MOST_CPUS})",
    )


def check_ray_options(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """raises : InputError where an option would do nothing, or what --ray needs is not installed"""
    refuse_without_ray(arguments, parser, ("actors", "gpus_per_actor", "cpus_per_actor"))
    if arguments.ray is None:
        return
    if arguments.num_workers != parser.get_default("num_workers"):
        raise InputError("--num_workers: not with --ray, where all cores that --cpus_per_actor leaves free read clips")
    _import()


def score_on_ray(
    arguments: argparse.Namespace,
    table: pd.DataFrame,
    config: "EnsembleConfig",
    members: "Sequence[Member]",
    references: "Mapping[str, Waveform]",
) -> "tuple[Values, dict[int, str]]":
    """The ensemble's probabilities of the clips that can be read, in order, and what is wrong with the other rows.

    arguments : of infer.py
    members : what `load_members` finds here; the actors load their own
    raises : InputError where the cluster does not answer or has no room, or a node lacks something
    """
    from models.cluster.clip_tasks import Scoring
    from models.ensemble.metrics import clip_probabilities
    from models.inference.scoring import distinct_forms

    ray = _import()
    with connection(ray, arguments.ray):
        needs, actors = _choose_actors(ray, arguments)
        print(f"scored by {actors} actors, each with {needs['CPU']:g} CPUs and {needs['GPU']:g} GPUs", flush=True)
        notes, forms = _take_notes(ray), distinct_forms(members)
        chunks = _read(ray, arguments, table, forms, ray.put(dict(references)), notes)
        scoring = Scoring(
            forms,
            config,
            arguments.config.absolute().parent,
            arguments.folds_per_model,
            arguments.device,
            arguments.precision,
            int(needs["CPU"]),
            notes,
        )
        try:
            blended = _collect(_score(ray, chunks, scoring, needs, actors), len(table))
        except Exception as error:
            if told := ray.get(notes.errors.remote()):
                raise InputError(told[0]) from error
            raise
        problems = _problems(blended, ray.get(notes.reasons.remote()), arguments.data_dir)
    return clip_probabilities(blended[~np.isnan(blended)]), problems


def _import() -> Any:
    return import_ray("pyarrow", "ray.data", install="'ray[data]'")


def _choose_actors(ray: Any, arguments: argparse.Namespace) -> tuple[dict[str, float], int]:
    """What each actor asks of a node, in Ray's terms, and how many there are to be.

    raises : InputError where there is no room for one, or for those asked for, beside a process that reads
    """
    nodes = node_resources(ray)
    gpus = default_gpus(ray, arguments.gpus_per_actor, arguments.device)
    largest = int(max(node.get("CPU", 0) for node in nodes))
    cpus = arguments.cpus_per_actor or (1 if gpus else min(max(largest - 1, 1), MOST_CPUS))
    needs = {"CPU": float(cpus), "GPU": gpus, "memory": 0.0}
    check_room(ray, needs, "an actor", "--cpus_per_actor or --gpus_per_actor")
    room = count_actors(nodes, needs, 0.0 if arguments.actors else READING_SHARE)
    if room < (arguments.actors or 1):
        raise InputError(
            f"--ray: there is room for {room} actors of {cpus} CPUs and {gpus:g} GPUs beside one CPU that reads, not for "
            f"{arguments.actors or 1}; lower --actors or --cpus_per_actor, or add nodes"
        )
    return needs, arguments.actors or room


def count_actors(nodes: Sequence[Mapping[str, float]], needs: Mapping[str, float], reading_share: float) -> int:
    """How many actors the nodes hold if that share of the CPUs, but at least one, is left for reading."""
    cpus = sum(node.get("CPU", 0) for node in nodes)
    fitting = [
        min(int(node[kind] // amount) for kind, amount in needs.items() if amount)
        for node in nodes
        if has_room(node, needs)
    ]
    return max(0, min(sum(fitting), int((cpus - max(1.0, cpus * reading_share)) // needs["CPU"])))


def _take_notes(ray: Any) -> Any:
    """The actor that keeps them lives on this machine's node, which the run does not outlive anyway."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from models.cluster.notes import Notes

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(num_cpus=0, scheduling_strategy=here)(Notes).remote()


def _read(
    ray: Any,
    arguments: argparse.Namespace,
    table: pd.DataFrame,
    forms: list[dict[str, Any]],
    references: Any,
    notes: Any,
) -> Any:
    """The table as a stream of chunks of clips with their features, in the rows' order.

    Small blocks are read, so that many cores can share in a chunk and little is lost with a node; then they are joined.
    """
    import pyarrow

    from models.cluster.clip_tasks import Reading, read_clips
    from models.inference.scoring import clips_per_chunk

    tables = {name: sha256_of_file(arguments.data_dir / name) for name in TABLES}
    rows = ray.put(pyarrow.table({name: table[name].tolist() for name in METADATA_COLUMNS}))
    data_dir = arguments.data_dir
    reading = Reading(data_dir.absolute(), data_dir, tables, rows, forms, references, notes, arguments.strict)
    _configure(ray)
    blocks = ray.data.range(len(table), override_num_blocks=-(-len(table) // READ_CLIPS))
    clips = blocks.map_batches(read_clips, fn_kwargs={"reading": reading}, batch_size=None, batch_format="pyarrow")
    return clips.repartition(target_num_rows_per_block=clips_per_chunk(len(forms)), strict=True)


def _configure(ray: Any) -> None:
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True  # whichever block is read first
    context.enable_progress_bars = context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    logging.getLogger("ray.data._internal.progress").setLevel(logging.ERROR)  # it warns that it shows no bars
    for repeats in ("exceptions", "_internal.execution.streaming_executor_state"):  # what is raised anyway
        logging.getLogger(f"ray.data.{repeats}").setLevel(logging.CRITICAL)


def _score(ray: Any, chunks: Any, scoring: "Scoring", needs: Mapping[str, float], actors: int) -> Any:
    """The chunks' rows and scores. Each actor has one chunk that it scores and one that waits, no more."""
    from models.cluster.clip_tasks import ChunkScorer

    return chunks.map_batches(
        ChunkScorer,
        fn_constructor_kwargs={"scoring": scoring},
        batch_size=None,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=actors, max_tasks_in_flight_per_actor=2),
        num_cpus=needs["CPU"],
        num_gpus=needs["GPU"],
    )


def _collect(scored: Any, n_rows: int) -> "Values":
    """The scores by row, as they come: float64 [shape=(rows,)], NaN where a clip can't be read."""
    blended = np.full(n_rows, np.nan)
    with tqdm(total=n_rows, desc="scoring", unit=" clips", disable=None) as bar:
        for batch in scored.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=0):
            blended[batch["row"]] = batch["score"]
            bar.update(int(batch["row"].max(initial=bar.n - 1)) + 1 - bar.n)
        bar.update(n_rows - bar.n)
    return blended


def _problems(blended: "Values", reasons: Mapping[int, str], data_dir: Path) -> dict[int, str]:
    """What is wrong with each row that has no score.

    raises : InputError where that is every row
    """
    found = [
        InputError(reasons.get(row, "was not scored")) if np.isnan(score) else score
        for row, score in enumerate(blended)
    ]
    return find_unreadable(found, data_dir)
