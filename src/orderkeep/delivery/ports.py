"""What delivery asks of the store and of what carries envelopes."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

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

    def note(self, tries: Sequence[tuple[Leased, Tried]]) -> None:
        """Keep what a broker answered to the last try of rows that still have the given token."""
        ...

    def put_back(self, rows: Sequence[Leased], due: datetime) -> None:
        """End leases early: the transport was away, so no attempt is counted."""
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


class Transport(Protocol):
    """What carries envelopes."""

    async def publish(self, envelopes: Sequence[Envelope]) -> Sequence[Tried]:
        """Carry envelopes; returns what became of each, in their order.

        Raises:
            TransportAway: nothing can be carried now.
        """
        ...
