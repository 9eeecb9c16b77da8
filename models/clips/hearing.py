"""How much of an answer a model hears: its input is so many seconds long, and a joint model's holds the reference first."""

from collections.abc import Sequence

from models.recipe import Recipe

SHORTEST_HEARD_SECONDS = 0.5  # of a longer answer: what is left of less is as good as nothing


def response_room(recipe: Recipe, reference_seconds: float) -> float:
    """Seconds of a response that are heard beside a reference."""
    is_joint = recipe.layout in ("joined", "matched")
    return max(recipe.max_seconds - (reference_seconds if is_joint else 0.0), 0.0)


def hears(recipe: Recipe, response_seconds: float, reference_seconds: float) -> bool:
    """Whether anything of an answer is heard."""
    return response_room(recipe, reference_seconds) >= min(response_seconds, SHORTEST_HEARD_SECONDS)


def told_unheard(recipes: Sequence[Recipe], reference_seconds: float) -> str:
    """In words, of an answer that none of the models hears."""
    most = max(recipe.max_seconds for recipe in recipes)
    return (
        f"nothing of the answer is heard: the reference of the expected text lasts {reference_seconds:.1f} s, and reference and "
        f"answer together are heard for {most:g} s; split the text, or train with more --max_seconds"
    )


def told_cut(recipes: Sequence[Recipe], response_seconds: float, reference_seconds: float) -> str:
    """In words, what of an answer or its reference some of the models don't hear; empty where all of them hear all of it."""
    listening = [recipe for recipe in recipes if hears(recipe, response_seconds, reference_seconds)]
    told = []
    room = min((response_room(recipe, reference_seconds) for recipe in listening), default=response_seconds)
    if room < response_seconds:
        told.append(f"only the first {room:.3g} s of the recording's {response_seconds:.1f} s are heard")
        if any(response_room(recipe, reference_seconds) < recipe.max_seconds for recipe in listening):
            told.append(f"the reference takes {reference_seconds:.1f} s")
    read = min((recipe.max_seconds for recipe in listening if recipe.layout == "apart"), default=reference_seconds)
    if read < reference_seconds:
        told.append(f"of the reference's {reference_seconds:.1f} s only the first {read:g} s are compared")
    if deaf := len(recipes) - len(listening):
        told.append(f"{deaf} of {len(recipes)} models hear nothing of the answer, and have no say")
    return "; ".join(told)
