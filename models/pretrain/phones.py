"""A compact inventory of phone classes, and the labels that espeak-ng's phone events give for each encoder frame.

espeak-ng names about 80 phones over its English accents. Stress and length marks, reduced variants and rare allophones
are merged here into 45 classes plus silence; silence also serves as the blank of connectionist temporal classification
(CTC, Graves et al. 2006), so that frame labels and CTC targets train one and the same classifier.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.espeak import Phone
from models.evidence import SILENCE

FRAME_SECONDS = 0.02  # one encoder frame: 2 spectrogram frames of 10 ms

# class: the espeak-ng mnemonics in it, stress marks (' , %) removed
_CLASSES: dict[str, str] = {
    "sil": "_ _: _! _| ?",
    "p": "p",
    "b": "b",
    "t": "t t2 t# t[ t:",
    "d": "d d[",
    "k": "k",
    "g": "g",
    "tS": "tS",
    "dZ": "dZ",
    "f": "f",
    "v": "v",
    "T": "T",
    "D": "D",
    "s": "s",
    "z": "z z#",
    "S": "S",
    "Z": "Z",
    "h": "h",
    "m": "m m-",
    "n": "n n-",
    "N": "N",
    "l": "l l^ @L",
    "r": "r r- r/ *",
    "w": "w w#",
    "j": "j ;",
    "i:": "i: i",
    "I": "I I2 I#",
    "E": "E E2",
    "a": "a aa & a2",
    "@": "@ @2 @5 @- a# I#2",
    "V": "V",
    "0": "0 0# O2 A:",
    "O:": "O:",
    "U": "U",
    "u:": "u: u",
    "3:": "3: 3 VR IR",
    "A@": "A@",
    "O@": "O@ o@",
    "e@": "e@",
    "i@": "i@ i@3",
    "U@": "U@",
    "eI": "eI",
    "aI": "aI aI2 aI@ aI3",
    "aU": "aU aU@",
    "OI": "OI",
    "oU": "oU",
}
PHONE_CLASSES: tuple[str, ...] = tuple(_CLASSES)

_CLASS_OF_NAME: dict[str, int] = {
    name: index for index, names in enumerate(_CLASSES.values()) for name in names.split()
}


def phone_class(name: str) -> int | None:
    """Index of the class of an espeak-ng phone; None for a name outside the inventory (its frames stay unlabelled)."""
    return _CLASS_OF_NAME.get(name.strip("',%="))


def phone_sequence(phones: Sequence[Phone]) -> tuple[int, ...]:
    """Classes of the spoken phones in order, without pauses: a CTC target, and the test of what sounds the same."""
    classes = (phone_class(phone.name) for phone in phones)
    return tuple(index for index in classes if index is not None and index != SILENCE)


def frame_labels(
    phones: Sequence[Phone], samples_per_second: float, n_frames: int, start_seconds: float = 0.0
) -> NDArray[np.int64]:
    """Phone class at the centre of each encoder frame.

    samples_per_second : rate of the phones' sample positions, after any change of speed
    start_seconds : silence put before the speech
    returns : int64 [shape=(n_frames,)], -1 where the phone lies outside the inventory
    """
    starts_seconds = start_seconds + np.array([phone.start_sample for phone in phones]) / samples_per_second
    classes = [phone_class(phone.name) for phone in phones]
    table = np.array([SILENCE] + [-1 if index is None else index for index in classes], np.int64)
    return table[np.searchsorted(starts_seconds, np.arange(n_frames) * FRAME_SECONDS, side="right")]
