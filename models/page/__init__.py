"""What stands behind app.py: the page on which answers are scored."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "explain": ["make_explain"],
        "server": ["build_app", "free_socket"],
        "service": ["PageSettings", "Service"],
        "thresholds": ["Thresholds"],
        "uploads": ["Uploads"],
    },
)
