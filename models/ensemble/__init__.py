"""What training leaves, and the blend of it: checkpoints, weights, configuration. What is heavy is imported at its first use."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "blend": [
            "Blend",
            "cross_fitted_loss",
            "fit_weights",
            "gather_blend",
            "gather_references",
            "group_priors",
            "read_assets",
        ],
        "checkpoint": ["Checkpoint", "load_checkpoint", "save_checkpoint"],
        "config": ["EnsembleConfig", "ModelEntry", "read_config", "relative_path", "write_config"],
        "metrics": ["log_loss"],
    },
)
