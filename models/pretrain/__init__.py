"""Pre-training of the small phonetic encoder that the project ships. Nothing else imports this package."""
