"""What check_models.py finds: figures of every fold, and folds that have to be trained again."""

import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from models.base.cli import to_arguments
from models.clips.groups import GRADES, TASKS
from models.ensemble.checkpoint import Checkpoint, checkpoint_name
from models.ensemble.metrics import clip_losses, figures, log_loss
from models.errors import InputError
from models.speech.checksums import Checksums, differing_texts, name_texts
from models.speech.identity import voice_key

# A fold stands out where its loss lies above the median of the others by more than each of these:
_MEDIAN_SHARE = 0.1  # of that median
_SPREADS = 4.0  # robust standard deviations of the others (1.4826 × median absolute deviation)
_STANDARD_ERRORS = 3.0  # of the fold's own loss, which is large where it has few clips
_ENOUGH_FOLDS = 3  # other folds of the same model; with fewer, the other models' folds are compared too


@dataclass(frozen=True)
class Problem:
    """What is wrong with a fold, and the command that mends it.

    Attributes
    ----------
    kind
        Broken, misnamed, stranger, missing or outlier.
    """

    what: str
    command: str
    file_name: str
    kind: str


def oof_table(checkpoints: Iterable[Checkpoint]) -> pd.DataFrame:
    """One row per clip and model: model, fold, task, grade, label, prediction."""
    frames = []
    for checkpoint in checkpoints:
        oof = checkpoint.oof
        frame = pd.DataFrame(
            {"task": oof.tasks, "grade": oof.grades, "label": oof.labels, "prediction": oof.predictions}
        )
        frames.append(frame.assign(model=checkpoint.recipe.name, fold=checkpoint.fold))
    return pd.concat(frames, ignore_index=True)


def figure_table(rows: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Clips, log loss, AUC, accuracy and the base rate's log loss for each group of rows, tasks and grades in their own order."""
    ordered = rows.assign(
        task=pd.Categorical(rows["task"], TASKS, ordered=True),
        grade=pd.Categorical(rows["grade"], GRADES, ordered=True),
    )
    found = []
    for key, group in ordered.groupby(list(by), observed=True, sort=True):
        labels = group["label"].to_numpy(np.float64)
        scores = figures(labels, group["prediction"].to_numpy(np.float64))
        prior = figures(labels, np.full(len(labels), labels.mean())).log_loss
        found.append(
            {
                **dict(zip(by, key if isinstance(key, tuple) else (key,), strict=True)),
                "clips": scores.clips,
                "log_loss": scores.log_loss,
                "AUC": scores.auc,
                "accuracy": scores.accuracy,
                "prior": prior,
            }
        )
    return pd.DataFrame(found)


def find_faulty_folds(assets: Mapping[Path, Checkpoint | InputError], assets_dir: Path) -> list[Problem]:
    """Everything that keeps the checkpoints of a folder from being one ensemble, each with its remedy."""
    readable = {path: item for path, item in assets.items() if isinstance(item, Checkpoint)}
    broken = [
        Problem(str(item), _command_for(path.stem, readable.values(), assets_dir), path.name, "broken")
        for path, item in assets.items()
        if path not in readable
    ]
    checkpoints = list(readable.values())
    misnamed = [
        Problem(
            f"{path.name}: holds {item.file_name}",
            f"mv {shlex.quote(str(path))} {shlex.quote(str(assets_dir / item.file_name))}",
            path.name,
            "misnamed",
        )
        for path, item in readable.items()
        if path.name != item.file_name
    ]
    strangers = _find_strangers(checkpoints, assets_dir)
    return [
        *broken,
        *misnamed,
        *strangers,
        *_find_missing(checkpoints, assets_dir),
        *_find_outliers(checkpoints, assets_dir),
    ]


def describe_tries(checkpoints: Sequence[Checkpoint]) -> list[str]:
    """A line for each run that collapsed on the way to a checkpoint."""
    return [
        f"{item.file_name}: with seed {tried['seed']} {tried['outcome']}"
        for item in checkpoints
        for tried in item.tries
    ]


def stands_out(loss: float, standard_error: float, others: Sequence[float]) -> bool:
    """Whether a fold's loss lies too far above the others', whatever the scale. Fewer than two others decide nothing."""
    if len(others) < 2:
        return False
    median = float(np.median(others))
    spread = 1.4826 * float(np.median(np.abs(np.asarray(others) - median)))
    return loss - median > max(_MEDIAN_SHARE * median, _SPREADS * spread, _STANDARD_ERRORS * standard_error)


def _find_strangers(checkpoints: Sequence[Checkpoint], assets_dir: Path) -> list[Problem]:
    """Folds that were trained otherwise than most."""
    if not checkpoints:
        return []
    usual, references, grouping = (
        usual_checkpoint(checkpoints),
        _usual_references(checkpoints),
        _usual_grouping(checkpoints),
    )
    problems = []
    for checkpoint in checkpoints:
        differences = [name for name, value in _setting(checkpoint).items() if value != _setting(usual)[name]]
        if "grouping" not in differences and checkpoint.grouping and checkpoint.grouping != grouping:
            differences.append("grouping")
        if other := differing_texts(checkpoint.references, references):
            differences.append(f"reference of {name_texts(other)}")
        if differences:
            what = f"{checkpoint.file_name}: not trained like the others: another {' and another '.join(differences)}"
            command = _retrain(checkpoint.recipe.name, checkpoint.fold, usual.n_folds, usual.options, assets_dir)
            problems.append(Problem(what, command, checkpoint.file_name, "stranger"))
    return problems


def _find_missing(checkpoints: Sequence[Checkpoint], assets_dir: Path) -> list[Problem]:
    if not checkpoints:
        return []
    n_folds = usual_checkpoint(checkpoints).n_folds
    problems = []
    for name in dict.fromkeys(checkpoint.recipe.name for checkpoint in checkpoints):
        present = {checkpoint.fold: checkpoint for checkpoint in checkpoints if checkpoint.recipe.name == name}
        options = next(iter(present.values())).options
        for fold in sorted(set(range(n_folds)) - present.keys()):
            command, file_name = _retrain(name, fold, n_folds, options, assets_dir), checkpoint_name(name, fold)
            problems.append(Problem(f"{file_name}: missing", command, file_name, "missing"))
    return problems


def _find_outliers(checkpoints: Sequence[Checkpoint], assets_dir: Path) -> list[Problem]:
    losses = {(item.recipe.name, item.fold): clip_losses(item.oof.labels, item.oof.predictions) for item in checkpoints}
    problems = []
    for checkpoint in checkpoints:
        key = (checkpoint.recipe.name, checkpoint.fold)
        own = losses[key]
        others = {other: float(values.mean()) for other, values in losses.items() if other != key}
        siblings = [loss for (name, _), loss in others.items() if name == key[0]]
        compared = siblings if len(siblings) >= _ENOUGH_FOLDS else list(others.values())
        if compared is not siblings and own.mean() < (np.median(compared or [0]) + _prior_loss(checkpoint)) / 2:
            continue  # nearer to the other models than to knowing nothing: a weaker model, not a broken fold
        if stands_out(float(own.mean()), float(own.std() / np.sqrt(len(own))), compared):
            median = float(np.median(compared))
            what = (
                f"{checkpoint.file_name}: its log loss {own.mean():.4f} stands out (the others' median: {median:.4f})"
            )
            command = _retrain(*key, checkpoint.n_folds, checkpoint.options, assets_dir)
            problems.append(Problem(what, command, checkpoint.file_name, "outlier"))
    return problems


def _prior_loss(checkpoint: Checkpoint) -> float:
    labels = checkpoint.oof.labels
    return log_loss(labels, np.full(len(labels), labels.mean()))


def _setting(checkpoint: Checkpoint) -> dict[str, Any]:
    """What every checkpoint tells; --groups is compared by the file's content, which older ones don't know."""
    return {
        "n_folds": checkpoint.n_folds,
        "set of training data": checkpoint.data_fingerprint,
        "set of corrections": checkpoint.corrections,
        "list of clips left out": checkpoint.left_out,
        "grouping": checkpoint.options.get("group_by"),
        "voice": voice_key(checkpoint.voice),
    }


def _usual_grouping(checkpoints: Sequence[Checkpoint]) -> str:
    counts = Counter(item.grouping for item in checkpoints if item.grouping)
    return counts.most_common(1)[0][0] if counts else ""


def _usual_references(checkpoints: Sequence[Checkpoint]) -> Checksums:
    """What most of the checkpoints that know it were trained with."""
    counts = Counter(tuple(sorted(item.references.items())) for item in checkpoints if item.references)
    return dict(counts.most_common(1)[0][0]) if counts else {}


def usual_checkpoint(checkpoints: Sequence[Checkpoint]) -> Checkpoint:
    """A checkpoint with the setting that most of them have."""
    counts = Counter(tuple(_setting(checkpoint).values()) for checkpoint in checkpoints)
    setting = counts.most_common(1)[0][0]
    return next(checkpoint for checkpoint in checkpoints if tuple(_setting(checkpoint).values()) == setting)


def _command_for(stem: str, siblings: Iterable[Checkpoint], assets_dir: Path) -> str:
    """The command that makes a file of this name again, in the way of its siblings."""
    name, _, fold = stem.rpartition("_")
    known = sorted(siblings, key=lambda checkpoint: checkpoint.recipe.name != name)
    if not name or not fold.isdecimal() or not known:
        return f"rm {shlex.quote(str(assets_dir / stem))}.pth"
    return _retrain(name, int(fold), known[0].n_folds, known[0].options, assets_dir)


def _retrain(name: str, fold: int, n_folds: int, options: Mapping[str, Any], assets_dir: Path) -> str:
    arguments = ["--fold", str(fold), "--n_folds", str(n_folds), *to_arguments(options)]
    return shlex.join(["python", f"train_{name}.py", *arguments, "--output_dir", str(assets_dir), "--overwrite"])
