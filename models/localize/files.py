"""Files of results: where they lie, under names that no other clip has and that are not too long, and how they are written."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from models.base.files import fitting_name, replace_when_done
from models.localize.result import Localization, to_json

PROBLEMS_FILE = "problems.json"

_LIKE_PROBLEMS = re.compile(r"problems~*", re.IGNORECASE)
_LIKE_RESULTS = re.compile(r".*(?:\.json|\.png|~)", re.IGNORECASE)  # of another clip, where a folder is called so


def result_path(output_dir: Path, clip: str, ending: str) -> Path:
    """Of a clip's name, which may lead into a folder: `<clip><ending>`.

    With a `~` before the ending where that would be the list of problems, and behind a folder that is called like a result.
    """
    *folders, name = Path(clip).parts
    folders = [f"{folder}~" if _LIKE_RESULTS.fullmatch(folder) else folder for folder in folders]
    name = f"{name}~" if not folders and _LIKE_PROBLEMS.fullmatch(name) else name
    return Path(output_dir, *(fitting_name(folder, "") for folder in folders), fitting_name(name, ending))


def write_problems(output_dir: Path, problems: Mapping[str, str]) -> Path:
    """Write what is to be told of clips, by name, and return where; of an earlier run's file nothing stays."""
    path = output_dir / PROBLEMS_FILE
    if not problems:
        path.unlink(missing_ok=True)
        return path
    with replace_when_done(path) as temporary:
        temporary.write_text(json.dumps(problems, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def write_result(output_dir: Path, clip: str, found: Localization, picture: bool) -> str:
    """Write a clip's files; returns why the picture, which comes last, could not be drawn, or nothing."""
    with replace_when_done(result_path(output_dir, clip, ".json")) as temporary:
        temporary.write_text(json.dumps(to_json(found), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if not picture:
        return ""
    from models.localize.picture import as_png, draw  # needs matplotlib, which is not required

    try:
        drawn = as_png(draw(found))
    except Exception as error:  # whatever the library raises costs this picture alone
        return f"its picture could not be drawn ({type(error).__name__}: {error}); its JSON is there"
    with replace_when_done(result_path(output_dir, clip, ".png")) as temporary:
        temporary.write_bytes(drawn)
    return ""
