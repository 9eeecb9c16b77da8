"""Everything that the page says, gathered from the checkpoints: numbers and texts, no drawing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from models.clips.groups import GRADES, TASKS
from models.ensemble.bootstrap import Bootstrap, Estimate, bootstrap
from models.ensemble.checkpoint import Checkpoint
from models.ensemble.metrics import Figures, base_rate_loss, figures
from models.errors import InputError
from models.report.blending import (
    Contribution,
    FittedBlend,
    Way,
    complete_models,
    contributions,
    fit_blend,
    ways_to_blend,
)
from models.report.checks import Problem, describe_tries, find_faulty_folds, usual_checkpoint
from models.report.held_out import Clips, Predictions, ResamplingUnits, Texts, find_units, line_up
from models.report.noise import LabelNoise, label_noise
from models.report.review import Review, review
from models.report.scores import Bin, Scores, gaps, reliability, reliability_curve, score
from models.report.worst_clips import ClipFiles, WorstClip, find_files, worst_clips

BLEND = "blend"
JUDGED = ("log_loss", "auc", "ece", "bias", "rejected", "accepted")  # figures whose gaps between groups are judged


@dataclass(frozen=True)
class ReportOptions:
    """What the user says of the report.

    Attributes
    ----------
    groups, group_by
        A CSV and its column, to draw the bootstrap's units from.
    """

    assets_dir: Path
    data_dir: Path = Path("data")
    tts_dir: Path = Path("tts_data")
    groups: Path | None = None
    group_by: str | None = None
    worst_clips: int = 20
    with_sound: bool = True


@dataclass(frozen=True)
class Fold:
    """A row of the fold table. figures and prior are None where there is no sound checkpoint."""

    name: str
    figures: Figures | None
    prior: float | None
    problems: list[Problem]


@dataclass(frozen=True)
class Part:
    """The clips cut by one fact, such as the task.

    Attributes
    ----------
    gaps
        For each figure that is judged, how far each group lies from all clips.
    by_model
        The same groups of each model.
    """

    title: str
    groups: list[Scores]
    gaps: dict[str, list[Estimate]]
    by_model: dict[str, list[Scores]]


@dataclass(frozen=True)
class ReportBody:
    """What sound checkpoints tell.

    Attributes
    ----------
    main
        The predictions that most of the page is about: the blend's, or where there is none, one model's.
    is_blend
        Which of the two.
    scores
        Of `main` and of each model, in this order.
    models
        The predictions of each model.
    ways
        To blend the models; empty where nothing can be blended.
    """

    clips: Clips
    units: ResamplingUnits
    main: Predictions
    is_blend: bool
    scores: list[Scores]
    models: list[Predictions]
    fitted: FittedBlend | None
    contributions: list[Contribution]
    ways: list[Way]
    noise: LabelNoise
    reliability: dict[str, list[Bin]]
    parts: list[Part]
    review: Review
    worst: list[WorstClip]


@dataclass(frozen=True)
class Report:
    """All that the page says.

    Attributes
    ----------
    notes
        What is missing, and why. evidence is None where no checkpoint is sound.
    """

    options: ReportOptions
    checkpoints: list[Checkpoint]
    folds: list[Fold]
    problems: list[Problem]
    tries: list[str]
    notes: list[str]
    evidence: ReportBody | None


def gather_report(assets: Mapping[Path, Checkpoint | InputError], options: ReportOptions) -> Report:
    problems = find_faulty_folds(assets, options.assets_dir)
    checkpoints = [item for item in assets.values() if isinstance(item, Checkpoint)]
    notes: list[str] = []
    evidence = _gather_evidence(checkpoints, problems, options, notes) if checkpoints else None
    folds = _fold_table(checkpoints, problems)
    return Report(options, checkpoints, folds, problems, describe_tries(checkpoints), notes, evidence)


def _gather_evidence(
    checkpoints: list[Checkpoint], problems: list[Problem], options: ReportOptions, notes: list[str]
) -> ReportBody:
    usual = usual_checkpoint(checkpoints)
    clips, models = line_up(checkpoints)
    units = find_units(clips, usual, options.groups, options.group_by)
    draws = bootstrap(units.of_clip)
    fitted = _try_blend(checkpoints, problems, notes)
    main = _main_predictions(fitted, clips, models)
    subjects = [main, *(model for model in models if model is not main)]
    files = find_files(options.data_dir, options.tts_dir, usual.data_fingerprint, usual.voice, options.with_sound)
    notes += [*([units.note] if units.note else []), *(files.notes if options.worst_clips else [])]
    scores = [score(subject, draws) for subject in tqdm(subjects, "bootstrap", unit=" models", disable=None)]
    return ReportBody(
        clips=clips,
        units=units,
        main=main,
        is_blend=fitted is not None,
        scores=scores,
        models=models,
        fitted=fitted,
        contributions=contributions(fitted, main.rows, draws) if fitted else [],
        ways=_try_ways(fitted, files, notes) if fitted else [],
        noise=label_noise(main, models, clips, files.texts, draws),
        reliability={subject.name: reliability(subject, draws) for subject in subjects},
        parts=_parts(clips, subjects, scores[0], draws),
        review=review(main, draws),
        worst=worst_clips(main, models, clips, units, files, options.worst_clips),
    )


def _try_blend(checkpoints: list[Checkpoint], problems: list[Problem], notes: list[str]) -> FittedBlend | None:
    """The blend of what can be blended; `notes` say what is left out of it."""
    strangers = [problem.file_name for problem in problems if problem.kind == "stranger"]
    complete, left_out = complete_models(checkpoints, strangers)
    notes += [f"Left out of the blend: {reason}." for reason in left_out.values()]
    if not complete:
        notes.append("There is no blend: no model has all its folds. Figures of a single model stand in for it.")
        return None
    try:
        return fit_blend(complete)
    except InputError as error:
        notes.append(f"There is no blend: {error}. Figures of a single model stand in for it.")
        return None


def _try_ways(fitted: FittedBlend, files: ClipFiles, notes: list[str]) -> list[Way]:
    try:
        return ways_to_blend(fitted.blend, files.texts)
    except InputError as error:
        notes.append(f"Only the weighted mean is judged: {error}.")
        return []


def _main_predictions(fitted: FittedBlend | None, clips: Clips, models: list[Predictions]) -> Predictions:
    """The blend's; without a blend those of the model with most clips, of several the one with the lowest loss."""
    if fitted is None:
        return min(models, key=lambda model: (-len(model.rows), figures(model.labels, model.scores).log_loss))
    row_of = {name: row for row, name in enumerate(clips.filenames)}
    rows = np.array([row_of[name] for name in fitted.blend.filenames])
    order = np.argsort(rows)
    return Predictions(BLEND, rows[order], fitted.blend.labels[order], fitted.scores[order])


def _parts(clips: Clips, subjects: list[Predictions], overall: Scores, draws: Bootstrap) -> list[Part]:
    """By task, by grade, and by both; models one by one where a single fact cuts. What doesn't cut is left out."""
    both = np.array([f"{task} · {grade}" for task, grade in zip(clips.tasks, clips.grades, strict=True)])
    known = [f"{task} · {grade}" for task in TASKS for grade in GRADES]
    cuts: list[tuple[str, Texts, Sequence[str]]] = [("task", clips.tasks, TASKS), ("grade", clips.grades, GRADES)]
    cuts = [cut for cut in cuts if len(np.unique(cut[1])) > 1]
    if len(cuts) == 2:
        cuts.append(("task and grade", both, known))
    parts = []
    for title, groups, order in tqdm(cuts, "groups", unit=" cuts", disable=None):
        found = score_groups(subjects[0], groups, order, draws)
        models = [] if groups is both else subjects[1:]
        by_model = {model.name: score_groups(model, groups, order, draws) for model in models}
        parts.append(Part(title, found, {name: gaps(found, overall, name) for name in JUDGED}, by_model))
    return parts


def score_groups(predictions: Predictions, groups: Texts, order: Sequence[str], draws: Bootstrap) -> list[Scores]:
    """The figures of each group that has clips: those of `order` first, then any other.

    Parameters
    ----------
    groups
        Of all clips [shape=(all clips,)].
    """
    own, curve = groups[predictions.rows], reliability_curve(predictions)
    present = set(own.tolist())
    names = [*(name for name in order if name in present), *sorted(present - set(order))]
    return [score(predictions.where(own == name, name), draws, curve) for name in names]


def _fold_table(checkpoints: list[Checkpoint], problems: list[Problem]) -> list[Fold]:
    """Every fold that is there or ought to be, with what is wrong with it."""
    rows = []
    for item in sorted(checkpoints, key=lambda item: (item.recipe.name, item.fold)):
        own = [problem for problem in problems if problem.file_name == item.file_name]
        oof = item.oof
        rows.append(Fold(item.file_name, figures(oof.labels, oof.predictions), base_rate_loss(oof.labels), own))
    present = {row.name for row in rows}
    absent = dict.fromkeys(problem.file_name for problem in problems if problem.file_name not in present)
    rows += [Fold(name, None, None, [problem for problem in problems if problem.file_name == name]) for name in absent]
    return sorted(rows, key=lambda row: row.name)
