"""Orders that the watch failed at: they rest, longer each time, so that the others have their turn.

Kept in memory only: after a restart each is tried once more, and told of once more.
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta

from orderkeep.kernel.ids import OrderNo

FIRST_REST = timedelta(seconds=30)
LONGEST_REST = timedelta(hours=1)


@dataclass(slots=True)
class _Rest:
    why: str
    since: datetime
    length: timedelta = FIRST_REST

    def lasts(self, now: datetime) -> bool:
        # A clock that was set back must not make it a rest of years.
        return self.since <= now < self.since + self.length

    def is_forgotten(self, now: datetime) -> bool:
        return not -LONGEST_REST < now - self.since < self.length + LONGEST_REST


class Resting:
    """Who rests, why, and for how long."""

    def __init__(self) -> None:
        self._rests: dict[OrderNo, _Rest] = {}

    def __len__(self) -> int:
        return len(self._rests)

    def failed(self, no: OrderNo, why: str, now: datetime) -> bool:
        """Let an order rest; True if that is news: a first failure, or for another reason."""
        known = self._rests.get(no)
        if known is None or known.why != why:
            self._rests[no] = _Rest(why, now)
            return True
        known.since, known.length = now, min(known.length * 2, LONGEST_REST)
        return False

    def succeeded(self, no: OrderNo) -> bool:
        """The order needs no rest; True if that is news."""
        return self._rests.pop(no, None) is not None

    def at(self, now: datetime) -> AbstractSet[OrderNo]:
        """Who rests now. Who was not tried again long after a rest is not due any more."""
        for no in [no for no, rest in self._rests.items() if rest.is_forgotten(now)]:
            del self._rests[no]
        return {no for no, rest in self._rests.items() if rest.lasts(now)}
