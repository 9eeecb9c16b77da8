"""Where the results of clips lie: names that no other clip has, and that are not too long."""

import re
from pathlib import Path

from models.base.files import fitting_name

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
