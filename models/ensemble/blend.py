"""Ensembling: which checkpoints belong together, and the weights that blend them.

With weights on the simplex, a clip's blended probability of its true label is linear in the weights, so the log loss is
convex: every local optimum is the optimum, and a bound on the distance to it comes for free (`optimality_gap`).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy  # its parts are imported at their first use

from models.clips.groups import GRADES, TASKS
from models.ensemble.checkpoint import Checkpoint, load_without_weights
from models.ensemble.metrics import Values, clip_probabilities, log_loss
from models.errors import InputError
from models.speech.checksums import differing_texts, name_texts

_NEGLIGIBLE_WEIGHT = 1e-6
_LARGEST_GAP = 1e-6  # nats
_PRIOR_CLIPS = 10
_PARTS = 6


@dataclass(frozen=True)
class Blend:
    """OOF predictions of several models for the same clips.

    Attributes
    ----------
    labels : [shape=(clips,)]
    predictions : [shape=(clips, models)]
    folds
        The fold of the first model that held the clip out, or a part of the clips [shape=(clips,)].
    tasks, grades
        Of each clip.
    """

    models: list[str]
    filenames: list[str]
    labels: Values
    predictions: Values
    folds: np.ndarray
    tasks: list[str]
    grades: list[str]


def read_assets(assets_dir: Path) -> dict[Path, Checkpoint | InputError]:
    """Every `.pth` file of a folder: its checkpoint, without weights, or what is wrong with it."""
    paths = sorted(assets_dir.glob("*.pth"))
    if not paths:
        raise InputError(f"{assets_dir}: holds no .pth files; train models (python train.py) and move them there")
    found: dict[Path, Checkpoint | InputError] = {}
    for path in paths:
        try:
            found[path] = load_without_weights(path)
        except InputError as error:
            found[path] = error
    return found


def gather_references(checkpoints: Mapping[Path, Checkpoint]) -> dict[str, str]:
    """The checksum of each reference that the models were trained with, by text.

    Raises
    ------
    InputError
        Where two were trained with different references for the same text.
    """
    found: dict[str, str] = {}
    source: dict[str, Path] = {}
    for path, checkpoint in checkpoints.items():
        other = differing_texts(checkpoint.references, found)
        if other:
            raise InputError(
                f"{path} and {source[other[0]]}: trained with different references of {name_texts(other)}: the files in "
                "--tts_dir differed; train the one again with the references of the other (check_models.py gives the command)"
            )
        source |= dict.fromkeys(checkpoint.references.keys() - found.keys(), path)
        found |= checkpoint.references
    return dict(sorted(found.items()))


def gather_blend(checkpoints: Sequence[Checkpoint]) -> Blend:
    """Line up the OOF predictions of complete models.

    Raises
    ------
    InputError
        Where a fold is missing or models do not cover the same clips.
    """
    by_model: dict[str, list[Checkpoint]] = {}
    for checkpoint in checkpoints:
        by_model.setdefault(checkpoint.recipe.name, []).append(checkpoint)
    for name, folds in by_model.items():
        _check_complete(name, folds)
    first_name, first = next(iter(by_model.items()))
    filenames = _joined(first, "filenames")
    places = {name: place for place, name in enumerate(filenames)}
    predictions = np.empty((len(filenames), len(by_model)))
    for column, (name, folds) in enumerate(by_model.items()):
        own = _joined(folds, "filenames")
        if places.keys() != set(own):
            raise InputError(f"{name} and {first_name} were not trained on the same clips; see check_models.py")
        predictions[[places[one] for one in own], column] = np.concatenate([fold.oof.predictions for fold in folds])
    return Blend(
        models=list(by_model),
        filenames=filenames,
        labels=np.concatenate([fold.oof.labels for fold in first]),
        predictions=predictions,
        folds=_parts(np.repeat([fold.fold for fold in first], [len(fold.oof.filenames) for fold in first])),
        tasks=_joined(first, "tasks"),
        grades=_joined(first, "grades"),
    )


def group_priors(checkpoints: Sequence[Checkpoint]) -> dict[str, dict[str, float]]:
    """The share of right answers by task and grade, among the clips that one model's folds held out.

    Groups of few clips are drawn towards the share of all, as by `_PRIOR_CLIPS` clips more.
    """
    folds = [item.oof for item in checkpoints if item.recipe.name == checkpoints[0].recipe.name]
    labels = np.concatenate([oof.labels for oof in folds])
    tasks, grades = (np.concatenate([getattr(oof, name) for oof in folds]) for name in ("tasks", "grades"))
    overall = (labels.sum() + 1) / (len(labels) + 2)  # never 0 or 1

    def prior(task: str, grade: str) -> float:
        own = labels[(tasks == task) & (grades == grade)]
        return float((own.sum() + _PRIOR_CLIPS * overall) / (len(own) + _PRIOR_CLIPS))

    return {task: {grade: prior(task, grade) for grade in GRADES} for task in TASKS}


def fit_weights(labels: Values, predictions: Values) -> Values:
    """The weights on the simplex that minimise the log loss of the weighted mean, to the optimum.

    Parameters
    ----------
    labels : [shape=(clips,)]
        0 or 1.
    predictions : [shape=(clips, models)]
        Probabilities.

    Returns
    -------
    [shape=(models,)]
        At least 0, summing to 1.
    """
    right = likelihoods(labels, predictions)
    n_models = right.shape[1]
    weights = np.full(n_models, 1.0 / n_models)
    for _ in range(5):  # a restart from where the solver stopped gains its last digits
        solution = scipy.optimize.minimize(
            lambda w: -np.log(right @ w).mean(),
            weights,
            jac=lambda w: -_mean_ratio(right, w),
            method="SLSQP",
            bounds=[(0.0, 1.0)] * n_models,
            constraints={"type": "eq", "fun": lambda w: w.sum() - 1.0, "jac": np.ones_like},
            options={"maxiter": 500, "ftol": 1e-14},
        )
        weights = np.maximum(solution.x, 0.0)
        weights /= weights.sum()
        if optimality_gap(labels, predictions, weights) <= _LARGEST_GAP / 100:
            break
    weights = np.where(weights < _NEGLIGIBLE_WEIGHT, 0.0, weights)
    weights /= weights.sum()
    gap = optimality_gap(labels, predictions, weights)
    if gap > _LARGEST_GAP:
        raise InputError(
            f"the ensemble weights could not be solved to the optimum (gap {gap:.2g}); are the predictions sound?"
        )
    return weights


def optimality_gap(labels: Values, predictions: Values, weights: Values) -> float:
    """How far the log loss of `weights` can at most lie above the optimum, in nats (the Frank-Wolfe gap, Jaggi 2013)."""
    return float(_mean_ratio(likelihoods(labels, predictions), weights).max() - 1.0)


def cross_fit(blend: Blend) -> tuple[Values, Values]:
    """The blend's predictions where each fold is scored with weights fitted on the other folds: honest ones.

    Returns
    -------
    tuple[Values, Values]
        The predictions [shape=(clips,)], the weights that each fold was scored with [shape=(folds, models)].
    """
    blended, fold_weights = np.empty(len(blend.labels)), []
    for fold in np.unique(blend.folds):
        held_out = blend.folds == fold
        weights = fit_weights(blend.labels[~held_out], blend.predictions[~held_out])
        blended[held_out] = blend.predictions[held_out] @ weights
        fold_weights.append(weights)
    return blended, np.array(fold_weights)


def cross_fitted_loss(blend: Blend) -> float:
    """The log loss of `cross_fit`'s predictions."""
    return log_loss(blend.labels, cross_fit(blend)[0])


def spread_folds(model_index: int, n_folds: int, folds_per_model: int) -> list[int]:
    """Which folds of a model to use, so that over the models every fold is used about equally often.

    With 3 of 6: 0, 2, 4 for one model, 1, 3, 5 for the next.
    """
    if not 1 <= folds_per_model <= n_folds:
        raise InputError(f"--folds_per_model {folds_per_model}: must lie in 1..{n_folds}, the folds of each model")
    return sorted((model_index + pick * n_folds // folds_per_model) % n_folds for pick in range(folds_per_model))


def likelihoods(labels: Values, predictions: Values) -> Values:
    """Each model's probability of the true label [shape=(clips, models)]."""
    predictions = clip_probabilities(predictions)
    return np.where(labels[:, None] > 0.5, predictions, 1.0 - predictions)


def _mean_ratio(right: Values, weights: Values) -> Values:
    """Minus the gradient of the log loss, from the models' `likelihoods`. At the optimum no entry exceeds 1."""
    ratio: Values = (1.0 / (right @ weights)) @ right / len(right)
    return ratio


def _check_complete(name: str, folds: Sequence[Checkpoint]) -> None:
    """That all folds of a model are there, and that each holds out clips of its own."""
    n_folds = folds[0].n_folds
    missing = sorted(set(range(n_folds)) - {checkpoint.fold for checkpoint in folds})
    if missing or len(folds) != n_folds:
        raise InputError(
            f"{name}: has {len(folds)} folds where {n_folds} are expected, missing {missing}; "
            "train them, or move this model's files away (check_models.py gives the commands)"
        )
    names = Counter(_joined(folds, "filenames"))
    twice = [clip for clip, n in names.items() if n > 1]
    if twice:
        raise InputError(f"{name}: the clip {min(twice)!r} was held out by two folds; the folds are not of one split")


def _joined(folds: Sequence[Checkpoint], column: str) -> list[str]:
    """A column of the held-out clips of all folds, one fold after the other."""
    return [value for fold in folds for value in getattr(fold.oof, column)]


def _parts(folds: np.ndarray) -> np.ndarray:
    """The folds; of a run on all clips, whose folds are not told apart, parts that are cut anew."""
    return folds if len(np.unique(folds)) > 1 else np.arange(len(folds)) % _PARTS
