"""Speech-text comparison: scores spoken answers against the text that was expected.

base      files, command lines, processes, devices      ensemble   checkpoints, weights, configuration
speech    audio, voices, references                     training   one fold, to its checkpoint
clips     tables, folds, features, batches              inference  scores for new clips, published models
network   Whisper's encoder, comparison                 report, localize, service, page, api, cluster, packing, pretrain

from models import Scorer
Scorer.from_pretrained("published").score("answer.wav", "old", "deletion", "KG")
"""

import lazy_loader

from models.base import environment

environment.mend()  # before anything imports the libraries that read it

_attribute, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"inference.answers": ["Answer"], "inference.scorer": ["Scorer"], "recipe": ["Recipe"]}
)


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("speech-text-comparison")
    return _attribute(name)
