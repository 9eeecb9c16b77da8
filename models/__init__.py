"""The shared package of the comparison system; the scripts beside it parse arguments and call it."""
