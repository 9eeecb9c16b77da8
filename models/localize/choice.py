"""One checkpoint to look into: the one named, or the ensemble's most suitable."""

from collections.abc import Sequence
from pathlib import Path

from models.ensemble.checkpoint import Checkpoint, load_checkpoint
from models.ensemble.config import read_config
from models.errors import InputError
from models.inference.scoring import Member, load_members
from models.localize.model import NO_REFERENCE


def choose_checkpoint(checkpoint: Path | None, config_path: Path, method: str) -> Checkpoint:
    """The checkpoint to look into.

    Parameters
    ----------
    checkpoint
        A file; None: of the ensemble the model of most weight, its first fold, that has what `method` needs; aligned
        models are preferred for "auto".
    """
    if checkpoint is not None:
        return load_checkpoint(checkpoint)
    members = load_members(read_config(config_path), config_path.parent, folds_per_model=1)
    return choose_member(members, method, str(config_path)).checkpoint


def choose_member(members: Sequence[Member], method: str, source: str) -> Member:
    """Of an ensemble the one of most weight that has what `method` needs. Messages call the ensemble `source`."""
    heard = [member for member in members if member.checkpoint.recipe.layout != "text"]
    if not heard:
        raise InputError(f"{source}: {NO_REFERENCE}")
    by_share = sorted(heard, key=lambda member: -member.share)
    aligned = [member for member in by_share if member.checkpoint.recipe.layout == "apart"]
    if method == "alignment" and not aligned:
        names = ", ".join(sorted({member.checkpoint.recipe.name for member in members}))
        raise InputError(
            f"{source}: none of its models ({names}) is an aligned one; take --method blocks, or train aligntiny, "
            "alignsmall or alignmedium"
        )
    return (aligned if aligned and method != "blocks" else by_share)[0]
