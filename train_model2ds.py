"""model2ds: Distil-Whisper small, mean pooling; only the response is augmented."""

from models.recipe import Recipe
from models.training.script import main

recipe = Recipe(
    name="model2ds",
    encoder="distil-whisper/distil-small.en",
    pooling="mean",
    dropout=0.2,
    epochs=5,
    schedule_epochs=5,
    schedule_cycles=0.25,
    learning_rate=2e-5,
    weight_decay=1e-6,
    augment="response",
    seed=666,
    data_seed=666,
)

if __name__ == "__main__":
    main(recipe)
