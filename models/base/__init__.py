"""What any program needs, and nothing of speech: files, command lines, processes, devices."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"compute": ["resolve_device", "resolve_precision"]}
)
