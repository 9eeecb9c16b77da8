"""model2s: Whisper small, mean pooling, two linear layers; only the response is augmented."""

from models.recipe import Recipe
from models.training.script import main

recipe = Recipe(
    name="model2s",
    encoder="openai/whisper-small",
    pooling="mean",
    head="hidden-128",
    head_init_std=0.02,
    dropout=0.2,
    epochs=5,
    schedule_epochs=5,
    schedule_cycles=0.25,
    learning_rate=2e-5,
    weight_decay=1e-6,
    augment="response",
    seed=333,
    data_seed=333,
)

if __name__ == "__main__":
    main(recipe)
