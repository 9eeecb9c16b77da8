"""The one error that a user can mend. Scripts print its message without a traceback and exit with 1."""


class InputError(Exception):
    """Something given to the program is wrong; the message names the file, the value and the way out."""
