"""What the pages say, in the languages that they know: one table for all of them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_FILE = Path(__file__).with_name("phrases.json")
FALLBACK = "en"
NAMES = {"en": "English", "de": "Deutsch", "fr": "Français", "es": "Español"}  # of each language, in itself


@dataclass(frozen=True)
class Phrases:
    """What the pages say in one language, and how it writes numbers.

    Attributes
    ----------
    texts
        By the phrases' names; `{name}` in one stands for a value.
    """

    language: str
    texts: Mapping[str, str]

    def __call__(self, name: str, **values: object) -> str:
        return self.texts[name].format(**values)

    def number(self, value: float, digits: int = 1) -> str:
        told = f"{value:.{digits}f}"
        return told if self.language == "en" else told.replace(".", ",")

    def count(self, value: int) -> str:
        """In groups of three digits."""
        return f"{value:,}".replace(",", {"en": ",", "de": "."}.get(self.language, "\u202f"))

    def percent(self, share: float, digits: int = 0) -> str:
        return f"{self.number(100 * share, digits)} %"


@cache
def all_phrases() -> Mapping[str, Phrases]:
    """By language."""
    texts = json.loads(_FILE.read_text(encoding="utf-8"))
    return {language: Phrases(language, texts[language]) for language in NAMES}


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
    return next((code for code in codes if code in NAMES), FALLBACK)
