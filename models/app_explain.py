"""Where the page gets its coloured words and its picture from."""

from models.serving import Explain


def find_explain() -> Explain | None:
    """Localisation, where it is there."""
    return None
