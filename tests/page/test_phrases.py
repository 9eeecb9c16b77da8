"""The table of phrases: that it is whole in each language, and that all of it is used.

Run: .venv/bin/python -m pytest tests/page/test_phrases.py
"""

import ast
import re
from pathlib import Path

import pytest

from models.clips.groups import TASKS
from models.localize import picture
from models.page import phrases as phrases_module
from models.page.phrases import NAMES, Phrases, all_phrases, choose_language
from models.service.thresholds import Thresholds, judge
from models.speech.signal import PROBLEMS

PAGE = Path(phrases_module.__file__).parent
LANGUAGES = [code for code in NAMES if code != "en"]
VERDICTS = {judge(probability, Thresholds()) for probability in (0.0, 0.5, 1.0)}
FAMILIES = {  # named by a value
    "signal": set(PROBLEMS),
    "verdict": VERDICTS,
    "scale": VERDICTS,
    "picture": set(picture._ENGLISH),
}
BY_VALUE = {*TASKS, "missing", "inserted", "different", "open", "skipped"}


def values_in(phrase: str) -> set[str]:
    return set(re.findall(r"\{\w+\}", phrase))


def named_errors() -> set[str]:
    """The second argument of each InputError in the program."""
    found = set()
    for file in PAGE.parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "InputError":
                found |= {each.value for each in node.args[1:2] if isinstance(each, ast.Constant)}
    return {str(name) for name in found}


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_language_has_every_phrase_with_the_same_values(language: str) -> None:
    english, other = all_phrases()["en"].texts, all_phrases()[language].texts
    assert list(other) == list(english)
    assert [name for name in english if values_in(other[name]) != values_in(english[name])] == []
    assert [name for name, phrase in other.items() if not phrase.strip()] == []
    same = {name for name in english if other[name] == english[name]}
    assert len(same) < 12, same  # words that are alike: Text, Verdict, Note


def test_no_phrase_holds_markup() -> None:
    """They become part of HTML."""
    texts = [text for phrases in all_phrases().values() for text in phrases.texts.values()]
    assert [text for text in texts if re.search(r"[<>&$`]|\{\{", text)] == []


def test_every_phrase_is_used_and_every_one_that_is_used_is_there() -> None:
    files = [*PAGE.glob("*.py"), *PAGE.glob("*.js"), *PAGE.glob("*.jinja")]
    code = "".join(file.read_text(encoding="utf-8") for file in files)
    known = all_phrases()["en"].texts
    plain = {name for name in known if ": " not in name}
    assert {name for name in plain if f'"{name}"' not in code and f"'{name}'" not in code} - BY_VALUE == set()
    assert set(re.findall(r"""say\(["'](\w+)["']""", code)) <= known.keys()
    for family, members in FAMILIES.items():
        assert {name for name in known if name.startswith(f"{family}: ")} == {f"{family}: {name}" for name in members}
    assert {name for name in known if name.startswith("error: ")} == {
        f"error: {name}" for name in named_errors() | {"busy", "file gone"}
    }


def test_what_is_told_elsewhere_in_english_is_told_alike() -> None:
    english = all_phrases()["en"]
    assert {name: english(f"signal: {name}") for name in PROBLEMS} == PROBLEMS
    assert {name: english.texts[f"picture: {name}"] for name in picture._ENGLISH} == picture._ENGLISH


def test_numbers_are_written_as_a_language_writes_them() -> None:
    english, german = all_phrases()["en"], all_phrases()["de"]
    assert [say.number(0.25, 2) for say in (english, german)] == ["0.25", "0,25"]
    assert [say.percent(0.123, 1) for say in (english, german)] == ["12.3 %", "12,3 %"]
    assert [say.count(1200) for say in (english, german)] == ["1,200", "1.200"]


def test_a_value_may_look_like_a_place_for_one() -> None:
    assert Phrases("en", {"told": "{kind}: {heard}"})("told", kind="x", heard="{kind}") == "x: {kind}"


@pytest.mark.parametrize(
    ("wanted", "accepted", "language"),
    [
        (None, "", "en"),
        (None, "fr-CH, fr;q=0.9, en;q=0.8", "fr"),
        (None, "nl,es;q=0.5", "es"),
        ("de", "fr", "de"),
        ("xx", "pl", "en"),
        (None, ";;,,-", "en"),
    ],
)
def test_the_language_is_the_visitors(wanted: str | None, accepted: str, language: str) -> None:
    assert choose_language(wanted, accepted) == language
