"""From rows of CSV files to batches for a network: tables, folds, features, augmentation."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "tables": [
            "clip_paths",
            "read_all_metadata",
            "read_metadata",
            "read_test_table",
            "read_texts",
            "utterances",
        ]
    },
)
