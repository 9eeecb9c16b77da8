"""Folds and clips on a cluster, with Ray."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={"clip_task": ["node_options"], "clips": ["clip_cluster"], "folds": ["train_on_ray"]},
)
