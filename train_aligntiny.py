"""aligntiny: the phonetic encoder that this project ships, reference and response encoded apart and aligned."""

from models.recipe import Recipe
from models.training.script import main

recipe = Recipe(
    name="aligntiny",
    encoder="assets/encoders/phonetic-tiny",
    pooling="alignment",
    dropout=0.1,  # a small network over-fits less
    dropout_on="pooled",
    augment="response",  # references stay as they are, so each is encoded once
    epochs=6,
    schedule_epochs=6,
    learning_rate=3e-4,
    seed=2025,
    data_seed=2025,
)

if __name__ == "__main__":
    main(recipe)
