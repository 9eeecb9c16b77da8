"""Figures on unseen voices: synthetic ones, and people held out by speaker."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import log_loss, roc_auc_score
from torch import Tensor

from models.base.compute import bfloat16_is_fast
from models.clips.batches import pad_together
from models.clips.groups import TASKS
from models.network.aligned import AlignedNetwork, EncodedClips, join_clips
from models.network.phone_fit import greedy_phones
from models.pretrain.pretraining import Pretrainer, encode_batch, pairs_of
from models.pretrain.real_speech import Recording, read_recordings
from models.pretrain.synthesis import HELD_OUT_VARIANTS, SpokenClip, Synthesizer, features_of
from models.pretrain.texts import VOCABULARY, delete_word, insert_word, substitute_word, swap_words

_CLIPS_AT_ONCE = 64
_GRADES = ("KG", "1", "2", "3")
_EDITS = {"swap": swap_words, "delete": delete_word, "insert": insert_word, "substitute": substitute_word}


@dataclass(frozen=True)
class Trial:
    """A reference and a response, by index, with the label and what kind of pair it is."""

    reference: int
    response: int
    label: float
    kind: str
    task: float
    grade: float


class TrialSet:
    """Clips and the pairs of them to judge."""

    def __init__(self, clips: Sequence[SpokenClip], trials: Sequence[Trial]) -> None:
        self.clips = list(clips)
        self.trials = list(trials)

    @torch.inference_mode()
    def logits(self, model: AlignedNetwork) -> NDArray[np.float64]:
        """One logit per trial."""
        encoded = encode_all(model, self.clips)
        order = sorted(range(len(self.trials)), key=lambda index: int(encoded[self.trials[index].response].lengths))
        logits = np.zeros(len(self.trials))
        for start in range(0, len(order), _CLIPS_AT_ONCE):
            rows = order[start : start + _CLIPS_AT_ONCE]
            logits[rows] = _judge(model, encoded, [self.trials[row] for row in rows]).numpy()
        return logits

    @torch.inference_mode()
    def phone_error_rate(self, model: AlignedNetwork, responses: Sequence[int]) -> float:
        """Edit distance of the greedily read phones to the true ones, over the number of true ones."""
        clips = [self.clips[index] for index in responses]
        encoded = encode_all(model, clips)
        distances = [
            _edit_distance(_greedy(read), clip.phones.tolist()) for read, clip in zip(encoded, clips, strict=True)
        ]
        return sum(distances) / sum(len(clip.phones) for clip in clips)


def report(trials: Sequence[Trial], logits: NDArray[np.float64]) -> dict[str, float]:
    """Log loss and AUC over all trials, and AUC of the right ones against each kind of wrong one."""
    labels = np.array([trial.label for trial in trials])
    kinds = np.array([trial.kind for trial in trials])
    figures = {
        "log_loss": float(log_loss(labels, 1 / (1 + np.exp(-logits)))),
        "auc": float(roc_auc_score(labels, logits)),
    }
    near = (labels == 0) & (kinds != "other sentence")
    groups = {"near miss": near} | {kind: (kinds == kind) & (labels == 0) for kind in sorted(set(kinds[labels == 0]))}
    for name, wrong in groups.items():
        chosen = wrong | (labels == 1)
        if wrong.any():
            figures[name] = float(roc_auc_score(labels[chosen], logits[chosen]))
    return figures


def validation_sets(folder: Path | None, speakers: frozenset[str], seed: int) -> dict[str, TrialSet]:
    """The sets of pairs that are judged at each pause, by name: synthetic ones and, with a folder, of its speakers."""
    sets = {"synthetic": synthetic_trials(60, seed)}
    if folder is not None:
        sets["people, own pairs"] = labelled_trials(folder, speakers)
        sets["people, edits"] = edited_trials(folder, speakers, seed)
    return sets


def print_figures(sets: Mapping[str, TrialSet], trainer: Pretrainer, losses: Mapping[str, float]) -> None:
    """How far training is, and the figures of each set."""
    clock, model = trainer.clock, trainer.model.eval()
    audio_hours = clock.audio_seconds / 3600
    print(f"{clock.seconds / 60:.1f} min, step {clock.step}, {audio_hours:.1f} h of audio: {_listed(losses)}")
    for name, trials in sets.items():
        figures = report(trials.trials, trials.logits(model))
        responses = sorted({trial.response for trial in trials.trials})
        figures["phone error rate"] = trials.phone_error_rate(model, responses)
        print(f"  {name} ({len(trials.trials)} pairs): {_listed(figures)}", flush=True)
    model.train()


def _listed(figures: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in figures.items())


def synthetic_trials(n_groups: int, seed: int) -> TrialSet:
    """Pairings of new texts in voices that training never uses."""
    rng = np.random.default_rng([seed, 1])
    synthesizer = Synthesizer(HELD_OUT_VARIANTS)
    groups = [synthesizer.draw_group(rng) for _ in range(n_groups)]
    synthesizer.close()
    references, responses, labels, of_group = (values.tolist() for values in pairs_of(n_groups))
    kinds = ["right"] * 2 * n_groups + ["near"] * 2 * n_groups + ["other sentence"] * n_groups
    trials = [
        Trial(reference, response, label, kind, groups[group].task, groups[group].grade)
        for reference, response, label, kind, group in zip(references, responses, labels, kinds, of_group, strict=True)
    ]
    return TrialSet([clip for group in groups for clip in group.clips], trials)


class _Builder:
    """Collects clips and trials; each reference text is spoken once."""

    def __init__(self, synthesizer: Synthesizer) -> None:
        self.clips: list[SpokenClip] = []
        self.trials: list[Trial] = []
        self._synthesizer = synthesizer
        self._references: dict[str, int] = {}

    def response(self, recording: Recording) -> int:
        features = features_of(recording.as_float())
        phones = torch.tensor(self._synthesizer.phones_of(recording.text))
        self.clips.append(SpokenClip(features, torch.zeros(0, dtype=torch.long), phones))
        return len(self.clips) - 1

    def trial(self, text: str, response: int, kind: str, grade: float) -> None:
        if text not in self._references:
            self.clips.append(self._synthesizer.reference(text))
            self._references[text] = len(self.clips) - 1
        label = 1.0 if kind == "match" else 0.0
        task = TASKS.index("sentence_repetition") / 4
        self.trials.append(Trial(self._references[text], response, label, kind, task, grade))


def labelled_trials(folder: Path, speakers: frozenset[str]) -> TrialSet:
    """The pairs that the folder's own tables hold for these speakers."""
    expected = {row["filename"]: row for row in _rows(folder / "train_metadata.csv")}
    kinds = {row["filename"]: row["kind"] for row in _rows(folder / "train_source.csv")}
    synthesizer = Synthesizer()
    builder = _Builder(synthesizer)
    for recording in read_recordings(folder, speakers):
        row = expected[recording.filename]
        grade = _GRADES.index(row["grade"]) / 4
        builder.trial(row["expected_text"], builder.response(recording), kinds[recording.filename], grade)
    synthesizer.close()
    return TrialSet(builder.clips, builder.trials)


def edited_trials(folder: Path, speakers: frozenset[str], seed: int) -> TrialSet:
    """Each recording against its own text, another's, and one edit of each kind: more pairs, so steadier figures."""
    rng = np.random.default_rng([seed, 2])
    recordings = read_recordings(folder, speakers)
    vocabulary = sorted({word for recording in recordings for word in recording.text.split()} | set(VOCABULARY))
    synthesizer = Synthesizer()
    builder = _Builder(synthesizer)
    for index, recording in enumerate(recordings):
        response, words = builder.response(recording), recording.text.split()
        grade = float(rng.integers(4)) / 4
        builder.trial(recording.text, response, "match", grade)
        builder.trial(recordings[(index + 7) % len(recordings)].text, response, "other sentence", grade)
        for kind, edit in _EDITS.items():
            text = " ".join(edit(words, rng, vocabulary)) if len(words) > 1 else recording.text
            if text != recording.text and synthesizer.phones_of(text) != synthesizer.phones_of(recording.text):
                builder.trial(text, response, kind, grade)
    synthesizer.close()
    return TrialSet(builder.clips, builder.trials)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def encode_all(network: AlignedNetwork, clips: Sequence[SpokenClip]) -> list[EncodedClips]:
    """Each clip by itself, in its own length."""
    order = sorted(range(len(clips)), key=lambda index: clips[index].features.shape[1])
    encoded: dict[int, EncodedClips] = {}
    for start in range(0, len(order), _CLIPS_AT_ONCE):
        rows = order[start : start + _CLIPS_AT_ONCE]
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16_is_fast()):
            batch = encode_batch(network, *pad_together([clips[row].features for row in rows]))
        encoded |= {row: batch.take(torch.tensor([place])) for place, row in enumerate(rows)}
    return [encoded[index] for index in range(len(clips))]


def _judge(network: AlignedNetwork, encoded: Sequence[EncodedClips], trials: Sequence[Trial]) -> Tensor:
    references = join_clips([encoded[trial.reference] for trial in trials])
    responses = join_clips([encoded[trial.response] for trial in trials])
    scalars = torch.tensor([[trial.task, trial.grade] for trial in trials])
    return network.compare(references, responses, scalars)["logits"]


def _greedy(clip: EncodedClips) -> list[int]:
    phones, _ = greedy_phones(clip.phone_logits, clip.lengths)
    return phones[0].tolist()


def _edit_distance(left: Sequence[int], right: Sequence[int]) -> int:
    """Levenshtein's."""
    row = list(range(len(right) + 1))
    for index, own in enumerate(left):
        last, row[0] = row[0], index + 1
        for place, other in enumerate(right):
            last, row[place + 1] = row[place + 1], min(row[place + 1] + 1, row[place] + 1, last + (own != other))
    return row[-1]
