"""Where the page gets its coloured words and its picture from: localisation, by the ensemble's most suitable model."""

from dataclasses import replace

import numpy as np

from models.inference.answers import Answer
from models.inference.scorer import Scorer
from models.localize.choice import choose_member
from models.localize.localization import localize, needed_utterances
from models.localize.methods import choose_method, is_single_word, is_suitable
from models.localize.model import load_model
from models.localize.picture import as_png, draw
from models.page.service import Explain, Explanation


def make_explain(scorer: Scorer) -> Explain | None:
    """Loads once, of `scorer`'s ensemble, what tells best of sentences and what of single words; None where nothing can."""
    if not any(is_suitable(member.checkpoint.recipe, "auto") for member in scorer.published.members):
        return None
    members = scorer.published.members
    first, second = (choose_member(members, "auto", "the ensemble", text) for text in ("word", "some words"))
    of_words = load_model(first, scorer.device)
    of_sentences = of_words if second is first else load_model(second, scorer.device)

    def explain(scorer: Scorer, answer: Answer, probability: float) -> Explanation:
        model = of_words if is_single_word(answer.text) else of_sentences
        method = choose_method(model.recipe, "auto", model.name)
        spoken = scorer.references(needed_utterances(answer.text, answer.task, method, answer.pronunciation))
        response = np.asarray(answer.audio, dtype=np.float32)
        asked = (answer.text, answer.task, answer.grade, response, spoken.__getitem__, method, answer.pronunciation)
        found = localize(model, *asked)
        try:
            return Explanation(found.units, as_png(draw(replace(found, probability=probability))))
        except Exception as error:  # whatever the library raises costs the picture alone
            return Explanation(found.units, None, f"The picture could not be drawn ({type(error).__name__}).")

    return explain
