"""Every error belongs to a family, and the family says what the caller may do next.

OrderkeepError
  Refused       understood, and will never work as sent
  Conflict      someone was faster; load and decide again
  Unavailable   surely not done; the same request may work later
  Uncertain     it may have been done; find out first, never repeat blindly
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any


class OrderkeepError(Exception):
    """Base of everything we raise on purpose; ``facts`` become members of the problem body."""

    def __init__(self, message: str = "", **facts: Any) -> None:
        super().__init__(message)
        self.facts = facts


class Refused(OrderkeepError):
    """Understood, and will never work as sent."""


class Conflict(OrderkeepError):
    """Someone was faster; load and decide again."""


class Unavailable(OrderkeepError):
    """Surely not done; the same request later may work."""

    def __init__(
        self, message: str = "", *, retry_after: timedelta | None = None, **facts: Any
    ) -> None:
        super().__init__(message, **facts)
        self.retry_after = retry_after


class Uncertain(OrderkeepError):
    """It may have been done; find out before doing it again."""


class StaleOrder(Conflict):
    """The order has moved on since it was loaded."""


class StoreBusy(Unavailable):
    """The store did not take the work: its queue is full, or it is closing."""


class CommitOutcomeUnknown(Uncertain):
    """The disk failed during the commit; the same key tells whether it was kept."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a submission.

    ``pointer`` is a JSON pointer (RFC 6901) into the body, ``code`` a stable word for programs,
    ``message`` a sentence for people. Neither repeats what was sent.
    """

    pointer: str
    code: str
    message: str


class Invalid(Refused):
    """A submission with faults: all of them, not only the first."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(f"{fault.pointer}: {fault.message}" for fault in faults))
        self.faults = tuple(faults)
