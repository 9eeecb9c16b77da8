"""The one error that a user can mend. Scripts print its message without a traceback and exit with 1."""


class InputError(Exception):
    """Something given to the program is wrong; the message names the file, the value and the way out.

    Parameters
    ----------
    name
        Of what visitors of the page often do wrong: the page says it in their language. Empty for everything else.
    values
        What it says of it, as it is to be shown.
    """

    def __init__(self, message: str = "", name: str = "", **values: object) -> None:
        super().__init__(message)
        self.name, self.values = name, values

    def reworded(self, message: str) -> "InputError":
        """The same mistake in other words."""
        return InputError(message, self.name, **self.values)
