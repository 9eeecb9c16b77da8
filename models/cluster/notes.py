"""What the processes of inference on Ray tell the one that started it. It needs little to import: its process does no more."""

from collections import Counter
from collections.abc import Mapping


class Notes:
    """An actor that keeps what does not travel with the clips.

    That is why clips can't be read: chunks are cut as if the others were all there are. How often each chunk was begun. And
    what was wrong with the input where something failed, which Ray wraps in reports of its own.
    """

    def __init__(self) -> None:
        self._reasons: dict[int, str] = {}
        self._begun: Counter[int] = Counter()
        self._errors: list[str] = []

    def add_reasons(self, by_row: Mapping[int, str]) -> None:
        """To be told the same twice, by a task that is tried again, does no harm."""
        self._reasons |= by_row

    def reasons(self) -> dict[int, str]:
        return self._reasons

    def begin_chunk(self, first_row: int) -> int:
        """How often the chunk has been begun, this time included."""
        self._begun[first_row] += 1
        return self._begun[first_row]

    def add_error(self, message: str) -> None:
        self._errors.append(message)

    def errors(self) -> list[str]:
        return self._errors
