"""model3mapd: Whisper medium, attention pooling with dropout on the pooled vector."""

from models.recipe import Recipe
from models.training.script import main

recipe = Recipe(
    name="model3mapd",
    encoder="openai/whisper-medium",
    pooling="attention",
    dropout_on="pooled",
    seed=88,
    data_seed=88,
)

if __name__ == "__main__":
    main(recipe)
