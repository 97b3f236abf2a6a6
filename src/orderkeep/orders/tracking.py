"""What a partner may ask about orders: its own, page by page, and what happened to them since."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from orderkeep.kernel.ids import PartnerId
from orderkeep.orders.events import Recorded
from orderkeep.orders.ports import OrderStore
from orderkeep.orders.view import BoardRow


class Announced(msgspec.Struct, frozen=True):
    """An event in its place among all events; ``position`` grows with every commit."""

    position: int
    client_ref: str | None
    recorded: Recorded


class TrackingStore(Protocol):
    """A partner's orders and their events."""

    def orders_of(
        self, partner_id: PartnerId, after_n: int, limit: int, client_ref: str | None = None
    ) -> Sequence[BoardRow]:
        """Orders behind ``after_n``, oldest first; drafts are not shown."""
        ...

    def events_of(
        self, partner_id: PartnerId, after: int, limit: int, kinds: Sequence[str]
    ) -> tuple[Sequence[Announced], int | None]:
        """Events of the given kinds behind a position, oldest first.

        The second part is the position to go on from, None when all there is has been read.
        """
        ...


class TrackingWork(Protocol):
    """A unit of work for reading about orders."""

    @property
    def orders(self) -> OrderStore: ...

    @property
    def tracking(self) -> TrackingStore: ...
