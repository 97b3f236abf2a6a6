"""What the bridge asks of a CRM: to know how each order is doing, and what its people have decided.

Telling is an upsert of the order's state under its number, with the order's version: the same news
under the same key may be told again without harm, so an unknown outcome is simply repeated. A
newer one never leaves before the older one of the same order is settled.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import msgspec

from orderkeep.bridge.tray import Unknown
from orderkeep.kernel.errors import Refused, Unavailable, Uncertain
from orderkeep.kernel.ids import OrderNo
from orderkeep.orders.messages import CrmSaid
from orderkeep.orders.news import News
from orderkeep.orders.order import Delivered

CRM = "crm"
"""Its name among the destinations, and the inbox of what it is told and says."""


class CrmRejected(Refused):
    """The CRM understood and said no; ``facts["status"]`` and ``facts["reason"]`` tell more."""


class CrmUnavailable(Unavailable):
    """Surely not done: no connection was made, or the CRM said it had no room."""


class CrmOutcomeUnknown(Uncertain):
    """Sent, and no trustworthy answer: timeout, reset, garbage, another order's number, a 5xx."""


@dataclass(frozen=True, slots=True)
class CrmOrder:
    """An order as the CRM shows it; ``stage`` in our words, or its own where it has no other."""

    order_no: str
    stage: str | None = None
    version: int | None = None
    crm_id: str | None = None


@dataclass(frozen=True, slots=True)
class CrmCapabilities:
    """What a CRM can be relied on for."""

    lookup: bool = True
    commands: bool = False
    """It keeps a feed of what its people decided."""


Said = CrmSaid | Unknown


class Crm(Protocol):
    """A CRM. Every call has a deadline of its own."""

    @property
    def capabilities(self) -> CrmCapabilities: ...

    async def tell(self, news: News) -> CrmOrder:
        """Tell one piece of news; returning means that the CRM has it.

        Raises:
            CrmRejected: it said no, and will say no again.
            CrmUnavailable: surely not done; tell it again later.
            CrmOutcomeUnknown: it may have it; tell it again under the same key.
        """
        ...

    async def find(self, order_no: OrderNo) -> CrmOrder | None:
        """The order as the CRM shows it; None when it shows none.

        Raises:
            CrmUnavailable: no usable answer; says nothing about the order.
        """
        ...

    async def commands(self, cursor: str | None) -> tuple[Sequence[Said], str | None]:
        """What its people decided behind a cursor, oldest first, and the cursor to go on from.

        Raises:
            CrmUnavailable: no usable answer.
        """
        ...


class Telling(msgspec.Struct, frozen=True):
    """An order's way to the CRM, as its row says: one row an order, so that no news overtakes."""

    order_no: OrderNo
    state: Delivered
    since: datetime
    told: int
    """The order's version up to which nothing is left to tell."""
    attempts: int
    """Tries of the news behind ``told``."""
    next_at: datetime | None
    """When there is something to do; None when there is not, or a person has to decide."""
    holder: str | None
    lease_token: int
    detail: str | None
    news_since: datetime
    """Since when the news behind ``told`` waits, or the last was settled."""
    differs: str | None
    """What the CRM shows else, when it was last asked."""

    @property
    def reference(self) -> str:
        """What names it."""
        return self.order_no


class Told(msgspec.Struct, frozen=True):
    """One piece of news that is settled: what became of it, after how many tries."""

    version: int
    kind: str
    state: Delivered
    at: datetime
    attempts: int
    detail: str | None = None


class TellingStore(Protocol):
    """How far the CRM knows of each order."""

    def get(self, no: OrderNo) -> Telling | None:
        """One row, or None."""
        ...

    def want(self, no: OrderNo, now: datetime) -> None:
        """Keep a new order as pending and due; a known one is left as it is."""
        ...

    def due(self, now: datetime, limit: int) -> Sequence[Telling]:
        """Rows whose ``next_at`` has come and that nobody has in hand, longest waiting first."""
        ...

    def take(self, row: Telling, holder: str, now: datetime) -> Telling:
        """Make ``holder`` the sender: state ``sending``, a greater token, one more attempt.

        Raises:
            LeaseLost: the row is not as it was read.
        """
        ...

    def change(self, row: Telling, **columns: object) -> Telling:
        """Write columns of a row, if its token is still the one in ``row``.

        Raises:
            LeaseLost: it is not.
        """
        ...

    def settled(self, no: OrderNo, told: Told) -> None:
        """Write down what became of one piece of news; of a later try of it the later counts."""
        ...

    def told(self, no: OrderNo) -> Sequence[Told]:
        """What became of each piece of news, in the order's sequence."""
        ...

    def states(self, numbers: Sequence[OrderNo]) -> Mapping[OrderNo, Delivered]:
        """How far each of these orders is known; one that nobody was told of is missing."""
        ...

    def untold(self, after: int, limit: int) -> Sequence[OrderNo]:
        """Open orders behind the ``after``-th that were accepted and have no row yet."""
        ...

    def late(self, before: datetime, limit: int) -> Sequence[Telling]:
        """Orders with news that has waited since before an instant, some of them."""
        ...

    def odd(self, before: datetime, limit: int) -> Sequence[Telling]:
        """Orders at rest whose last news was not taken before an instant, or that differ there."""
        ...

    def compared(self, after: int, limit: int) -> Sequence[tuple[Telling, str]]:
        """Open orders behind the ``after``-th of which all was told, and their stage."""
        ...

    def waiting(self) -> int:
        """How many orders have something to tell, counted up to ``MANY_WAIT``."""
        ...

    def pull_in(self, now: datetime, farthest: datetime) -> int:
        """Make due at ``now`` what would be due only after ``farthest``; how many."""
        ...

    def holders(self) -> set[str]:
        """Everybody who has a row in hand, or had when last seen."""
        ...

    def abandon(self, now: datetime, holder: str | None) -> int:
        """Make due what a holder was sending that is proven to send no more; None means all."""
        ...
