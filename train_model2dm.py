"""model2dm: Distil-Whisper medium, mean pooling, two linear layers; only the response is augmented."""

from models.recipe import Recipe
from models.training.script import main

recipe = Recipe(
    name="model2dm",
    encoder="distil-whisper/distil-medium.en",
    pooling="mean",
    head="hidden-128",
    head_init_std=0.02,
    schedule_epochs=5,
    schedule_cycles=0.25,
    augment="response",
    seed=4221,
    data_seed=4221,
)

if __name__ == "__main__":
    main(recipe)
