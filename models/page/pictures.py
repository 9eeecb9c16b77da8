"""The picture of an answer: its words over what was heard."""

from dataclasses import replace

from models.localize.picture import as_png, draw
from models.page.phrases import Phrases
from models.service.service import Result


def picture_of(result: Result, say: Phrases) -> tuple[bytes | None, str]:
    """A PNG, or None; and why there is none, if something went wrong."""
    if result.localization is None:
        return None, ""
    try:
        drawn = draw(
            replace(result.localization, probability=result.probability),
            lambda name, **values: say(f"picture: {name}", **values),
        )
        return as_png(drawn), ""
    except Exception as error:  # whatever the library raises costs the picture alone
        return None, say("picture_failed", reason=type(error).__name__)
