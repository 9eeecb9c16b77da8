"""What the one who started the page decides."""

from dataclasses import dataclass
from pathlib import Path

from models.service.thresholds import Thresholds


@dataclass(frozen=True)
class PageSettings:
    """What the one who started the page decides.

    Attributes
    ----------
    folder_root
        Below it visitors may name folders to score; None: they may not.
    corrections_dir
        Where corrections of a table's answers are saved.
    """

    thresholds: Thresholds
    folder_root: Path | None = None
    corrections_dir: Path = Path("corrections")
