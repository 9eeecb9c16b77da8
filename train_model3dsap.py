"""model3dsap: Distil-Whisper small, attention pooling."""

from models.recipe import Recipe
from models.training.script import main

recipe = Recipe(
    name="model3dsap",
    encoder="distil-whisper/distil-small.en",
    pooling="attention",
    seed=1124,
    data_seed=1124,
)

if __name__ == "__main__":
    main(recipe)
