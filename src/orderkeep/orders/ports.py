"""What the orders module asks of the store."""

from collections.abc import Sequence
from typing import Protocol

from orderkeep.delivery.envelope import Envelope
from orderkeep.delivery.ports import OutboxStore
from orderkeep.kernel.errors import Refused
from orderkeep.kernel.ids import OrderNo
from orderkeep.orders.events import Recorded
from orderkeep.orders.order import Order
from orderkeep.orders.view import BoardRow


class OrderNotFound(Refused):
    """No such order, or not yours."""


class OrderStore(Protocol):
    """Orders as their events."""

    def history(self, no: OrderNo) -> Sequence[Recorded]:
        """All events of an order in sequence.

        Raises:
            OrderNotFound: there is no such order.
        """
        ...

    def version(self, no: OrderNo) -> int:
        """How many events an order has; 0 when there is no such order.

        In a unit that writes, the order stays at it until the unit ends.
        """
        ...

    def trace_id(self, no: OrderNo) -> str:
        """The trace that an order came with; empty when there is no such order."""
        ...

    def append(self, before_version: int, recorded: Sequence[Recorded], row: BoardRow) -> None:
        """Add events that follow version ``before_version`` and replace the board's row.

        Raises:
            StaleOrder: the order has moved on.
        """
        ...

    def next_no(self) -> OrderNo:
        """The next gapless order number, taken by this unit of work."""
        ...

    def open(self, first: Sequence[Recorded], row: BoardRow) -> None:
        """Keep a new order with its first events."""
        ...


class OrderWork(Protocol):
    """A unit of work on orders."""

    @property
    def orders(self) -> OrderStore: ...

    @property
    def outbox(self) -> OutboxStore: ...

    def wake(self, topic: str) -> None:
        """After the commit, tell whoever waits for ``topic`` that there is something to do."""
        ...


__all__ = ["Envelope", "Order", "OrderNotFound", "OrderStore", "OrderWork"]
