"""Audio in and out, text-to-speech voices, and the references that they have spoken."""
