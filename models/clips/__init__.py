"""From rows of CSV files to batches for a network: tables, folds, features, augmentation."""
