"""Scores of clips by the folds that held them out, of several trainings beside each other."""

import glob
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from models import Answer, Scorer
from models.clips.tables import read_groups, read_labels, read_metadata
from models.ensemble.correction import SIMPLEX
from models.ensemble.metrics import Values
from models.errors import InputError
from models.speech.audio import Waveform


@dataclass(frozen=True)
class Judge:
    """One fold of one model, its share in the blend, and the clips that it was not trained on."""

    scorer: Scorer
    model: str
    weight: float
    held_out: frozenset[str]

    def answers_for(self, part: str, filenames: pd.Series) -> np.ndarray:
        """Whether it may be asked about each."""
        return np.array([part == "test" or name in self.held_out for name in filenames])


def load_column(pattern: str, tts_dir: Path | None) -> list[Judge]:
    """The folds of a configuration, of a published model, or of checkpoints, whose models are blended with equal weights.

    What a configuration does beyond weights is left out: it was fitted on the labels of the training children.
    """
    if pattern.endswith(".pkl"):
        published = Scorer.from_config(Path(pattern), tts_dir).published
    elif Path(pattern).is_dir():
        published = Scorer.from_pretrained(pattern).published
    else:
        files = [Path(name) for name in sorted(glob.glob(pattern))]
        if not files:
            raise InputError(f"{pattern}: there is no such file")
        published = Scorer.from_checkpoints(files, tts_dir).published
    return [
        Judge(
            Scorer(replace(published, members=[replace(member, share=1.0)], correction=SIMPLEX)),
            member.checkpoint.recipe.name,
            member.share,
            frozenset(member.checkpoint.oof.filenames),
        )
        for member in published.members
    ]


def read_table(data_dir: Path, part: str) -> pd.DataFrame:
    """The part's clips with score, speaker and what was really said."""
    table = read_metadata(data_dir / f"{part}_metadata.csv")
    table = table.merge(read_labels(data_dir / f"{part}_labels.csv"), on="filename", validate="one_to_one")
    source = data_dir / f"{part}_source.csv"
    columns = {name: read_groups(source, name, table["filename"]) for name in ("speaker", "spoken_text")}
    return table.assign(**columns)


def asked_clips(columns: dict[str, list[Judge]], table: pd.DataFrame, part: str) -> pd.DataFrame:
    """The clips that every model of every column may be asked about, with the folds that held them out in `folds`."""
    if part == "train":
        for judge in {id(judge): judge for judges in columns.values() for judge in judges}.values():
            _check_apart(judge, table)
    may = {
        (name, index): judge.answers_for(part, table["filename"])
        for name, judges in columns.items()
        for index, judge in enumerate(judges)
    }
    asked = np.ones(len(table), bool)
    for name, judges in columns.items():
        for model in {judge.model for judge in judges}:
            own = [may[name, index] for index, judge in enumerate(judges) if judge.model == model]
            asked &= np.any(own, axis=0)
    folds = ["".join(str(int(one)) for one in row) for row in np.array(list(may.values())).T]
    if not asked.any():
        raise InputError("no clip was held out by every column; give all folds of each, trained on the same ones")
    return table.assign(folds=folds)[asked]


def _check_apart(judge: Judge, table: pd.DataFrame) -> None:
    held_out = table["filename"].isin(judge.held_out)
    if judge.held_out - set(table["filename"]):
        raise InputError(f"{judge.model}: was trained on other clips than those of --data_dir; give its own folder")
    if both := set(table["speaker"][held_out]) & set(table["speaker"][~held_out]):
        raise InputError(
            f"{judge.model}: knows speaker {min(both)!r}, whom it is asked about, from its training; train it with "
            "--group_by speaker, or its figures will be too good"
        )


def scores(judges: Sequence[Judge], asked: pd.DataFrame, recordings: Sequence[Waveform], part: str) -> Values:
    """Of each model the mean of the folds that may be asked, of the models the weighted mean [shape=(clips,)]."""
    rows = zip(recordings, asked["expected_text"], asked["task"], asked["grade"], strict=True)
    answers, blend = [Answer(*row) for row in rows], np.zeros(len(asked))
    for model in dict.fromkeys(judge.model for judge in judges):
        folds = [judge for judge in judges if judge.model == model]
        said, times = np.zeros(len(asked)), np.zeros(len(asked))
        for judge in folds:
            own = np.flatnonzero(judge.answers_for(part, asked["filename"]))
            said[own] += judge.scorer.score_batch([answers[place] for place in own])
            times[own] += 1
        blend += sum(judge.weight for judge in folds) * said / times
    return blend / sum(judge.weight for judge in judges)
