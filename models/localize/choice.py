"""The checkpoint to look into: the one named, or the ensemble's most suitable."""

from collections.abc import Sequence

from models.ensemble.checkpoint import Checkpoint
from models.ensemble.source import EnsembleSource
from models.errors import InputError
from models.inference.origins import read_ensemble
from models.inference.scoring import Member
from models.localize.methods import check_method, is_suitable, preference, remedy


def choose_checkpoints(source: EnsembleSource, method: str, texts: Sequence[str]) -> list[tuple[Checkpoint, list[int]]]:
    """Each checkpoint to look into, with the places of the texts that it is to be asked about.

    Of an ensemble each model's first fold is read, and `choose_member` takes one of them.
    """
    members = read_ensemble(source, folds_per_model=1).members
    told = ", ".join(map(str, source.files))
    found: dict[str, tuple[Checkpoint, list[int]]] = {}
    for place, text in enumerate(texts):
        chosen = choose_member(members, method, told, text).checkpoint
        found.setdefault(chosen.file_name, (chosen, []))[1].append(place)
    return list(found.values())


def choose_member(members: Sequence[Member], method: str, source: str, text: str) -> Member:
    """Of an ensemble the one of most weight that can be asked by `method`; "auto" takes the kind that tells best of such a text.

    Messages call the ensemble `source`.
    """
    check_method(method)
    by_share = sorted(members, key=lambda member: -member.share)
    suitable = [member for member in by_share if is_suitable(member.checkpoint.recipe, method)]
    if not suitable:
        names = ", ".join(sorted({member.checkpoint.recipe.name for member in members}))
        raise InputError(f"{source}: none of its models ({names}) can be asked by --method {method}; {remedy(method)}")
    if method != "auto":
        return suitable[0]
    return min(suitable, key=lambda member: preference(member.checkpoint.recipe, text))
