"""Folds and clips on a cluster, with Ray."""
