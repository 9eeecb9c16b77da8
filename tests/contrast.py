"""Contrast of every text on a page with what lies behind it, by WCAG 2.2 (success criterion 1.4.3, level AA)."""

from pathlib import Path
from typing import Any

_MEASURE = Path(__file__).with_name("contrast.js").read_text(encoding="utf-8")


def faint_texts(page: Any, least_texts: int) -> list[str]:
    """Those whose contrast is less than 4.5, or 3 for large ones, each in words.

    Parameters
    ----------
    least_texts
        As many have to be seen at least, or nothing was measured.
    """
    found = page.evaluate(_MEASURE)
    assert found["texts"] >= least_texts
    return [f"{each['text']!r} ({each['at']}): {each['ratio']:.2f}, of {each['needed']}" for each in found["faint"]]
