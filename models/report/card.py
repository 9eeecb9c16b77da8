"""The model card of published models, in the Hugging Face form: card.md.jinja, filled with what is published and its figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from models.clips.groups import GRADES, TASKS
from models.ensemble.correction import SIMPLEX
from models.ensemble.metrics import N_BINS
from models.inference.published import Published, plain
from models.inference.scoring import Member
from models.report.figures import largest_gap, review_figures
from models.speech.identity import Identity, describe_voice

TAGS = ["speech-text-comparison", "whisper", "children", "literacy", "pronunciation-assessment"]
_FEW_CLIPS = 30  # a group of fewer says little, and is left out of the gaps
_REVIEW = (0.25, 0.75)
_UNKNOWN = "not known to this program; look where it comes from"
_LICENCES = {  # by the start of a hub id or of a path as recipes name it
    "openai/whisper-": "MIT (OpenAI)",
    "distil-whisper/": "MIT",
    "assets/encoders/phonetic-tiny": "MIT, as this project",
    "facebook/mms-tts-": "CC BY-NC 4.0: not for commercial use; find out whether that holds for its speech",
    "microsoft/speecht5_tts": "MIT",
}
_METRICS = {
    "log_loss": ("Log loss", "log_loss"),
    "roc_auc": ("AUC", "auc"),
    "accuracy": ("Accuracy at 0.5", "accuracy"),
    "brier_score": ("Brier score", "brier"),
    "expected_calibration_error": ("Expected calibration error", "calibration_error"),
}
_RECIPE_COLUMNS = {
    "encoder": "encoder",
    "pooling": "pooling",
    "head": "head",
    "epochs": "epochs",
    "batch": "batch_size",
    "learning rate": "learning_rate",
    "dropout": "dropout",
    "augments": "augment",
}


@dataclass(frozen=True)
class CardChoices:
    """What only the one who publishes knows.

    Attributes
    ----------
    licence
        An identifier of the hub, such as mit or cc-by-nc-4.0; None: not chosen yet.
    """

    name: str
    dataset: str
    licence: str | None = None


def model_card(published: Published, choices: CardChoices) -> str:
    """README.md of a published folder."""
    figures, members = published.figures, published.members
    share, accuracy = review_figures(figures["bins"], *_REVIEW)
    return (
        _environment()
        .get_template("card.md.jinja")
        .render(
            card_data=card_data(figures, choices).to_yaml(),
            name=choices.name,
            published=published,
            corrected=published.correction != SIMPLEX,
            blending=published.blending,
            dataset=choices.dataset,
            licence=choices.licence,
            figures=figures,
            overall=figures["overall"][0],
            weakest=max(figures["by_task_and_grade"], key=lambda row: row["log_loss"]),
            unseen=_unseen(figures),
            n_bins=N_BINS,
            few_clips=_FEW_CLIPS,
            review={"low": _REVIEW[0], "high": _REVIEW[1], "share": share, "accuracy": accuracy},
            calibration=_calibration(figures["bins"]),
            gaps=[_gaps(figures, name, told) for name, told in _GROUPINGS.items()],
            members=members,
            models=list(dict.fromkeys(member.checkpoint.recipe.name for member in members)),
            first=members[0].checkpoint,
            training_columns=["model", *_RECIPE_COLUMNS, "options", "folds", "weight"],
            training=_training(members),
            restarts=sum(len(member.checkpoint.tries) for member in members),
            versions=", ".join(f"{name} {value}" for name, value in members[0].checkpoint.versions.items()),
            voice=describe_voice(plain(published.voice)),
            with_references=bool(published.references),
            hears_references=any(member.checkpoint.recipe.layout != "text" for member in members),
            weighs_phones=any(member.checkpoint.weighs_phones for member in members),
            partly=len({member.checkpoint.fold for member in members}) < members[0].checkpoint.n_folds,
            seconds=f"{max(member.checkpoint.recipe.max_seconds for member in members):g}",
            licences=_licences(published),
            unknown=_UNKNOWN,
            tasks=TASKS,
            grades=GRADES,
        )
    )


def card_data(figures: Mapping[str, Any], choices: CardChoices) -> ModelCardData:
    """The front matter; its metrics are those of all clips together."""
    overall = figures["overall"][0]
    results = [
        EvalResult(
            task_type="audio-classification",
            task_name="Right or wrong answer",
            dataset_type="private",
            dataset_name=f"{choices.dataset}, out of fold",
            metric_type=kind,
            metric_name=name,
            metric_value=round(overall[figure], 6),
        )
        for kind, (name, figure) in _METRICS.items()
        if overall[figure] is not None
    ]
    licence = (
        {"license": choices.licence} if choices.licence else {"license": "other", "license_name": "not-chosen-yet"}
    )
    return ModelCardData(
        language="en",
        **licence,
        tags=TAGS,
        pipeline_tag="audio-classification",
        model_name=choices.name,
        eval_results=results,
    )


_GROUPINGS = {"by_task": "task", "by_grade": "grade", "by_task_and_grade": "task, grade"}


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=False,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "number": _number,
        "count": lambda value: f"{value:,}",
        "percent": lambda value: f"{value:.1%}",
        "cell": lambda value: str(value).replace("|", "\\|").replace("\n", " "),
    }
    return environment


def _number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _unseen(figures: Mapping[str, Any]) -> list[str]:
    """Tasks, or grades of a task, that no clip of the figures has."""
    seen = {(row["task"], row["grade"]) for row in figures["by_task_and_grade"]}
    unseen = {task: [grade for grade in GRADES if (task, grade) not in seen] for task in TASKS}
    return [
        task if len(grades) == len(GRADES) else f"{task} in grades {', '.join(grades)}"
        for task, grades in unseen.items()
        if grades
    ]


def _calibration(bins: Sequence[Mapping[str, float]]) -> list[list[str]]:
    """A row for each two bins: where they lie, clips, mean prediction, share right."""
    rows = []
    for first, second in zip(bins[::2], bins[1::2], strict=True):
        clips, right = first["clips"] + second["clips"], first["right"] + second["right"]
        predicted = first["predicted_sum"] + second["predicted_sum"]
        shares = [_number(predicted / clips), _number(right / clips)] if clips else ["", ""]
        rows.append([f"{first['from']:.1f}–{second['to']:.1f}", f"{clips:,}", *shares])
    return rows


def _gaps(figures: Mapping[str, Any], grouping: str, told: str) -> list[str]:
    names = ("log_loss", "false_rejections", "false_acceptances")
    return [f"{told} groups", *(_number(largest_gap(figures[grouping], name, _FEW_CLIPS)) for name in names)]


def _training(members: Sequence[Member]) -> list[list[str]]:
    """A row for each model."""
    rows = []
    for name, member in {member.checkpoint.recipe.name: member for member in members}.items():
        own = [item for item in members if item.checkpoint.recipe.name == name]
        settings = [_setting(getattr(member.checkpoint.recipe, field)) for field in _RECIPE_COLUMNS.values()]
        folds = ", ".join(str(item.checkpoint.fold) for item in own)
        share = sum(item.share for item in own)
        rows.append([name, *settings, _options(member.checkpoint.options), folds, f"{share:.4f}"])
    return rows


def _setting(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(plain(value))


def _options(options: Mapping[str, Any]) -> str:
    """Those that changed the training; where something lay is left out."""
    told = {name: value for name, value in plain(options).items() if name not in ("data_dir", "tts_dir", "output_dir")}
    return ", ".join(f"{name} {value}" for name, value in told.items()) or "none"


def _licences(published: Published) -> list[str]:
    """A line for each encoder, and one for the voice, as far as their licences are known."""
    encoders = dict.fromkeys(member.checkpoint.recipe.encoder for member in published.members)
    lines = [f"encoder {plain(name)}: {_licence(name)}" for name in encoders]
    return [*lines, f"voice {plain(published.voice['source'])}: {_voice_licence(published.voice)}"]


def _voice_licence(voice: Identity) -> str:
    if voice["engine"] == "espeak-ng":
        return "espeak-ng is GPL-3.0-or-later; it is installed apart, and no part of it is in this folder"
    return "MIT" if voice["engine"] == "MeloTTS" else _licence(str(voice["source"]))


def _licence(name: str) -> str:
    return next((licence for start, licence in _LICENCES.items() if name.startswith(start)), _UNKNOWN)
