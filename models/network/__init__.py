"""The networks: Whisper's encoder, and what compares a response with its reference."""
