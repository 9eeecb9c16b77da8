"""Scores for new clips, and models that are published: `Scorer` is the door for everybody."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "published": ["Published", "read_published"],
        "scorer": ["Answer", "Scorer"],
        "scoring": ["Member", "heard_utterances", "load_members", "refused_texts", "score_clips"],
    },
)
