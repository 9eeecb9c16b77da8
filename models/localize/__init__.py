"""Which part of the expected text was not said as expected."""
