"""alignmedium: Whisper medium, reference and response encoded apart and aligned."""

from models.recipe import Recipe
from models.training.script import main

recipe = Recipe(
    name="alignmedium",
    encoder="openai/whisper-medium",
    pooling="alignment",
    dropout_on="pooled",
    augment="response",  # references stay as they are, so each is encoded once
    seed=2024,
    data_seed=2024,
)

if __name__ == "__main__":
    main(recipe)
