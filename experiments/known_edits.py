"""Where an expected text departs from a known spoken one: the truth that localization is fitted and measured with."""

from collections.abc import Sequence
from dataclasses import dataclass

KINDS = ("substitute", "insert", "delete", "swap")  # what was done to the spoken text to get the expected one
# … and to a word's phones: one that is missing in the answer has been inserted into what is expected.
PHONE_KINDS = {"substituted phone": "substitute", "missing phone": "insert", "added phone": "delete"}


@dataclass(frozen=True)
class Change:
    """Which places count as found.

    units : of the expected text; gaps : before each of its units and after the last. Where a word stands twice in a row, either
        place is right.
    kind : of the response: an inserted word of the expected text is missing there
    """

    kind: str
    units: frozenset[int] = frozenset()
    gaps: frozenset[int] = frozenset()

    def label(self, unit: int) -> str:
        return self.kind if unit in self.units else "right"


def find_change(expected: Sequence[str], spoken: Sequence[str], edit: str) -> Change | None:
    """The one edit of a kind of KINDS between two sequences; None where it is not one."""
    e, s, n = list(expected), list(spoken), len(expected)
    if edit == "insert":
        found = Change("missing", frozenset(i for i in range(n) if e[:i] + e[i + 1 :] == s))
    elif edit == "delete":
        gaps = (gap for gap in range(n + 1) if e[:gap] + s[gap : gap + 1] + e[gap:] == s)
        found = Change("inserted", gaps=frozenset(gaps))
    elif edit == "substitute":
        units = (i for i in range(n) if len(s) == n and e[:i] == s[:i] and e[i + 1 :] == s[i + 1 :])
        found = Change("different", frozenset(units) if e != s else frozenset())
    else:
        pairs = [i for i in range(n - 1) if [*e[:i], e[i + 1], e[i], *e[i + 2 :]] == s]
        found = Change("different", frozenset(place for i in pairs for place in (i, i + 1)))
    return found if found.units or found.gaps else None
