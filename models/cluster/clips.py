"""Inference over a cluster, for millions of clips: `infer.py --ray`.

A task takes some chunks of clips, which are scored together without Ray too, and does with them on its node what infer.py does
here. So the scores are the same bytes, and of a lost node those chunks alone are scored again.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from models.clips.tables import METADATA_COLUMNS
from models.cluster.clip_task import ClipResult, NodeOptions, check_clips, score_clips
from models.cluster.connection import MOST_TRIES, alive_nodes, check_room, connection, import_ray, run_tasks, task_needs
from models.cluster.options import ClusterOptions
from models.errors import InputError
from models.inference.scoring import Member, chunk_clips
from models.inference.self_corrections import Counted
from models.speech.audio import Waveform
from models.speech.examining import Examined

CHECKED_CLIPS = 512  # of a task that only decodes: a few seconds of work
DECODING = {"CPU": 1.0, "GPU": 0.0, "memory": 0.0}  # what such a task asks for
MOST_CHUNKS = 4  # of a task: enough to hide what its start costs and to read ahead, few enough to be scored twice
TASKS_PER_PLACE = 4  # at least, where there are clips enough: the last ones to end keep the others waiting for less


@dataclass(frozen=True)
class ClipCluster:
    """A cluster that checks and scores clips. Opened by `clip_cluster`."""

    ray: Any
    node: NodeOptions
    needs: Mapping[str, float]

    def check(self, filenames: Sequence[str]) -> list[Examined | InputError]:
        """As `examine_all` of these clips."""
        shares = [(filenames[at : at + CHECKED_CLIPS],) for at in range(0, len(filenames), CHECKED_CLIPS)]
        found = self._run(check_clips, shares, DECODING, "checking audio", len(filenames))
        return [InputError(item) if isinstance(item, str) else item for item in found]

    def score(self, members: Sequence[Member], table: pd.DataFrame, references: Mapping[str, Waveform]) -> Counted:
        """As `self_corrections.score_counted`.

        Parameters
        ----------
        members
            As `load_members` finds them here; the nodes load their own.
        """
        told = [name for name in (*METADATA_COLUMNS, "pronunciation") if name in table]
        rows, spoken = table[told], self.ray.put(dict(references))
        size = share_clips(len(rows), chunk_clips(members), count_places(alive_nodes(self.ray), self.needs))
        shares = [(rows.iloc[at : at + size].reset_index(drop=True), spoken) for at in range(0, len(rows), size)]
        found = np.array(self._run(score_clips, shares, self.needs, "scoring", len(rows))).reshape(-1, 2)
        return Counted(found[:, 0], found[:, 1])

    def _run(
        self,
        work: Callable[..., ClipResult],
        shares: Sequence[tuple[Any, ...]],
        needs: Mapping[str, float],
        what: str,
        total: int,
    ) -> list[Any]:
        """The values of all shares, in order. Raises InputError where one of them is wrong, or kills every process."""
        results = dict[int, list[Any]]()
        ended = run_tasks(self.ray, work, [(self.node, *share) for share in shares], needs, "task")
        with closing(ended), tqdm(total=total, desc=what, unit=" clips", disable=None) as bar:
            for place, found in ended:
                if isinstance(found, self.ray.exceptions.RayTaskError):
                    raise found  # an error of ours
                if isinstance(found, Exception):
                    raise InputError(_given_up(place, what, found)) from found
                if found.error is not None:
                    raise InputError(found.error)
                results[place] = found.values
                bar.update(len(found.values))
        return [value for place in range(len(shares)) for value in results[place]]


def share_clips(clips: int, chunk: int, places: int) -> int:
    """Clips of one task: whole chunks, whose batches then hold the same clips as without Ray."""
    return chunk * min(max(clips // (chunk * places * TASKS_PER_PLACE), 1), MOST_CHUNKS)


def count_places(nodes: Sequence[Mapping[str, float]], needs: Mapping[str, float]) -> int:
    """How many tasks the nodes hold at once."""
    return sum(min(int(node.get(kind, 0) // amount) for kind, amount in needs.items() if amount) for node in nodes)


@contextmanager
def clip_cluster(options: ClusterOptions, node: NodeOptions) -> Iterator[ClipCluster]:
    """Connect to a cluster.

    Raises
    ------
    InputError
        Where Ray is not installed, the cluster does not answer, or no node could ever hold a task.
    """
    ray = import_ray()
    with connection(ray, options.address):
        needs = task_needs(ray, options, node.device)
        check_room(ray, needs, "task")
        yield ClipCluster(ray, node, needs)


def _given_up(place: int, what: str, error: Exception) -> str:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return (
        f"--ray: {MOST_TRIES} processes have died over part {place + 1} of {what} ({reason}); if memory ran out, give "
        "each task a larger share of a node with --cpus_per_task or --gpus_per_task"
    )
