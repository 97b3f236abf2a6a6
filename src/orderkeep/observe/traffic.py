"""What went over the transport since the process started, counted by what happened and where."""

from collections import Counter
from collections.abc import Iterator
from enum import StrEnum


class Passed(StrEnum):
    """What may happen to an envelope on its way.

    On the way in every ``published`` one becomes exactly one of ``confirmed``, ``returned``,
    ``nacked`` and ``unconfirmed``; on the way out every ``delivered`` one is ``received``, or one
    of the ``duplicates``, or ``quarantined``, or could not be kept and comes again.
    """

    PUBLISHED = "published"
    CONFIRMED = "confirmed"
    RETURNED = "returned"
    NACKED = "nacked"
    UNCONFIRMED = "unconfirmed"
    DELIVERED = "delivered"
    REDELIVERED = "redelivered"
    RECEIVED = "received"
    DUPLICATES = "duplicates"
    QUARANTINED = "quarantined"


class Traffic:
    """Counts; ``place`` is the envelope's kind on the way in, its consumer on the way out."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[Passed, str]] = Counter()

    def count(self, passed: Passed, place: str, number: int = 1) -> None:
        """Add to a count."""
        if number:
            self._counts[passed, place] += number

    def total(self, passed: Passed) -> int:
        """The sum over all places."""
        return sum(number for (what, _), number in self._counts.items() if what is passed)

    def rows(self) -> Iterator[tuple[Passed, str, int]]:
        """Every count by what happened and place, in a stable order."""
        for (passed, place), number in sorted(self._counts.items()):
            yield passed, place, number
