"""The ways in which a model can be asked where an answer departs from its text, and which model can be asked which way."""

from models.errors import InputError
from models.recipe import Layout, Recipe

# What a recipe's layout must be, and what to do where it is another.
_SUITABLE: dict[str, tuple[tuple[Layout, ...], str]] = {
    "alignment": (("apart",), "take --method blocks, or train aligntiny, alignsmall or alignmedium"),
    "blocks": (("apart", "joined", "matched"), "take --method tokens, or a model that hears references"),
    "tokens": (("text",), "take --method blocks, or train a verifier with drawn texts, such as verifytiny"),
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
    if not is_suitable(recipe, method):
        raise InputError(f"{name}: can't be asked by --method {method}; {remedy(method)}")
    if method == "auto":
        return {"text": "tokens", "apart": "alignment"}.get(recipe.layout, "blocks")
    return method


def is_suitable(recipe: Recipe, method: str) -> bool:
    """Not a verifier that has learnt from given texts alone: it knows that something is wrong, but not where."""
    knows_where = recipe.layout != "text" or recipe.drawn_texts > 0
    return knows_where and (method == "auto" or recipe.layout in _SUITABLE[method][0])


def remedy(method: str) -> str:
    """What to do where a model is not suitable."""
    return _SUITABLE["tokens" if method == "auto" else method][1]


def preference(recipe: Recipe, text: str) -> int:
    """How good an answer "auto" gets from a model: the less, the better.

    A verifier finds the changed word of a sentence as often as an aligned model or more often (docs/experiments.md), and its
    words are of one mind with its verdict. Of a single word an aligned model tells the phones, a joint one syllables, a verifier
    nothing.
    """
    order = ("apart", "joined", "text") if is_single_word(text) else ("text", "apart", "joined")
    return order.index("joined" if recipe.layout == "matched" else recipe.layout)


def is_single_word(text: str) -> bool:
    return len(text.split()) == 1


def check_method(method: str) -> None:
    if method not in METHODS:
        raise InputError(f"method {method!r}: must be one of {', '.join(METHODS)}")
