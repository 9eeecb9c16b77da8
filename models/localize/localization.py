"""Where does an answer depart from the expected text? One clip, its units scored, timed and named."""

from functools import cache

from models.clips.hearing import hears, told_unheard
from models.clips.tables import utterances
from models.ensemble.checkpoint import Checkpoint
from models.errors import InputError
from models.inference.scoring import Member
from models.localize.by_frames import localize_by_frames
from models.localize.by_tokens import localize_by_tokens
from models.localize.by_windows import localize_by_blocks
from models.localize.methods import METHODS, choose_method
from models.localize.model import LoadedModel, Speak, check_response, load_model
from models.localize.result import Localization, Unit, to_json
from models.localize.windows import needed_texts, pieces_table
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
    """Score each word of the expected text, or of a single word each phone or syllable, and what was said between.

    Parameters
    ----------
    model
        For many clips, `load_model(checkpoint, device)` once, and give the result here.
    response : float32 [shape=(n,)]
        At 16 kHz.
    speak
        The voice that the model was trained with, on an utterance; asked for `needed_utterances`, of which a verifier needs none.
    method
        "tokens" asks a verifier; "alignment" compares frames, by an aligned model; "blocks" asks a model that hears references
        about pieces; "auto" takes what suits the model.
    pronunciation
        Where it has been given, as in a table of pronunciations; of several, "alignment" takes the one that fits best.

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
    seconds = (len(response) / SAMPLE_RATE_HZ, reference_seconds(text, task, method, speak, pronunciation))
    if not hears(loaded.recipe, *seconds):
        raise InputError(told_unheard([loaded.recipe], seconds[1]))
    if method == "tokens":
        return localize_by_tokens(loaded, text, task, grade, response)
    if method == "alignment":
        accepted = accepted_utterances(task, text, all_choices(pronunciation))
        return localize_by_frames(loaded, text, task, grade, accepted, speak(accepted[0]), response)
    return localize_by_blocks(loaded, text, task, grade, speak, response, pronunciation)


def needed_utterances(text: str, task: str, method: str, pronunciation: str = "") -> list[str]:
    """What `localize` asks the voice for; method : as from `choose_method`."""
    text = " ".join(text.split())
    if method == "tokens":
        return []
    if method == "blocks":
        return utterances(pieces_table(needed_texts(text), task, "1", pronunciation))
    return [utterance_of(task, text, first_choice(pronunciation))]


def reference_seconds(text: str, task: str, method: str, speak: Speak, pronunciation: str = "") -> float:
    """How long the whole text's reference lasts; 0 where none is heard."""
    said = needed_utterances(text, task, method, pronunciation)
    return len(speak(said[0])) / SAMPLE_RATE_HZ if said else 0.0
