"""What delivery asks of the store and of what carries envelopes."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol, runtime_checkable

import msgspec

from orderkeep.delivery.envelope import Envelope
from orderkeep.kernel.ids import EnvelopeId


class Leased(msgspec.Struct, frozen=True):
    """A row held until an instant; ``token`` grows with every lease of the row."""

    row: int
    token: int
    envelope: Envelope


class Tried(msgspec.Struct, frozen=True):
    """What became of one try to carry an envelope; true if every receiver has it on disk.

    ``answer`` is the broker's: ``confirmed``, ``returned``, ``nacked``, or ``unconfirmed`` when it
    gave none; it and the instants are None where no broker was asked.
    """

    carried: bool
    answer: str | None = None
    began: datetime | None = None
    ended: datetime | None = None
    rest: timedelta = timedelta(seconds=1)
    """How long to leave an envelope alone that was not carried."""

    def __bool__(self) -> bool:
        return self.carried


class Carried(msgspec.Struct, frozen=True):
    """A row that the transport has carried, as far as the outbox knows."""

    row: int
    id: EnvelopeId
    kind: str
    order_key: str
    sent_at: datetime


class Received(msgspec.Struct, frozen=True):
    """An envelope in the inbox of one consumer; ``attempts`` counts tries before this one."""

    row: int
    consumer: str
    attempts: int
    envelope: Envelope


class OutboxStore(Protocol):
    """Envelopes saved with the change they announce."""

    def post(self, envelopes: Sequence[Envelope]) -> None:
        """Save envelopes in this unit of work, after all saved before."""
        ...

    def lease(self, now: datetime, lease_ends: datetime, limit: int) -> Sequence[Leased]:
        """Hold up to ``limit`` unsent rows, oldest first; only the first of an order key.

        Rows held by a lease that has not ended are left out; no lease lasts ten minutes, so one
        that seems to was taken before the clock was set back.
        """
        ...

    def sent(self, rows: Sequence[Leased], now: datetime) -> int:
        """Mark rows as carried; returns how many still had the given token."""
        ...

    def settle(self, tries: Sequence[tuple[Leased, Tried]], now: datetime) -> None:
        """Write down what became of rows that still have the given token, and what was answered.

        What was carried is marked; what was not is free again after its rest.
        """
        ...

    def carried(self, after: int, limit: int) -> Sequence[Carried]:
        """Rows behind ``after`` that count as carried, oldest first."""
        ...

    def send_again(self, rows: Sequence[int]) -> None:
        """Have rows carried once more: what carried them has lost them."""
        ...

    def release_all(self) -> int:
        """At start, when every earlier holder is proven gone: end their leases; how many."""
        ...


class InboxStore(Protocol):
    """Envelopes kept by their receiver before anything is done with them."""

    def receive(self, consumer: str, envelopes: Sequence[Envelope], now: datetime) -> int:
        """Keep envelopes not kept before; returns how many were new.

        A known id with another body is set aside in quarantine, never dropped.
        """
        ...

    def set_aside(
        self, consumer: str, message_id: str | None, body: bytes, why: str, now: datetime
    ) -> None:
        """Keep in quarantine what is no envelope; the same body again changes nothing."""
        ...

    def holds(self, consumer: str, ids: Sequence[EnvelopeId]) -> set[EnvelopeId]:
        """Which of these a consumer has ever received."""
        ...

    def due(self, consumer: str, now: datetime, limit: int) -> Sequence[Received]:
        """Unhandled rows whose turn it is, oldest first; only the first of an order key."""
        ...

    def handled(self, row: int, now: datetime) -> None:
        """The effect is in this unit of work; the row is done."""
        ...

    def retry(self, row: int, due: datetime, why: str) -> None:
        """The try failed; try again at ``due``."""
        ...

    def bury(self, consumer: str, found: EnvelopeId, now: datetime, why: str) -> None:
        """Make a dead letter of an envelope that was never tried here: the broker gave up on it."""
        ...

    def park(self, row: int, now: datetime, why: str) -> None:
        """Make it a dead letter with its reason; later envelopes of the order may pass."""
        ...


class RouteStore(Protocol):
    """Since when a consumer has received a kind; what was carried before was not meant for it."""

    def remember(self, wanted: Mapping[str, Sequence[str]], now: datetime) -> None:
        """Let routes that are new begin now, and forget those that are no more.

        ``wanted`` are consumers by kind. Where nothing is new nothing is written; where nothing was
        remembered yet, all have always been.
        """
        ...

    def since(self) -> Mapping[tuple[str, str], datetime]:
        """When routes began, by kind and consumer; one that is not there has always been."""
        ...


class Transport(Protocol):
    """What carries envelopes."""

    async def publish(self, envelopes: Sequence[Envelope]) -> Sequence[Tried]:
        """Carry envelopes; returns what became of each, in their order.

        Raises:
            TransportAway: nothing can be carried now.
        """
        ...


class Keeper(Protocol):
    """Who handles what a consumer receives, and may do so in the very commit that keeps it."""

    async def keep(self, put_down: Callable[[Any], int], envelopes: Sequence[Envelope]) -> int:
        """Run the unit that puts envelopes into the inbox; returns what it returns.

        Returning means that they are on disk. What is not handled with it is due.

        Raises:
            Unavailable, Uncertain: they may not be there.
        """
        ...

    def take(self, work: Any, envelopes: Sequence[Envelope], now: datetime) -> Any:
        """Handle in this unit what it has put down, as far as it is its turn; for ``taken``.

        Raises:
            Exception: it cannot be handled so, and this unit is not to be kept.
        """
        ...

    def taken(self, outcome: Any) -> None:
        """What was taken is on disk."""
        ...


@runtime_checkable
class HandsOver(Protocol):
    """A transport that can bring envelopes straight to whoever handles them."""

    def hand_over(self, keepers: Mapping[str, Keeper], *, alone: bool) -> None:
        """Have these consumers' envelopes kept by their keepers; said before it is opened.

        Inboxes without a keeper are left to the processes that have one. With ``alone`` this
        process carries nothing else.
        """
        ...


@runtime_checkable
class AtHome(Protocol):
    """A transport whose receivers are in the sender's own database: carrying is a unit of work."""

    def put_down(
        self, work: Any, envelopes: Sequence[Envelope], now: datetime, *, handled: bool
    ) -> Any:
        """Carry envelopes in this unit of work, ``handled`` as far as may be; for ``told``.

        Raises:
            Exception: one of them cannot be handled so, and this unit is not to be kept.
        """
        ...

    def told(self, envelopes: Sequence[Envelope], put: Any, now: datetime) -> None:
        """Count and tell what was put down, now that it is on disk."""
        ...
