"""What stands behind app.py: the page on which answers are scored."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"server": ["build_app"], "settings": ["PageSettings"]}
)
