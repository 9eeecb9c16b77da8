"""submission.zip for a code-execution competition."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "archive": ["check_checkpoints", "choose_folds", "submission_files", "write_zip"],
        "voices": ["can_speak", "espeak_files", "voice_files"],
    },
)
