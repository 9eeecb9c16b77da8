"""`check_models.py --report`: one page that needs nothing else.

bootstrap → held_out → scores, blending, review, clips → content → plots → page: numbers are apart from drawing.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from models.errors import InputError

if TYPE_CHECKING:
    from models.ensemble.checkpoint import Checkpoint
    from models.report.content import ReportOptions


def write_report(path: Path, assets: "Mapping[Path, Checkpoint | InputError]", options: "ReportOptions") -> None:
    """Write the page of check_models.py --report.

    Raises
    ------
    InputError
        Where a library for pages is missing, or where groups that were asked for can't be read.
    """
    if path.is_dir():
        raise InputError(
            f"--report {path}: is a folder; give the name of the file to write, such as {path / 'report.html'}"
        )
    try:
        from models.report.page import write_page
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in ("jinja2", "markupsafe", "matplotlib"):
            raise
        raise InputError(f"--report {path}: needs {error.name}; install it: pip install matplotlib jinja2") from error
    from models.report.content import gather_report

    write_page(path, gather_report(assets, options))
