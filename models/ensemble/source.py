"""Where an ensemble comes from: a configuration of get_config.py, trained folds with equal weights, or what was published."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.base.files import sha256_of_file
from models.ensemble.blend import gather_references, group_priors
from models.ensemble.checkpoint import Checkpoint, load_checkpoint
from models.ensemble.config import EnsembleConfig, ModelEntry, read_config
from models.errors import InputError
from models.speech.identity import same_voice


@dataclass(frozen=True)
class EnsembleSource:
    """One of the three.

    Attributes
    ----------
    checkpoints
        Trained folds; where there are any, the configuration is not read.
    model
        The folder of a published model; where there is one, nothing else is read, and not by this.
    """

    config: Path
    checkpoints: tuple[Path, ...] = ()
    model: Path | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """What has to be the same wherever the ensemble is read."""
        if self.model is not None:
            return (self.model / "config.json",)  # which holds the others' checksums
        return self.checkpoints or (self.config,)

    @property
    def folder(self) -> Path:
        """What the paths in the configuration start from."""
        return Path() if self.checkpoints else self.config.parent

    def absolute(self) -> "EnsembleSource":
        checkpoints = tuple(path.absolute() for path in self.checkpoints)
        return EnsembleSource(self.config.absolute(), checkpoints, self.model and self.model.absolute())

    def read(self) -> EnsembleConfig:
        """Raises InputError where it can't be read, or the checkpoints don't belong together."""
        return equal_blend(self.checkpoints) if self.checkpoints else read_config(self.config)


def equal_blend(files: Sequence[Path]) -> EnsembleConfig:
    """The configuration in which each of some checkpoints has the same say, whichever folds they are.

    Raises
    ------
    InputError
        Where one is there twice, or they were not trained alike.
    """
    checkpoints: dict[Path, Checkpoint] = {}
    of_fold: dict[str, Path] = {}
    for path in files:
        item = load_checkpoint(path)
        if item.file_name in of_fold:
            other = of_fold[item.file_name]
            raise InputError(f"{path} and {other}: both are fold {item.fold} of {item.recipe.name}; give one of them")
        checkpoints[path], of_fold[item.file_name] = item, path
    check_alike(checkpoints)
    first = next(iter(checkpoints.values()))
    models = Counter(item.recipe.name for item in checkpoints.values())
    entries = [make_entry(name, n / len(checkpoints), checkpoints, str) for name, n in models.items()]
    priors, references = group_priors(list(checkpoints.values())), gather_references(checkpoints)
    return EnsembleConfig(first.n_folds, first.voice, first.data_fingerprint, priors, entries, references, fitted=False)


def check_alike(checkpoints: Mapping[Path, Checkpoint]) -> None:
    """That they were trained on the same folds of the same data, with the same references.

    Raises
    ------
    InputError
        Naming two that were not.
    """
    first_path, first = next(iter(checkpoints.items()))
    for path, item in checkpoints.items():
        pairs = [(each.n_folds, each.data_fingerprint, each.corrections) for each in (item, first)]
        if pairs[0] != pairs[1] or not same_voice(item.voice, first.voice):
            raise InputError(
                f"{path} and {first_path}: trained on other data, with other corrections, n_folds or another voice; "
                "see check_models.py"
            )
    gather_references(checkpoints)


def make_entry(
    name: str, weight: float, checkpoints: Mapping[Path, Checkpoint], written: Callable[[Path], str]
) -> ModelEntry:
    """A model of the ensemble, of all its checkpoints among these.

    Parameters
    ----------
    written
        How the configuration names a path.
    """
    own = sorted((item.fold, path) for path, item in checkpoints.items() if item.recipe.name == name)
    recipe = checkpoints[own[0][1]].recipe
    return ModelEntry(
        name=name,
        weight=weight,
        paths=[written(path) for _, path in own],
        folds=[fold for fold, _ in own],
        sha256=[sha256_of_file(path) for _, path in own],
        max_seconds=recipe.max_seconds,
        batch_size=recipe.batch_size,
    )
