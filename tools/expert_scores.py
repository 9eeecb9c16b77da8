"""How well five experts found each word of speechocean762 pronounced: the corpus's own resource/scores.json as a table."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from models.errors import InputError

COLUMNS = ["filename", "speaker", "part", "index", "word", "accuracy", "utterance_accuracy", "said_instead"]


def read_word_scores(file: Path, readings: Iterable[tuple[str, str, str, str]]) -> pd.DataFrame:
    """A row for each word that was read.

    Parameters
    ----------
    readings
        Of each clip its name in the corpus, speaker, part and lower-case text.

    Returns
    -------
    pd.DataFrame
        accuracy is 0 to 10, 10 the best; said_instead holds `canonical>said`, several by `;`, where the experts wrote it down.

    Raises
    ------
    InputError
        Where a clip has no scores, or those of other words.
    """
    try:
        scores = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{file}: not JSON ({error}); download the corpus again") from error
    rows = []
    for clip, speaker, part, text in readings:
        found = scores.get(clip, {})
        words = found.get("words", [])
        if [word["text"].lower() for word in words] != text.split():
            raise InputError(f"{file}: has no scores for the words of clip {clip}, {text!r}; download the corpus again")
        for index, word in enumerate(words):
            own = f"{clip}.flac", speaker, part, index, word["text"].lower(), round(word["accuracy"])
            rows.append((*own, round(found["accuracy"]), _said_instead(word)))
    return pd.DataFrame(rows, columns=COLUMNS)


def _said_instead(word: dict[str, Any]) -> str:
    heard = [(miss["canonical-phone"], miss["pronounced-phone"]) for miss in word.get("mispronunciations", ())]
    return ";".join(f"{_without_stress(own)}>{_without_stress(said)}" for own, said in heard)


def _without_stress(phones: str) -> str:
    return " ".join(phone.rstrip("012") for phone in phones.split())
