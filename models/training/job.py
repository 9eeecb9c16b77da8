"""A training job: one fold of one recipe on one set of data. Everything that can be checked before training is checked here."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from models import ensemble
from models.base.files import sha256_of_values
from models.clips.corrections import NO_CORRECTIONS, AppliedCorrections, correct_labels
from models.clips.folds import split_fold
from models.clips.left_out import left_out_checksum, read_left_out
from models.clips.tables import fingerprint, read_groups, read_training_table, read_word_labels, utterances
from models.errors import InputError
from models.recipe import Recipe
from models.speech.checksums import differing_texts, name_texts
from models.speech.pronunciation_table import given_beside
from models.speech.references import VOICE_FILE, References
from models.training.all_data import ALL_DATA, held_out_by, read_folds, with_best_epochs
from models.training.options import TrainingOptions, override_recipe

CHECKED_CLIPS = 200  # of training, where none is held out


@dataclass(frozen=True)
class TrainingJob:
    """What is trained, and where and how.

    Attributes
    ----------
    recipe
        With the settings of the options in place.
    train, validation
        The fold's rows: METADATA_COLUMNS and score.
    grouping
        A checksum of each training clip's group; empty where folds are not cut by group.
    of_folds
        Of a run on all clips, which holds nothing out: what its folds gave for theirs. Else None.
    corrections
        What people's corrections have changed; the rows hold them already, `data_fingerprint` is of the data without them.
    left_out
        The clips that no fold is trained on; they are held out as others are.
    """

    recipe: Recipe
    fold: int
    train: pd.DataFrame
    validation: pd.DataFrame
    data_fingerprint: str
    grouping: str
    options: TrainingOptions
    of_folds: "ensemble.OutOfFold | None" = None
    corrections: AppliedCorrections = NO_CORRECTIONS
    left_out: frozenset[str] = frozenset()

    @property
    def word_labels(self) -> str:
        """A checksum of what is known of single words, in all folds alike; empty where nothing is."""
        if "word_labels" not in self.train:
            return ""
        rows = pd.concat([self.train, self.validation])
        rows = rows[~rows["filename"].isin(self.left_out)]
        return _checksum(rows["filename"].tolist(), [str(labels) for labels in rows["word_labels"]])

    @property
    def name(self) -> str:
        return f"{self.recipe.name}_{self.fold}"

    @property
    def utterances(self) -> list[str]:
        """The distinct ones of the fold, held-out clips and all: each has a reference. None where the text itself is read."""
        if self.recipe.layout == "text":
            return []
        return sorted({*utterances(self.train), *utterances(self.validation)})

    @property
    def checked(self) -> pd.DataFrame:
        """The rows that show whether anything was learnt: those held out, or where none is, some of training."""
        return self.validation if len(self.validation) else self.train.iloc[:CHECKED_CLIPS]

    @property
    def held_out(self) -> set[str]:
        """The clips of which the checkpoint holds predictions."""
        return set(self.validation["filename"] if self.of_folds is None else self.of_folds.filenames)

    @property
    def checkpoint_path(self) -> Path:
        return self.options.output_dir / f"{self.name}.pth"

    @property
    def run_dir(self) -> Path:
        """Where the run keeps its state and its TensorBoard logs while it is not finished."""
        return self.options.output_dir / "runs" / self.name


def make_job(recipe: Recipe, fold: int, options: TrainingOptions) -> TrainingJob:
    """Read and check the tables, and cut the fold."""
    recipe = override_recipe(recipe, options.recipe)
    _check_output_dir(options.output_dir)
    table = read_training_table(options.data_dir, given_beside(options.tts_dir))
    table, data_fingerprint = _with_word_labels(recipe, options, table), fingerprint(table)
    corrections = NO_CORRECTIONS
    if options.corrections is not None:
        table, corrections = correct_labels(table, options.corrections, options.data_dir)
    left_out = frozenset[str]() if options.leave_out is None else read_left_out(options.leave_out, table)
    of_folds = None
    if options.n_folds == 1:
        if options.output_dir.name != ALL_DATA:
            raise InputError("--n_folds 1: must be at least 2 (train.py --all_data holds nothing out)")
        same = (data_fingerprint, corrections.checksum, left_out_checksum(left_out))
        folds = read_folds(recipe, options.output_dir, *same)
        recipe, of_folds = with_best_epochs(recipe, folds), held_out_by(folds)
    groups = _groups(options, table)
    train, validation = split_fold(table, fold, options.n_folds, recipe.data_seed, groups)
    train = train[~train["filename"].isin(left_out)].reset_index(drop=True)
    if len(train) < recipe.batch_size:
        raise InputError(f"--batch_size {recipe.batch_size}: more than the {len(train)} training clips of fold {fold}")
    grouping = "" if groups is None else _checksum(table["filename"].tolist(), groups)
    known = (data_fingerprint, grouping, options, of_folds, corrections, left_out)
    return TrainingJob(recipe, fold, train, validation, *known)


def is_finished(job: TrainingJob) -> bool:
    """Whether the job's checkpoint is there.

    Raises
    ------
    InputError
        Where a file of that name is there but comes from another recipe, fold or set of data, or from other references than
        there are now.
    """
    if not job.checkpoint_path.exists():
        return False
    found = ensemble.load_checkpoint(job.checkpoint_path)
    pairs = {
        "recipe": (job.recipe, found.recipe),
        "fold": (job.fold, found.fold),
        "n_folds": (job.options.n_folds, found.n_folds),
        "training data": (job.data_fingerprint, found.data_fingerprint),
        "set of word labels": (job.word_labels, found.word_labels),
        "set of corrections": (job.corrections.checksum, found.corrections),
        "list of clips left out": (left_out_checksum(job.left_out), found.left_out),
        "choice of held-out clips": (job.held_out, set(found.oof.filenames)),
    }
    differences = [name for name, (ours, theirs) in pairs.items() if ours != theirs]
    tts_dir = job.options.tts_dir
    if (tts_dir / VOICE_FILE).is_file():
        other = differing_texts(References(tts_dir).checksums(found.references), found.references)
        other += sorted(set(job.utterances) - found.references.keys()) if found.references else []
        differences += [f"reference of {name_texts(other)}"] if other else []
    if differences:
        raise InputError(
            f"{job.checkpoint_path}: already there, but with another {' and '.join(differences)}; "
            "give --overwrite to train it again, or another --output_dir"
        )
    return True


def _check_output_dir(output_dir: Path) -> None:
    for path in (output_dir, *output_dir.parents):
        if path.exists() and not path.is_dir():
            raise InputError(f"--output_dir {output_dir}: {path} is a file; give a folder, new or old")


def _checksum(filenames: list[str], values: list[str]) -> str:
    """The same wherever the file lies and in whatever order its rows are."""
    return sha256_of_values(zip(filenames, values, strict=True))


def _with_word_labels(recipe: Recipe, options: TrainingOptions, table: pd.DataFrame) -> pd.DataFrame:
    if options.word_labels is not None and recipe.token_loss == 0:
        raise InputError("--word_labels FILE needs a --token_loss above 0")
    if options.word_labels is None and recipe.token_loss > 0 and not recipe.drawn_texts:
        raise InputError("a --token_loss above 0 needs --word_labels FILE or --drawn_texts N: else no word has a label")
    if options.word_labels is None:
        return table
    return table.assign(word_labels=read_word_labels(options.word_labels, table))


def _groups(options: TrainingOptions, table: pd.DataFrame) -> list[str] | None:
    """The group of each row for GroupKFold, from the metadata or from the file given by --groups."""
    if options.group_by is None:
        if options.groups is not None:
            raise InputError("--groups FILE needs --group_by COLUMN, the file's column to group by")
        return None
    file = options.groups or options.data_dir / "train_metadata.csv"
    return read_groups(file, options.group_by, table["filename"].tolist())
