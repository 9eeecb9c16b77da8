"""The classes of the phone classifier. The shipped encoder's are those of espeak-ng's phones (`speech/arpabet.py`); a pretrained
encoder names its own in a `phones.json` beside its weights, and a checkpoint remembers them.
"""

import json
from pathlib import Path

from models.errors import InputError
from models.speech.arpabet import ESPEAK_CLASSES

FRAME_SECONDS = 0.02  # one encoder frame: 2 spectrogram frames of 10 ms
PAUSE = 0  # index of the class of pauses, and the CTC blank
PHONES_FILE = "phones.json"
PHONE_CLASSES: tuple[str, ...] = tuple(ESPEAK_CLASSES)


def usual_phones(n_classes: int) -> tuple[str, ...]:
    """The classes of a classifier that does not name them: those of the shipped encoder, where it has as many."""
    return PHONE_CLASSES if n_classes == len(PHONE_CLASSES) else ()


def read_phones(encoder: Path, n_classes: int) -> tuple[str, ...]:
    """The classes that a pretrained encoder's folder names.

    Raises
    ------
    InputError
        Where they are not as many as its classifier has.
    """
    file = encoder / PHONES_FILE
    if not file.is_file():
        return usual_phones(n_classes)
    try:
        names = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{file}: not JSON ({error}); copy the encoder again") from error
    if not isinstance(names, list) or len(names) != n_classes or not all(isinstance(name, str) for name in names):
        raise InputError(
            f"{file}: does not name the {n_classes} classes of the phone classifier beside it; copy both again"
        )
    return tuple(names)
