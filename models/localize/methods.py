"""The ways in which a model can be asked where an answer departs from its text, and which model can be asked which way."""

from models.errors import InputError
from models.recipe import Layout, Recipe

# What a recipe's layout must be, and what to do where it is another.
_SUITABLE: dict[str, tuple[tuple[Layout, ...], str]] = {
    "alignment": (("apart",), "take --method blocks, or train aligntiny, alignsmall or alignmedium"),
    "blocks": (("apart", "joined", "matched"), "take --method tokens, or a model that hears references"),
    "tokens": (("text",), "take --method blocks, or train a verifier, such as verifytiny"),
}
METHODS = ("auto", *_SUITABLE)


def choose_method(recipe: Recipe, method: str, name: str) -> str:
    """The method for a model, which messages call `name`.

    Raises
    ------
    InputError
        Where the method is unknown, or not for this model.
    """
    check_method(method)
    if method == "auto":
        return {"text": "tokens", "apart": "alignment"}.get(recipe.layout, "blocks")
    if not is_suitable(recipe, method):
        raise InputError(f"{name}: can't be asked by --method {method}; {remedy(method)}")
    return method


def is_suitable(recipe: Recipe, method: str) -> bool:
    return method == "auto" or recipe.layout in _SUITABLE[method][0]


def remedy(method: str) -> str:
    """What to do where a model is not suitable."""
    return _SUITABLE[method][1]


def preference(recipe: Recipe) -> int:
    """How good an answer "auto" gets from a model: the less, the better.

    A verifier that has learnt from whole answers alone knows that something is wrong, but not where.
    """
    if recipe.layout == "text":
        return 0 if recipe.token_loss else 3
    return 1 if recipe.layout == "apart" else 2


def check_method(method: str) -> None:
    if method not in METHODS:
        raise InputError(f"method {method!r}: must be one of {', '.join(METHODS)}")
