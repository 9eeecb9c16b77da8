"""Where does an answer depart from the expected text? One clip, its units scored, timed and named."""

from functools import cache

from models.ensemble.checkpoint import Checkpoint
from models.errors import InputError
from models.inference.scoring import Member
from models.localize.by_frames import localize_by_frames
from models.localize.by_tokens import localize_by_tokens
from models.localize.methods import METHODS, choose_method
from models.localize.model import LoadedModel, Speak, check_response, load_model
from models.localize.result import Localization, Unit, to_json
from models.speech.pronunciation import accepted_utterances, utterance_of
from models.speech.pronunciation_table import all_choices, first_choice
from models.speech.samples import SAMPLE_RATE_HZ, Waveform

__all__ = ["METHODS", "Localization", "Unit", "choose_method", "localize", "needed_utterances", "to_json"]


def localize(
    model: Checkpoint | Member | LoadedModel,
    text: str,
    task: str,
    grade: str,
    response: Waveform,
    speak: Speak,
    method: str = "auto",
    pronunciation: str = "",
) -> Localization:
    """Score each word of the expected text, or of a single word each phone, and what was said between.

    Parameters
    ----------
    model
        For many clips, `load_model(checkpoint, device)` once, and give the result here.
    response : float32 [shape=(n,)]
        At 16 kHz.
    speak
        The voice that the model was trained with, on an utterance; asked for `needed_utterances`, of which a verifier needs none.
    method
        "tokens" asks a verifier; "alignment" compares frames, by an aligned model; "auto" takes what suits the model. A joint
        model can't be asked.
    pronunciation
        Where it has been given, as in a table of pronunciations; of several the one that fits best counts.

    Raises
    ------
    InputError
        Naming what does not fit.
    """
    if not text.split():
        raise InputError("the expected text is empty; give the words that should have been said")
    loaded, response, speak = load_model(model), check_response(response), cache(speak)
    text = " ".join(text.split())
    method = choose_method(loaded.recipe, method, loaded.name)
    given = all_choices(pronunciation)
    if method == "tokens":
        return localize_by_tokens(loaded, text, task, grade, response, given)
    accepted = accepted_utterances(task, text, given)
    return localize_by_frames(loaded, text, task, grade, accepted, speak(accepted[0]), response)


def needed_utterances(text: str, task: str, method: str, pronunciation: str = "") -> list[str]:
    """What `localize` asks the voice for; method : as from `choose_method`."""
    text = " ".join(text.split())
    if method == "tokens":
        return []
    return [utterance_of(task, text, first_choice(pronunciation))]


def reference_seconds(text: str, task: str, method: str, speak: Speak, pronunciation: str = "") -> float:
    """How long the whole text's reference lasts; 0 where none is heard."""
    said = needed_utterances(text, task, method, pronunciation)
    return len(speak(said[0])) / SAMPLE_RATE_HZ if said else 0.0
