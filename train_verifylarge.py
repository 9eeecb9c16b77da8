"""verifylarge: Whisper large v3, whose decoder reads the expected text and judges each of its tokens."""

from models.recipe import Recipe
from models.training.script import main

recipe = Recipe(
    name="verifylarge",
    encoder="openai/whisper-large-v3",
    pooling="tokens",
    dropout=0.0,
    augment="response",
    epochs=2,
    schedule_epochs=2,
    warmup=0.1,
    learning_rate=2e-5,
    head_learning_rate=6e-4,
    weight_decay=0.01,
    token_loss=0.5,
    drawn_texts=3,
    drawn_loss=0.5,
    transcription_loss=0.2,
    seed=2026,
    data_seed=2026,
)

if __name__ == "__main__":
    main(recipe)
