"""model3mcp: Whisper medium, attention and mean pooling side by side, two linear layers."""

from models.recipe import Recipe
from models.training.script import main

recipe = Recipe(
    name="model3mcp",
    encoder="openai/whisper-medium",
    pooling="attention+mean",
    head="hidden-d",
    seed=1,
    data_seed=1,
)

if __name__ == "__main__":
    main(recipe)
