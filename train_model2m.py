"""model2m: Whisper medium, mean pooling; only the response is augmented."""

from models.recipe import Recipe
from models.training.script import main

recipe = Recipe(
    name="model2m",
    encoder="openai/whisper-medium",
    pooling="mean",
    schedule_epochs=5,
    schedule_cycles=0.25,
    augment="response",
    seed=42,
    data_seed=55,
)

if __name__ == "__main__":
    main(recipe)
