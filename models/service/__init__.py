"""Answers as people and programs send them, scored by one code path: what the page and the API have in common."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "service": ["Result", "Service"],
        "thresholds": ["Thresholds"],
        "uploads": ["Uploads"],
    },
)
