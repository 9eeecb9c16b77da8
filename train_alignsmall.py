"""alignsmall: Whisper small, reference and response encoded apart and aligned."""

from models.recipe import Recipe
from models.training.script import main

recipe = Recipe(
    name="alignsmall",
    encoder="openai/whisper-small",
    pooling="alignment",
    dropout_on="pooled",
    augment="response",  # references stay as they are, so each is encoded once
    seed=2024,
    data_seed=2024,
)

if __name__ == "__main__":
    main(recipe)
