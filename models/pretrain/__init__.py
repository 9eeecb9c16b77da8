"""Makes the encoder that this project ships, from synthetic and recorded speech."""
