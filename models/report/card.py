"""The model card of published models, in the Hugging Face form: README.md with YAML front matter. Every figure is computed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from models.clips.tables import GRADES, TASKS
from models.ensemble.metrics import ECE_BINS
from models.inference.published import Published, plain
from models.inference.scoring import Member
from models.report.card_figures import largest_gap, review_figures
from models.report.card_origin import licences_section, training_section
from models.report.markdown import number, table
from models.speech.identity import describe_voice

TAGS = ["speech-text-comparison", "whisper", "children", "literacy", "pronunciation-assessment"]
_FEW_CLIPS = 30  # a group of fewer says little, and is left out of the gaps
_REVIEW = (0.25, 0.75)
_NAMES = {"by_task": "task", "by_grade": "grade", "by_task_and_grade": "task, grade"}


@dataclass(frozen=True)
class CardChoices:
    """What only the one who publishes knows.

    licence : an identifier of the hub, such as mit or cc-by-nc-4.0; None: not chosen yet
    """

    name: str
    dataset: str
    licence: str | None = None


def model_card(published: Published, choices: CardChoices) -> str:
    """README.md, from what is published and its figures."""
    parts = [
        f"---\n{card_data(published.figures, choices).to_yaml()}\n---",
        _summary(published, choices),
        _how_to_load(published),
        _INTENDED_USE,
        _data(published, choices),
        _figures(published.figures),
        _calibration(published.figures),
        _bias(published.figures),
        _limits(published),
        training_section(published.members),
        licences_section(published, choices.licence),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def card_data(figures: Mapping[str, Any], choices: CardChoices) -> ModelCardData:
    """The front matter; its metrics are those of all clips together."""
    overall = figures["overall"][0]
    metrics = {
        "log_loss": ("Log loss", overall["log_loss"]),
        "roc_auc": ("AUC", overall["auc"]),
        "accuracy": ("Accuracy at 0.5", overall["accuracy"]),
        "brier_score": ("Brier score", overall["brier"]),
        "expected_calibration_error": ("Expected calibration error", overall["calibration_error"]),
    }
    results = [
        EvalResult(
            task_type="audio-classification",
            task_name="Right or wrong answer",
            dataset_type="private",
            dataset_name=f"{choices.dataset}, out of fold",
            metric_type=kind,
            metric_name=name,
            metric_value=round(value, 6),
        )
        for kind, (name, value) in metrics.items()
        if value is not None
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


def _summary(published: Published, choices: CardChoices) -> str:
    overall, members = published.figures["overall"][0], published.members
    low, high = overall["log_loss_interval"]
    models = ", ".join(dict.fromkeys(member.checkpoint.recipe.name for member in members))
    return (
        f"# {choices.name}\n\n"
        "Given a recording of a child's answer and the text that was expected, the probability that the answer was right.\n"
        f"{len(members)} trained networks ({models}) compare the recording with the same text spoken by a text-to-speech voice;\n"
        "their weighted mean is the score.\n\n"
        f"Log loss on {overall['clips']:,} held-out clips: **{overall['log_loss']:.4f}** [{low:.4f}, {high:.4f}]. "
        f"Always answering with the share of right answers gives {overall['prior_log_loss']:.4f}."
    )


def _how_to_load(published: Published) -> str:
    seconds = max(member.checkpoint.recipe.max_seconds for member in published.members)
    task = TASKS[-1]
    spoken = (
        "The references, expected texts as the voice has spoken them, are in `references/`;\nother texts are spoken on demand "
        "by the same voice."
        if published.references
        else "The references, expected texts as the voice speaks them, are not included;\nthey are spoken on demand "
        "by the same voice."
    )
    return f"""## How to load it

In a clone of the project, speech–text comparison as speech classification, with its requirements installed:

```python
from models.inference.scorer import Answer, Scorer

scorer = Scorer.from_pretrained("this folder, or its hub id")
scorer.score("clip.wav", "we like to play", "{task}", "{GRADES[1]}")  # the probability that the answer was right
scorer.score_batch([Answer("a.wav", "we like to play", "{task}", "{GRADES[1]}"), Answer("b.flac", "old", "deletion", "KG")])
```

`python app.py --model FOLDER` opens a page for it. Nothing is pickled: weights are safetensors, checked against the checksums in
`config.json`. {spoken}
Voice: {describe_voice(plain(published.voice))}. Another voice is refused.
Of a recording {seconds:g} s are heard at most, in joint models less what its reference takes."""


_INTENDED_USE = f"""## Intended use

For research on the scoring of early literacy screening, and for tools that support a teacher who hears the same
recordings: to order them, to find those that need a second ear.
Tasks: {", ".join(TASKS)}; grades {", ".join(GRADES)}.

Not for decisions about a child without a person who listens: no placement, no diagnosis, no grade. Not for other
languages, other tasks or adults without figures of your own on such recordings. Not for telling who speaks."""


def _data(published: Published, choices: CardChoices) -> str:
    first = published.members[0].checkpoint
    rows = [
        [row["task"], row["grade"], f"{row['clips']:,}", f"{row['right'] / row['clips']:.3f}"]
        for row in published.figures["by_task_and_grade"]
    ]
    overall = published.figures["overall"][0]
    total = ["all", "", f"{overall['clips']:,}", f"{overall['right'] / overall['clips']:.3f}"]
    return f"""## Data

{choices.dataset}: {overall["clips"]:,} clips in the figures below (fingerprint of the training table:
`{first.data_fingerprint[:12]}`), {_folds(published.members)}

{table(["task", "grade", "clips", "share right"], [*rows, total])}"""


def _folds(members: Sequence[Member]) -> str:
    first = members[0].checkpoint
    group = first.options.get("group_by")
    if group:
        return f"in {first.n_folds} folds that keep each {group} whole."
    return (
        f"in {first.n_folds} folds drawn by clip: clips of one child may lie on both sides,\n"
        "and the figures are then too good for children who were never heard."
    )


def _figures(figures: Mapping[str, Any]) -> str:
    cross = figures["cross_fitted_log_loss"]
    weights = (
        ""
        if cross is None
        else f"\nThe blend's weights were fitted on these clips; with weights of the other folds its log loss is {cross:.4f}."
    )
    parts = [_group_table(figures, name) for name in _NAMES]
    return f"""## Figures

Out of fold: each clip is judged by networks that were not trained on it, in the float16 weights that are published.{weights}
New clips are scored by all networks together, which the figures do not show. Prior: the log loss of always answering with
the group's share of right answers. Intervals: 95 %, bootstrap over clips; where a child has several clips they are too narrow.

{(chr(10) * 2).join(parts)}"""


def _group_table(figures: Mapping[str, Any], grouping: str) -> str:
    names = _NAMES[grouping].split(", ")
    rows = [[*(row[name] for name in names), *_figure_cells(row)] for row in figures[grouping]]
    if grouping == "by_task":
        rows.append(["all", *_figure_cells(figures["overall"][0])])
    return table([*names, "clips", "log loss", "prior", "AUC", "accuracy", "calibration error"], rows)


def _figure_cells(row: Mapping[str, Any]) -> list[str]:
    low, high = row["log_loss_interval"]
    return [
        f"{row['clips']:,}",
        f"{row['log_loss']:.3f} [{low:.3f}, {high:.3f}]",
        f"{row['prior_log_loss']:.3f}",
        number(row["auc"]),
        number(row["accuracy"]),
        number(row["calibration_error"]),
    ]


def _calibration(figures: Mapping[str, Any]) -> str:
    bins = figures["bins"]
    rows = []
    for first, second in zip(bins[::2], bins[1::2], strict=True):
        clips, right = first["clips"] + second["clips"], first["right"] + second["right"]
        predicted = first["predicted_sum"] + second["predicted_sum"]
        share = [f"{predicted / clips:.3f}", f"{right / clips:.3f}"] if clips else ["", ""]
        rows.append([f"{first['from']:.1f}–{second['to']:.1f}", f"{clips:,}", *share])
    reviewed, accuracy = review_figures(bins, *_REVIEW)
    return f"""## Calibration

Expected calibration error, over {ECE_BINS} bins of equal width: {figures["overall"][0]["calibration_error"]:.4f}.
A person who reviews the answers with a probability from {_REVIEW[0]} to {_REVIEW[1]} hears {reviewed:.1%} of all;
of the other verdicts {accuracy:.1%} are right.

{table(["probability", "clips", "mean probability", "share right"], rows)}"""


def _bias(figures: Mapping[str, Any]) -> str:
    rows = [[*_error_cells(row, row["task"], row["grade"])] for row in figures["by_task_and_grade"]]
    return f"""## Bias

At a threshold of 0.5; rejected: right answers that are called wrong; accepted: wrong ones that are called right.
A gap is the largest less the smallest value among groups of at least {_FEW_CLIPS} clips.

{table(["gap between", "log loss", "rejected", "accepted"], [_gap_cells(figures, name) for name in _NAMES])}

{table(["task", "grade", "clips", "rejected", "accepted", "mean probability", "share right"], rows)}

The training table names task and grade alone. How the models do for girls and boys, for dialects, for children who learn
English as another language or who speak differently for any other reason is not known from it: measure it on recordings
of your own before you rely on a score."""


def _gap_cells(figures: Mapping[str, Any], grouping: str) -> list[str]:
    groups = figures[grouping]
    names = ("log_loss", "false_rejections", "false_acceptances")
    return [f"{_NAMES[grouping]} groups", *(number(largest_gap(groups, name, _FEW_CLIPS)) for name in names)]


def _error_cells(row: Mapping[str, Any], *names: str) -> Iterable[str]:
    yield from names
    yield f"{row['clips']:,}"
    yield number(row["false_rejections"])
    yield number(row["false_acceptances"])
    yield number(row["mean_prediction"])
    yield number(row["right"] / row["clips"])


def _limits(published: Published) -> str:
    weakest = max(published.figures["by_task_and_grade"], key=lambda row: row["log_loss"])
    seen = {(row["task"], row["grade"]) for row in published.figures["by_task_and_grade"]}
    unseen = {task: [grade for grade in GRADES if (task, grade) not in seen] for task in TASKS}
    named = [
        task if len(grades) == len(GRADES) else f"{task} in grades {', '.join(grades)}"
        for task, grades in unseen.items()
        if grades
    ]
    never = f"\n- Never seen in training: {'; '.join(named)}." if named else ""
    return f"""## Limits

- Weakest group: {weakest["task"]}, grade {weakest["grade"]}: log loss {weakest["log_loss"]:.3f}
  on {weakest["clips"]:,} clips.{never}
- The answer is compared with one voice's pronunciation of the text. What it mispronounces is held against the child.
- A score says that an answer differs from the text, not why; noise, a cut recording or a second speaker look like a
  wrong answer.
- Where the encoder was pre-trained on the same speakers, out-of-fold figures are too good."""
