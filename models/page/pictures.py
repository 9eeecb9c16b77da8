"""The picture of an answer: its words over what was heard."""

from dataclasses import replace

from models.localize.picture import as_png, draw
from models.service.service import Result


def picture_of(result: Result) -> tuple[bytes | None, str]:
    """A PNG, or None; and why there is none, if something went wrong."""
    if result.localization is None:
        return None, ""
    try:
        return as_png(draw(replace(result.localization, probability=result.probability))), ""
    except Exception as error:  # whatever the library raises costs the picture alone
        return None, f"The picture could not be drawn ({type(error).__name__})."
