"""Balances as they are kept: a run a minute, a trend, and differences with their age."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol

import msgspec

from orderkeep.ledger.balance import Carried, Class, Difference, Proof, Sums

STALE: Final = timedelta(minutes=3)
"""A balance older than this is no statement about now, and an alert of its own."""
OLD: Final = timedelta(minutes=5)
"""A difference older than this needs a person."""
MINUTES_KEPT: Final = timedelta(days=2)
HOURS_KEPT: Final = timedelta(days=90)
DIFFERENCES_KEPT: Final = timedelta(days=30)
"""How long a difference that is gone is remembered."""
TREND_POINTS: Final = 240


class Run(msgspec.Struct, frozen=True, omit_defaults=True):
    """One balance as it was kept; ``carried`` where a broker's counts are known."""

    at: datetime
    took_ms: int
    sums: Sums
    drafts: int
    received_not_yet: int
    differences: int
    partners: Mapping[str, Sums] = {}
    carried: Carried | None = None
    not_understood: int = 0
    """Of ``received_not_yet``: what waits for a person in the tray."""

    @property
    def unaccounted(self) -> int:
        """Accepted orders that are in no class."""
        return self.sums.accepted - sum(int(getattr(self.sums, name)) for name in Class)


class Point(msgspec.Struct, frozen=True):
    """A run in the trend."""

    at: datetime
    accepted: int
    in_flight: int
    waiting: int
    uncertain: int
    quarantined: int
    differences: int


class Noted(msgspec.Struct, frozen=True):
    """What a run changed: the subjects of differences that are new, and of those that are gone."""

    fresh: Sequence[Difference]
    gone: Sequence[Difference]


class BalanceStore(Protocol):
    """Kept balances."""

    def last(self) -> Run | None:
        """The newest run."""
        ...

    def keep(self, run: Run) -> None:
        """Keep a run; of earlier ones the sums by partner are let go."""
        ...

    def note(self, differences: Sequence[Difference], now: datetime) -> Noted:
        """Make these the open differences; one that was open keeps its age and its proof."""
        ...

    def open(self, limit: int) -> Sequence[Difference]:
        """The open differences, the oldest first."""
        ...

    def unproven(self, limit: int) -> Sequence[Difference]:
        """Open differences of orders whose last proof is not known yet."""
        ...

    def prove(self, difference: Difference, proof: Proof) -> None:
        """Keep the last proof of an open difference."""
        ...

    def found(self) -> Sequence[Difference]:
        """What reconciliation has found open, as differences."""
        ...

    def trend(self, since: datetime, points: int) -> Sequence[Point]:
        """At most so many runs since an instant, oldest first, evenly chosen."""
        ...

    def forget(self, now: datetime) -> int:
        """Delete what has been kept for long enough; how many runs."""
        ...
