"""The blend of the models that are complete, and what each of them adds to it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from tqdm import tqdm

from models.base.blas import one_blas_thread
from models.ensemble.blend import Blend, cross_fit, fit_weights, gather_blend
from models.ensemble.bootstrap import Bootstrap, Counts, Estimate, Rows, divide, estimate, weighted_sums
from models.ensemble.checkpoint import Checkpoint
from models.ensemble.choice import choose
from models.ensemble.metrics import Values, clip_losses, ece, ece_if_perfect
from models.errors import InputError


@dataclass(frozen=True)
class FittedBlend:
    """The blend of complete models.

    Attributes
    ----------
    scores
        Cross-fitted, each fold blended with weights fitted on the other folds [shape=(clips,)].
    weights
        Fitted on all clips, as get_config.py does [shape=(models,)].
    fold_weights
        Those that each fold was scored with [shape=(folds, models)].
    """

    blend: Blend
    scores: Values
    weights: Values
    fold_weights: Values


@dataclass(frozen=True)
class Contribution:
    """A model's part in the blend.

    Attributes
    ----------
    lowest, highest
        Its weight over the folds of the cross-fitting.
    adds
        How much higher the blend's cross-fitted log loss is without it, the others' weights refitted; None where it
        is alone.
    """

    model: str
    weight: float
    lowest: float
    highest: float
    adds: Estimate | None


@dataclass(frozen=True)
class Way:
    """A way to blend, cross-fitted.

    Attributes
    ----------
    difference
        Of its log loss to the weighted mean's, of one that is calibrated to the same without; None of the first.
    ece, by_chance
        The calibration error, and between which it would lie if the scores were the true probabilities.
    taken
        Whether get_config.py takes it unless it is told otherwise.
    """

    name: str
    log_loss: float
    difference: Estimate | None
    ece: float
    by_chance: tuple[float, float]
    taken: bool


def ways_to_blend(blend: Blend, texts: Mapping[str, str]) -> list[Way]:
    """All candidates of get_config.py.

    Parameters
    ----------
    texts
        The expected text by file name; empty where they are not known, so that items can't be told.

    Raises
    ------
    InputError
        Where a task or grade is none that is known.
    """
    choice = choose(blend, [texts[name] for name in blend.filenames] if texts else None, "best")
    return [
        Way(
            one.name,
            one.log_loss,
            one.difference,
            ece(blend.labels, one.scores),
            ece_if_perfect(one.scores),
            one is choice.chosen,
        )
        for one in choice.candidates
    ]


def complete_models(
    checkpoints: Sequence[Checkpoint], strangers: Sequence[str]
) -> tuple[list[Checkpoint], dict[str, str]]:
    """The checkpoints of the models that can be blended, and why others can't.

    Parameters
    ----------
    strangers
        File names of checkpoints that were trained otherwise than most.
    """
    complete: dict[str, list[Checkpoint]] = {}
    left_out: dict[str, str] = {}
    for name in dict.fromkeys(item.recipe.name for item in checkpoints):
        own = [item for item in checkpoints if item.recipe.name == name]
        odd = [item.file_name for item in own if item.file_name in strangers]
        try:
            if odd:
                raise InputError(f"{name}: {', '.join(odd)} not trained like most")
            gather_blend(own)
            complete[name] = own
        except InputError as error:
            left_out[name] = str(error).split("; ")[0]
    return _of_the_same_clips(complete, left_out), left_out


@one_blas_thread()
def fit_blend(checkpoints: Sequence[Checkpoint]) -> FittedBlend:
    blend = gather_blend(checkpoints)
    labels = (blend.labels > 0.5).astype(np.float64)
    blend = replace(blend, labels=labels)
    scores, fold_weights = cross_fit(blend)
    return FittedBlend(blend, scores, fit_weights(blend.labels, blend.predictions), fold_weights)


@one_blas_thread()
def contributions(fitted: FittedBlend, rows: Rows, draws: Bootstrap) -> list[Contribution]:
    """Leave each model out of the blend, fit the weights of the others again, and compare on the same draws of clips.

    Parameters
    ----------
    rows
        Where the blend's clips stand among all clips of the report [shape=(clips,)].
    """
    blend, n_models = fitted.blend, len(fitted.blend.models)
    rises: list[Estimate | None] = [None] * n_models
    if n_models > 1:
        own, losses = draws.of(rows), clip_losses(blend.labels, fitted.scores)
        leaving = tqdm(range(n_models), "leaving models out", unit=" models", disable=None)
        rises = [_rise(_without(blend, index), losses, own) for index in leaving]
    parts = zip(blend.models, fitted.weights, fitted.fold_weights.T, rises, strict=True)
    return [
        Contribution(name, float(weight), float(over_folds.min()), float(over_folds.max()), rise)
        for name, weight, over_folds, rise in parts
    ]


def _rise(blend: Blend, losses: Values, counts: Counts) -> Estimate:
    rises = clip_losses(blend.labels, cross_fit(blend)[0]) - losses
    sums = weighted_sums(np.column_stack([rises, np.ones(len(rises))]), counts)
    return estimate(float(rises.mean()), divide(sums[:, 0], sums[:, 1]))


def _without(blend: Blend, index: int) -> Blend:
    models = [name for other, name in enumerate(blend.models) if other != index]
    return replace(blend, models=models, predictions=np.delete(blend.predictions, index, axis=1))


def _of_the_same_clips(complete: dict[str, list[Checkpoint]], left_out: dict[str, str]) -> list[Checkpoint]:
    """The most models that held out the same clips; the others are named in `left_out`."""
    covers: dict[frozenset[str], list[str]] = {}
    for name, own in complete.items():
        covers.setdefault(frozenset(clip for item in own for clip in item.oof.filenames), []).append(name)
    chosen = max(covers.values(), key=len, default=[])
    left_out |= {name: f"{name}: trained on other clips than most" for name in complete if name not in chosen}
    return [item for name in chosen for item in complete[name]]
