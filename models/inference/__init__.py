"""Scores for new clips, and models that are published: `Scorer` is the door for everybody."""
