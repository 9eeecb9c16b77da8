"""The ways in which a model can be asked where an answer departs from its text, and which model can be asked which way.

A joint model can't: it says of a whole answer whether it was right. (It used to be asked about pieces of the text against windows
of the response; verifiers and aligned models find more, in a twentieth of the time: docs/experiments.md.)
"""

from models.errors import InputError
from models.recipe import Layout, Recipe

# What a recipe's layout must be, and what to do where it is another.
_SUITABLE: dict[str, tuple[tuple[Layout, ...], str]] = {
    "alignment": (("apart",), "train aligntiny, alignsmall or alignmedium"),
    "tokens": (("text",), "train a verifier with drawn texts, such as verifytiny"),
}
_SHIPPED = "ask the model that comes with the project, by --model"
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
    return {"text": "tokens", "apart": "alignment"}[recipe.layout]


def is_suitable(recipe: Recipe, method: str) -> bool:
    """Not a verifier that has learnt from given texts alone: it knows that something is wrong, but not where."""
    layouts = [layout for name, (several, _) in _SUITABLE.items() if method in ("auto", name) for layout in several]
    return recipe.layout in layouts and (recipe.layout != "text" or recipe.drawn_texts > 0)


def remedy(method: str) -> str:
    """What to do where a model is not suitable."""
    return f"{_SUITABLE['tokens' if method == 'auto' else method][1]}, or {_SHIPPED}"


def preference(recipe: Recipe, text: str) -> int:
    """How good an answer "auto" gets from a model that is suitable: the less, the better.

    A verifier finds the changed word of a sentence as often as an aligned model or more often (docs/experiments.md), and its
    words are of one mind with its verdict. Of a single word an aligned model tells the phones, a verifier only the whole.
    """
    order = ("apart", "text") if is_single_word(text) else ("text", "apart")
    return order.index(recipe.layout)


def is_single_word(text: str) -> bool:
    return len(text.split()) == 1


def check_method(method: str) -> None:
    if method not in METHODS:
        raise InputError(f"method {method!r}: must be one of {', '.join(METHODS)}")
