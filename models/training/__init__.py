"""One fold, from its options to its checkpoint."""
