"""model3scp: Whisper small, attention and mean pooling side by side, two linear layers."""

from models.recipe import Recipe
from models.training.script import main

recipe = Recipe(
    name="model3scp",
    encoder="openai/whisper-small",
    pooling="attention+mean",
    head="hidden-d",
    seed=897,
    data_seed=897,
)

if __name__ == "__main__":
    main(recipe)
