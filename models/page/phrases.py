"""What the pages say, in the languages that they know."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

_FILE = Path(__file__).with_name("class_phrases.json")
FALLBACK = "en"

Phrases = Mapping[str, str]


@cache
def all_phrases() -> Mapping[str, Phrases]:
    """Of each language, by the phrases' names."""
    return json.loads(_FILE.read_text(encoding="utf-8"))


def choose_language(wanted: str | None, accepted: str) -> str:
    """A language that there are phrases in.

    Parameters
    ----------
    wanted
        What a visitor has chosen.
    accepted
        What the browser asks for, as of the header Accept-Language; the first one that is known is taken.
    """
    tags = [wanted or "", *(tag.partition(";")[0] for tag in accepted.split(","))]
    codes = (tag.strip().lower().partition("-")[0] for tag in tags)
    return next((code for code in codes if code in all_phrases()), FALLBACK)
