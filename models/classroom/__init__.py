"""A class's answers, worked through by a person: what is worth a listen, what they said, summaries, files for other programs."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "answer_lists": ["AnswerList", "AnswerLists"],
        "answers": ["HeardAnswer", "score_answers"],
        "summary": ["Summary", "summarise"],
    },
)
