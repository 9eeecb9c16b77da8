"""Where does an answer depart from the expected text? One clip, its units scored, timed and named."""

from models.ensemble.checkpoint import Checkpoint
from models.errors import InputError
from models.inference.scoring import Member
from models.localize.by_frames import localize_by_frames
from models.localize.by_windows import localize_by_blocks
from models.localize.model import LoadedModel, Speak, check_response, load_model
from models.localize.result import Localization, Unit, to_json
from models.localize.windows import needed_texts
from models.speech.audio import Waveform

__all__ = ["METHODS", "Localization", "Unit", "choose_method", "localize", "texts_to_speak", "to_json"]

METHODS = ("auto", "blocks", "alignment")


def localize(
    model: Checkpoint | Member | LoadedModel,
    text: str,
    task: str,
    grade: str,
    response: Waveform,
    speak: Speak,
    method: str = "auto",
) -> Localization:
    """Score each word of the expected text, or of a single word each phone or syllable, and what was said between.

    Parameters
    ----------
    model
        For many clips, `load_model(checkpoint, device)` once, and give the result here.
    response : float32 [shape=(n,)]
        At 16 kHz.
    speak
        The voice that the model was trained with, on a text; asked for `texts_to_speak`.
    method
        "alignment" compares frames and needs an aligned model; "blocks" asks any model about pieces; "auto" takes the
        first where it can.

    Raises
    ------
    InputError
        Naming what does not fit.
    """
    if not text.split():
        raise InputError("the expected text is empty; give the words that should have been said")
    loaded = load_model(model)
    response = check_response(response)
    text = " ".join(text.split())
    if choose_method(loaded, method) == "alignment":
        return localize_by_frames(loaded, text, task, grade, speak(text), response)
    return localize_by_blocks(loaded, text, task, grade, speak, response)


def choose_method(model: LoadedModel, method: str) -> str:
    """The method for a model.

    Raises
    ------
    InputError
        Where the method is unknown, or not for this model.
    """
    if method not in METHODS:
        raise InputError(f"method {method!r}: must be one of {', '.join(METHODS)}")
    if method == "alignment" and model.aligned is None:
        raise InputError(
            f"{model.name}: reads reference and response as one input, so there is no alignment to look at; "
            "take --method blocks, or an aligned model"
        )
    if method != "auto":
        return method
    return "blocks" if model.aligned is None else "alignment"


def texts_to_speak(text: str, method: str) -> list[str]:
    """What `localize` asks the voice for; method : as from `choose_method`."""
    text = " ".join(text.split())
    return needed_texts(text) if method == "blocks" else [text]
