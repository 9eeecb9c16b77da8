"""The held-out clips of all checkpoints, each once, what every model gives for them, and what the bootstrap draws."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.clips.tables import read_groups
from models.ensemble.bootstrap import Rows
from models.ensemble.checkpoint import Checkpoint
from models.ensemble.metrics import Values, clip_probabilities
from models.errors import InputError

Texts = NDArray[np.str_]


@dataclass(frozen=True)
class Clips:
    """Every clip that a checkpoint held out [shape=(clips,) each]."""

    filenames: list[str]
    tasks: Texts
    grades: Texts


@dataclass(frozen=True)
class Predictions:
    """What one model, or the blend, gives for clips that it was not trained on.

    Attributes
    ----------
    rows
        Where the clips stand among all clips [shape=(own clips,)].
    labels
        0 or 1 [shape=(own clips,)].
    scores
        Probabilities that the answer is right [shape=(own clips,)].
    """

    name: str
    rows: Rows
    labels: Values
    scores: Values

    def where(self, chosen: NDArray[np.bool_], name: str) -> "Predictions":
        """Some of the clips, under a name of their own. chosen : [shape=(own clips,)]"""
        return Predictions(name, self.rows[chosen], self.labels[chosen], self.scores[chosen])


@dataclass(frozen=True)
class ResamplingUnits:
    """What the bootstrap draws.

    Attributes
    ----------
    name
        "clip", or the column that the clips are grouped by, such as "speaker".
    of_clip
        The unit of each clip, from 0 without gaps [shape=(clips,)].
    groups
        The group of each clip; None where clips are drawn.
    note
        Why clips are drawn though they may belong together; empty where there is nothing to say.
    """

    name: str
    of_clip: Rows
    groups: list[str] | None
    note: str = ""

    @property
    def number(self) -> int:
        return int(self.of_clip.max()) + 1


def line_up(checkpoints: Sequence[Checkpoint]) -> tuple[Clips, list[Predictions]]:
    """All clips, and the predictions of each model, whether all its folds are there or not."""
    facts: dict[str, tuple[str, str]] = {}
    for item in checkpoints:
        for name, *fact in zip(item.oof.filenames, item.oof.tasks, item.oof.grades, strict=True):
            facts.setdefault(name, (_readable(fact[0]), _readable(fact[1])))
    row_of = {name: row for row, name in enumerate(facts)}
    tasks, grades = np.array(list(facts.values())).T
    models = dict.fromkeys(item.recipe.name for item in checkpoints)
    found = [
        _predictions_of(name, [item for item in checkpoints if item.recipe.name == name], row_of) for name in models
    ]
    return Clips(list(facts), tasks, grades), found


def find_units(
    clips: Clips, checkpoint: Checkpoint, groups: Path | None = None, group_by: str | None = None
) -> ResamplingUnits:
    """The groups that were asked for, else those by which the folds were cut, if they can be read, else clips.

    Raises
    ------
    InputError
        Where the groups that were asked for can't be read.
    """
    if groups is not None and group_by is not None:
        return _units_of(read_groups(groups, group_by, clips.filenames), group_by)
    of_clip = np.arange(len(clips.filenames))
    column = checkpoint.options.get("group_by")
    if column is None:
        note = (
            "No speakers are known, so intervals draw clips: too narrow if a child has several (--groups, --group_by)."
        )
        return ResamplingUnits("clip", of_clip, None, note)
    in_metadata = Path(str(checkpoint.options.get("data_dir", "data"))) / "train_metadata.csv"
    file = Path(str(checkpoint.options.get("groups", in_metadata)))
    try:
        return _units_of(read_groups(file, str(column), clips.filenames), str(column))
    except (InputError, OSError) as error:
        note = (
            f"Folds were cut by {column}, but intervals draw clips and are too narrow: {error} (--groups, --group_by)"
        )
        return ResamplingUnits("clip", of_clip, None, note)


def _readable(value: object) -> str:
    """Text that can be drawn: half a surrogate pair, which JSON may hold, can't."""
    return str(value).encode("utf-8", "replace").decode("utf-8")


def _units_of(groups: list[str], name: str) -> ResamplingUnits:
    return ResamplingUnits(name, np.unique(groups, return_inverse=True)[1], groups)


def _predictions_of(name: str, checkpoints: Sequence[Checkpoint], row_of: dict[str, int]) -> Predictions:
    """Of a clip that two files hold, as copies do, the first counts."""
    rows = np.array([row_of[clip] for item in checkpoints for clip in item.oof.filenames])
    labels = np.concatenate([item.oof.labels for item in checkpoints])
    scores = np.concatenate([item.oof.predictions for item in checkpoints])
    rows, first = np.unique(rows, return_index=True)
    return Predictions(name, rows, (labels[first] > 0.5).astype(np.float64), clip_probabilities(scores[first]))
