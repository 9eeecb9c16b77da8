"""submission.zip for a code-execution competition."""
