"""What an ensemble's members hear and read of the expected texts."""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from models.clips.tables import utterances
from models.errors import InputError
from models.inference.hearing import Unheard, find_unheard
from models.inference.scoring import Member
from models.speech.reading import read_words
from models.speech.samples import Waveform


def heard_utterances(members: Sequence[Member], table: pd.DataFrame) -> list[str]:
    """What the members have to hear from the voice, row by row; nothing where all are verifiers, which read the text."""
    return utterances(table) if any(member.features["tokenizer"] is None for member in members) else []


def find_unheard_rows(
    members: Sequence[Member], table: pd.DataFrame, seconds: Sequence[float], references: Mapping[str, Waveform]
) -> Unheard:
    """As `find_unheard`, of a table's rows and of how long their clips are."""
    said = heard_utterances(members, table)
    return find_unheard([member.checkpoint.recipe for member in members], seconds, said, references)


def refused_texts(members: Sequence[Member], texts: Iterable[str]) -> dict[str, str]:
    """The texts that a member's tokenizer does not take, with the reason.

    Raises
    ------
    InputError
        Where scores rest on phones and espeak-ng, which reads the texts, is not installed: before any recording is read.
    """
    if any(member.checkpoint.weighs_phones for member in members):
        read_words("word")
    tokenizers = {member.features["tokenizer"] for member in members} - {None}
    found: dict[str, str] = {}
    for text in set(texts):
        for tokenizer in tokenizers:
            try:
                tokenizer.encode(text)
            except InputError as error:
                found[text] = str(error)
    return found
