"""Inference over a cluster, for millions of clips: `infer.py --ray`.

A task takes the clips of one chunk, which are scored together without Ray too, and does with them on its node what infer.py does
here. So the scores are the same bytes, and of a lost node its chunks alone are scored again.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from models.clips.tables import METADATA_COLUMNS
from models.cluster.clip_task import ClipResult, NodeOptions, check_clips, score_clips
from models.cluster.connection import (
    MAX_RETRIES,
    as_they_end,
    cancel,
    check_room,
    connection,
    import_ray,
    task_needs,
    task_settings,
)
from models.cluster.options import ClusterOptions
from models.ensemble.metrics import Values
from models.errors import InputError
from models.inference.scoring import Member, chunk_clips
from models.speech.audio import Waveform

CHECKED_CLIPS = 512  # of a task that only decodes: a few seconds of work


@dataclass(frozen=True)
class ClipCluster:
    """A cluster that checks and scores clips. Opened by `clip_cluster`."""

    ray: Any
    node: NodeOptions
    needs: Mapping[str, float]

    def check(self, filenames: Sequence[str]) -> list[float | InputError]:
        """As `audio.try_audio_files` of these clips."""
        shares = [filenames[start : start + CHECKED_CLIPS] for start in range(0, len(filenames), CHECKED_CLIPS)]
        found = self._run(check_clips, [(share,) for share in shares], len(filenames), "checking audio")
        return [InputError(item) if isinstance(item, str) else item for item in found]

    def score(self, members: Sequence[Member], table: pd.DataFrame, references: Mapping[str, Waveform]) -> Values:
        """As `scoring.score_clips`: float64 [shape=(rows,)].

        Parameters
        ----------
        members
            As `load_members` finds them here; the nodes load their own.
        """
        rows, size = table[list(METADATA_COLUMNS)], chunk_clips(members)
        spoken = self.ray.put(dict(references))
        shares = [(rows.iloc[at : at + size].reset_index(drop=True), spoken) for at in range(0, len(rows), size)]
        return np.array(self._run(score_clips, shares, len(rows), "scoring"))

    def _run(
        self, work: Callable[..., ClipResult], shares: Sequence[tuple[Any, ...]], total: int, what: str
    ) -> list[Any]:
        """The values of all shares, in order. What dies with its process or node is done again."""
        ray, results, tries = self.ray, dict[int, list[Any]](), [0] * len(shares)
        remote = ray.remote(max_retries=0, scheduling_strategy="SPREAD", **task_settings(self.needs))(work)
        running = {remote.remote(self.node, *share): place for place, share in enumerate(shares)}
        with ExitStack() as stack, tqdm(total=total, desc=what, unit=" clips", disable=None) as bar:
            stack.callback(cancel, ray, running)
            for handle, place in as_they_end(ray, running, self.needs, "task"):
                try:
                    found: ClipResult = ray.get(handle)
                except ray.exceptions.RayTaskError:
                    raise  # an error of ours
                except ray.exceptions.RayError as error:
                    tries[place] += 1
                    if tries[place] > MAX_RETRIES:
                        raise InputError(_given_up(place, what, error)) from error
                    running[remote.remote(self.node, *shares[place])] = place
                    continue
                if found.error is not None:
                    raise InputError(found.error)
                results[place] = found.values
                bar.update(len(found.values))
        return [value for place in range(len(shares)) for value in results[place]]


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
        f"--ray: {1 + MAX_RETRIES} processes have died over part {place + 1} of {what} ({reason}); if memory ran out, give "
        "each task a larger share of a node with --cpus_per_task or --gpus_per_task"
    )
