"""The published model that comes with the project, for who has trained none."""

from pathlib import Path

from models.base.files import PROJECT_DIR
from models.errors import InputError
from models.inference.published import CONFIG_FILE

SHIPPED_MODEL = "assets/models/verifytiny-children"


def shipped_model() -> Path:
    """Its folder.

    Raises
    ------
    InputError
        Where it is not there.
    """
    folder = PROJECT_DIR / SHIPPED_MODEL
    if not (folder / CONFIG_FILE).is_file():
        raise InputError(
            f"{folder}: the model that comes with the project is not there; get it again (git checkout -- {SHIPPED_MODEL}), "
            "or give one of your own"
        )
    return folder
