"""Scores for new clips, and models that are published: `Scorer` is the door for everybody."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "combining": ["describe_blend"],
        "answers": ["Answer"],
        "here": ["Here"],
        "origins": ["choose_source", "given_pronunciations", "locate", "read_ensemble"],
        "published": ["CONFIG_FILE", "Published", "read_published"],
        "scorer": ["Scorer"],
        "scoring": ["Member", "load_members", "score_clips"],
        "self_corrections": ["score_counted"],
        "submission": [
            "add_problems",
            "check_output",
            "find_corrected",
            "find_poor",
            "find_unreadable",
            "find_unspoken",
            "problems_path",
            "tell_both",
            "with_priors",
            "write_problems",
            "write_submission",
        ],
        "texts": ["find_unheard_rows", "heard_utterances", "refused_texts"],
    },
)
