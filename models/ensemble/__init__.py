"""What training leaves, and the blend of it: checkpoints, weights, configuration. What is heavy is imported at its first use."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "blend": [
            "Blend",
            "fit_weights",
            "gather_blend",
            "gather_references",
            "group_priors",
            "read_assets",
        ],
        "bootstrap": ["Estimate"],
        "choice": ["Choice", "choose"],
        "checkpoint": ["Checkpoint", "OutOfFold", "load_checkpoint", "load_without_weights", "save_checkpoint"],
        "config": ["EnsembleConfig", "ModelEntry", "read_config", "relative_path", "write_config"],
        "correction": ["Correction", "describe"],
        "source": ["EnsembleSource", "check_alike", "make_entry"],
        "metrics": ["base_rate_loss", "ece", "ece_if_perfect", "log_loss"],
    },
)
