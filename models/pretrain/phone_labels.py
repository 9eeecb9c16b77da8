"""A compact inventory of phone classes, and the labels that espeak-ng's phone events give for each encoder frame.

espeak-ng names about 80 phones over its English accents. Stress and length marks, reduced variants and rare allophones
are merged here into 45 classes plus silence; silence also serves as the blank of connectionist temporal classification
(CTC, Graves et al. 2006), so that frame labels and CTC targets train one and the same classifier.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.network.phones import FRAME_SECONDS, PAUSE
from models.speech.arpabet import espeak_class
from models.speech.espeak import Phone


def phone_sequence(phones: Sequence[Phone]) -> tuple[int, ...]:
    """Classes of the spoken phones in order, without pauses: a CTC target, and the test of what sounds the same."""
    classes = (espeak_class(phone.name) for phone in phones)
    return tuple(index for index in classes if index is not None and index != PAUSE)


def frame_labels(
    phones: Sequence[Phone], samples_per_second: float, n_frames: int, start_seconds: float = 0.0
) -> NDArray[np.int64]:
    """Phone class at the centre of each encoder frame.

    Parameters
    ----------
    samples_per_second
        Rate of the phones' sample positions, after any change of speed.
    start_seconds
        Silence put before the speech.

    Returns
    -------
    int64 [shape=(n_frames,)]
        -1 where the phone lies outside the inventory.
    """
    starts_seconds = start_seconds + np.array([phone.start_sample for phone in phones]) / samples_per_second
    classes = [espeak_class(phone.name) for phone in phones]
    table = np.array([PAUSE] + [-1 if index is None else index for index in classes], np.int64)
    return table[np.searchsorted(starts_seconds, np.arange(n_frames) * FRAME_SECONDS, side="right")]
