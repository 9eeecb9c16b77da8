"""A recording drawn as its waveform, as part of the page."""

import numpy as np

from models.speech.audio import Waveform

_COLUMNS = 240
_HEIGHT = 40  # units of the drawing, which is stretched to the page


def waveform_svg(waveform: Waveform) -> str:
    """The loudest sample of each column, up and down, beside the loudest of all. For eyes alone: players are named in words."""
    edges = np.linspace(0, len(waveform), min(_COLUMNS, len(waveform)) + 1).astype(int)
    peaks = np.maximum.reduceat(np.abs(waveform), edges[:-1])
    heights = (peaks / max(float(peaks.max()), 1e-9) * (_HEIGHT / 2 - 1)).clip(min=0.3)
    middle = _HEIGHT / 2
    lines = "".join(f"M{x} {middle - height:.1f}V{middle + height:.1f}" for x, height in enumerate(heights.tolist()))
    return (
        f'<svg class="stc-waveform" aria-hidden="true" viewBox="-0.5 0 {len(heights)} {_HEIGHT}" preserveAspectRatio="none">'
        f'<path d="{lines}"/></svg>'
    )
