"""verifybase: Whisper base, whose decoder reads the expected text and judges each of its tokens."""

from models.recipe import Recipe
from models.training.script import main

recipe = Recipe(
    name="verifybase",
    encoder="openai/whisper-base",
    pooling="tokens",
    dropout=0.0,
    augment="response",
    epochs=4,
    schedule_epochs=4,
    warmup=0.1,
    learning_rate=3e-5,
    head_learning_rate=1.5e-3,
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
