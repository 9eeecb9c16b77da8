"""One fold, from its options to its checkpoint."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"fold": ["train_fold"], "job": ["TrainingJob", "is_finished", "make_job"]}
)
