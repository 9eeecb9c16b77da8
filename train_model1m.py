"""model1m: As model2m, on other folds: most of the ensemble's models see other splits, so their errors differ."""

from models.recipe import Recipe
from models.training.script import main

recipe = Recipe(
    name="model1m",
    encoder="openai/whisper-medium",
    pooling="mean",
    schedule_epochs=5,
    schedule_cycles=0.25,
    augment="response",
    seed=42,
    data_seed=42,
)

if __name__ == "__main__":
    main(recipe)
