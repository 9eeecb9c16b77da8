"""The parts of a model card that tell where the models come from: training and licences, as far as they are known."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from models.inference.published import Published, plain
from models.inference.scoring import Member
from models.report.markdown import table
from models.speech.identity import Identity

UNKNOWN = "not known to this program; look where it comes from"
_BY_START = {  # of a hub id or of a path as recipes name it
    "openai/whisper-": "MIT (OpenAI)",
    "distil-whisper/": "MIT",
    "assets/encoders/phonetic-tiny": "MIT, as this project",
    "facebook/mms-tts-": "CC BY-NC 4.0: not for commercial use; find out whether that holds for its speech",
    "microsoft/speecht5_tts": "MIT",
}


def encoder_licence(name: str) -> str:
    """name : as in a recipe"""
    return _by_start(name)


def voice_licence(voice: Identity) -> str:
    if voice["engine"] == "espeak-ng":
        return "espeak-ng is GPL-3.0-or-later; it is installed apart, and no part of it is in this folder"
    return "MIT" if voice["engine"] == "MeloTTS" else _by_start(str(voice["source"]))


def _by_start(name: str) -> str:
    return next((licence for start, licence in _BY_START.items() if name.startswith(start)), UNKNOWN)


_COLUMNS: dict[str, Callable[[Member], object]] = {
    "model": lambda member: member.checkpoint.recipe.name,
    "encoder": lambda member: plain(member.checkpoint.recipe.encoder),
    "pooling": lambda member: member.checkpoint.recipe.pooling,
    "head": lambda member: member.checkpoint.recipe.head,
    "epochs": lambda member: member.checkpoint.recipe.epochs,
    "batch": lambda member: member.checkpoint.recipe.batch_size,
    "learning rate": lambda member: f"{member.checkpoint.recipe.learning_rate:g}",
    "dropout": lambda member: member.checkpoint.recipe.dropout,
    "augments": lambda member: member.checkpoint.recipe.augment,
    "options": lambda member: _options(member.checkpoint.options),
}


def _options(options: Mapping[str, Any]) -> str:
    """Those that changed the training; where something lay is left out."""
    told = {name: value for name, value in plain(options).items() if name not in ("data_dir", "tts_dir", "output_dir")}
    return ", ".join(f"{name} {value}" for name, value in told.items()) or "none"


def training_section(members: Sequence[Member]) -> str:
    models = {member.checkpoint.recipe.name: member for member in members}
    rows = []
    for name, member in models.items():
        own = [item for item in members if item.checkpoint.recipe.name == name]
        folds = ", ".join(str(item.checkpoint.fold) for item in own)
        rows.append([*(read(member) for read in _COLUMNS.values()), folds, f"{sum(item.share for item in own):.4f}"])
    restarts = sum(len(member.checkpoint.tries) for member in members)
    seconds = sum(epoch.get("seconds") or 0 for member in members for epoch in member.checkpoint.history)
    versions = ", ".join(f"{name} {value}" for name, value in members[0].checkpoint.versions.items())
    took = f"\nTheir epochs took {seconds / 3600:.1f} hours together." if seconds else ""
    return f"""## Training

{table([*_COLUMNS, "folds", "weight"], rows)}

AdamW with a cosine schedule; the epoch with the lowest validation log loss was kept; {restarts} runs collapsed on the way
and were begun again.{took}
`config.json` has every setting and the course of every run. Versions: {versions or "not recorded"}."""


def licences_section(published: Published, chosen: str | None) -> str:
    encoders = dict.fromkeys(member.checkpoint.recipe.encoder for member in published.members)
    lines = [f"- encoder {plain(name)}: {encoder_licence(name)}" for name in encoders]
    lines.append(f"- voice {plain(published.voice['source'])}: {voice_licence(published.voice)}")
    own = chosen or "not chosen yet; choose one with `publish.py --license`"
    return f"""## Licences

- these weights: {own}
{chr(10).join(lines)}
- training data: {UNKNOWN}"""
