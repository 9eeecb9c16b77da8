"""model3mb: Whisper medium, mean pooling, small batches."""

from models.recipe import Recipe
from models.training.script import main

recipe = Recipe(
    name="model3mb",
    encoder="openai/whisper-medium",
    pooling="mean",
    batch_size=8,
    seed=321,
    data_seed=321,
)

if __name__ == "__main__":
    main(recipe)
