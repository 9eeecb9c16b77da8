"""Which part of the expected text was not said as expected."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "asked": ["one_clip", "read_table"],
        "attempts": ["localize_counted"],
        "choice": ["choose_checkpoints", "choose_member"],
        "files": ["PROBLEMS_FILE", "write_problems", "write_result"],
        "localization": ["localize", "needed_utterances", "reference_seconds"],
        "methods": ["METHODS", "choose_method"],
        "model": ["load_model"],
        "result": ["in_words"],
    },
)
