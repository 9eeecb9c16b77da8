"""Which word went wrong: localisation, by the ensemble's most suitable models, which are loaded once."""

import numpy as np

from models.inference.answers import Answer
from models.inference.scorer import Scorer
from models.localize.attempts import localize_from
from models.localize.choice import choose_member
from models.localize.localization import localize, needed_utterances
from models.localize.methods import choose_method, is_single_word, is_suitable
from models.localize.model import LoadedModel, load_model
from models.localize.result import Localization


class Explainer:
    """Of `scorer`'s ensemble, what tells best of sentences and what of single words; nothing where no model can."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        members = scorer.published.members
        self._of_words: LoadedModel | None = None
        self._of_sentences: LoadedModel | None = None
        if any(is_suitable(member.checkpoint.recipe, "auto") for member in members):
            first, second = (choose_member(members, "auto", "the ensemble", text) for text in ("word", "some words"))
            self._of_words = load_model(first, scorer.device)
            self._of_sentences = self._of_words if second is first else load_model(second, scorer.device)

    def needed_utterances(self, answer: Answer) -> list[str]:
        """What is heard beside the answer, so that it can be spoken beforehand."""
        model = self._model(answer)
        if model is None:
            return []
        return needed_utterances(answer.text, answer.task, _method(model), answer.pronunciation)

    def explain(self, answer: Answer, start_seconds: float | None = None) -> Localization | None:
        """Of an answer with its waveform, or of what was said from a second of it on. Raises InputError where it can't be
        looked into."""
        model = self._model(answer)
        if model is None:
            return None
        spoken = self._scorer.references(self.needed_utterances(answer))
        response = np.asarray(answer.audio, dtype=np.float32)
        given, asked = (answer.text, answer.task, answer.grade, response), (spoken.__getitem__, _method(model))
        if start_seconds is None:
            return localize(model, *given, *asked, answer.pronunciation)
        return localize_from(model, *given, start_seconds, *asked, answer.pronunciation)

    def _model(self, answer: Answer) -> LoadedModel | None:
        return self._of_words if is_single_word(answer.text) else self._of_sentences


def _method(model: LoadedModel) -> str:
    return choose_method(model.recipe, "auto", model.name)
