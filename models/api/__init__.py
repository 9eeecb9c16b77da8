"""What stands behind serve.py: an HTTP API on which programs have answers scored."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"app": ["build_api"], "keys": ["Keys"], "settings": ["ApiSettings"]}
)
