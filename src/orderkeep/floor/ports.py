"""What the floor asks of the store."""

from collections.abc import Sequence
from typing import Protocol

from orderkeep.delivery.ports import OutboxStore
from orderkeep.floor.work_order import Job
from orderkeep.orders.ports import OrderStore


class FloorStore(Protocol):
    """Work orders on the floor; a reference is taken once."""

    def get(self, reference: str) -> Job | None:
        """One work order, or None."""
        ...

    def hold(self, reference: str) -> Job | None:
        """The same; nobody else moves it until this unit ends."""
        ...

    def add(self, job: Job) -> None:
        """Keep a new work order."""
        ...

    def put(self, job: Job) -> None:
        """Write a work order that has moved."""
        ...

    def page(self, after: str | None, limit: int) -> Sequence[Job]:
        """Work orders in the order they came, after a reference."""
        ...


class FloorWork(Protocol):
    """A unit of work on the floor."""

    @property
    def floor(self) -> FloorStore: ...

    @property
    def outbox(self) -> OutboxStore: ...

    @property
    def orders(self) -> OrderStore: ...

    def wake(self, topic: str) -> None:
        """After the commit, tell whoever waits for ``topic``."""
        ...
