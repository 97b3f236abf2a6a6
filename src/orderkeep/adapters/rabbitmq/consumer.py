"""Takes envelopes from the broker into the inbox: on our disk first, then the ack.

No delivery is held while its effect is done elsewhere: it is kept, and handled in the same commit
where its handler is here. While the store is away nothing is consumed, and what was delivered goes
back to the broker. Every queue has a connection of its own: asked about a
queue that hangs, a broker lets the whole connection hang with it.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from time import monotonic
from typing import Any

import msgspec
import structlog
from aio_pika.exceptions import AMQPError

from orderkeep.adapters.embedded import AFTER_RECEIVE, BEFORE_RECEIVE, NOBODY, UNROUTED
from orderkeep.adapters.rabbitmq.declare import prepare
from orderkeep.adapters.rabbitmq.keep import (
    Keep,
    KeepWork,
    Read,
    envelopes_of,
    keep_dead,
    keep_for,
    keep_unrouted,
    read,
    set_aside,
    unknown,
)
from orderkeep.adapters.rabbitmq.link import Timing, Wire, said
from orderkeep.adapters.rabbitmq.taker import Taker
from orderkeep.adapters.rabbitmq.topology import UNROUTABLE, dead_queue, inbox_queue
from orderkeep.delivery.envelope import Envelope
from orderkeep.delivery.ports import Keeper
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.failpoints import reach
from orderkeep.kernel.store import Loose, Store
from orderkeep.observe.traffic import Hop, Passed, Traffic

log = structlog.get_logger()


class Place(msgspec.Struct, frozen=True):
    """A queue, whose it is, and where what comes from it belongs."""

    name: str
    consumer: str
    queue: str
    keep: Keep
    is_inbox: bool = False
    """Whether all that belongs here is put into one inbox, by one statement."""


def places(routes: Mapping[str, Sequence[str]]) -> list[Place]:
    """Every queue that is consumed from: inboxes, the broker's dead letters, the unroutable."""
    names = sorted({name for theirs in routes.values() for name in theirs})
    return [
        *(Place(name, name, inbox_queue(name), keep_for(name), is_inbox=True) for name in names),
        *(Place(f"dead.{name}", name, dead_queue(name), keep_dead(name)) for name in names),
        Place(NOBODY, NOBODY, UNROUTABLE, keep_unrouted(routes)),
    ]


class Consumer(Taker):
    """One queue, one connection, one loop that keeps what has arrived; the tenant of its link."""

    def __init__(
        self,
        place: Place,
        store: Store[KeepWork],
        routes: Mapping[str, Sequence[str]],
        clock: Clock,
        traffic: Traffic,
        timing: Timing,
        max_length: int | None = None,
        turns: asyncio.Lock | None = None,
    ) -> None:
        super().__init__(place.name, timing)
        self._turns = turns
        self.place = place
        self._store = store
        self._write_plain = store.write_loose if isinstance(store, Loose) else store.write
        self._routes = routes
        self._clock = clock
        self._traffic = traffic
        self._max_length = max_length
        self.drift: tuple[str, ...] = ()
        self.keeper: Keeper | None = None
        """Whoever handles here what comes; given before the link is opened."""
        self.consumes = True
        """Whether it takes what is there; else it can only be asked whether anything is."""

    # --- tenant of the link ---------------------------------------------------------------------

    async def ready(self) -> None:
        """Return when the store takes work; consuming before that would only wear envelopes out.

        Raises:
            StoreBusy: not yet.
        """
        now = self._clock.now()
        await self._store.write(lambda work: work.inbox.receive(NOBODY, (), now))

    async def move_in(self, connection: Wire) -> None:
        """Consume from the queue; a deleted one is made again."""
        self.last_s = monotonic()
        seconds, queue = self._timing.call, self.place.queue
        self.drift = await prepare(
            connection, self._routes, seconds, self._max_length, only=queue, turns=self._turns
        )
        await self._open(connection)
        if self.consumes:
            await self._consume(connection, queue)

    # --- what is left ---------------------------------------------------------------------------

    async def is_empty(self) -> bool:
        """Whether nothing has come for a while, and the broker holds nothing back either.

        Where several processes consume, the broker hands everything to one of them: that nothing
        comes here says nothing about the queue.
        """
        channel = self._channel
        resting = monotonic() - (self.last_s or 0.0) >= self._timing.quiet
        if channel is None or self.link is None or not self.link.is_up or not resting:
            return False
        if self._held_bytes:
            return False  # And perhaps no answer would be read.
        try:
            found = await channel.queue_declare(
                self.place.queue, passive=True, timeout=self._timing.call
            )
        except (AMQPError, OSError, TimeoutError, RuntimeError) as failure:
            self._broken(f"{self.place.queue} does not answer: {said(failure)}")
            return False
        if found.message_count:
            self.last_s = monotonic()  # whoever receives it needs a while for the rest as well
        return not found.message_count

    # --- keeping --------------------------------------------------------------------------------

    async def _take(self, deliveries: Sequence[Any]) -> None:
        found = [read(one) for one in deliveries]
        again = sum(one.redelivered for one in found)
        self._traffic.count(Passed.DELIVERED, self.place.consumer, len(found))
        self._traffic.count(Passed.REDELIVERED, self.place.consumer, again)
        now = self._clock.now()
        reach(BEFORE_RECEIVE)
        new = await self._keep(found, now)
        reach(AFTER_RECEIVE)
        self._count(found, new, now)
        await self._ack_soon(deliveries)

    async def _keep(self, found: Sequence[Read], now: datetime) -> int:
        envelopes = envelopes_of(found)
        if not self.place.is_inbox or len(envelopes) < len(found):
            return await self._store.write(lambda work: self._put_down(work, found, now))
        if self.keeper is not None:
            keep = self.place.keep
            return await self.keeper.keep(lambda work: keep(work, found, now), envelopes)
        return await self._write_plain(lambda work: self._put_down(work, found, now))

    def _put_down(self, work: KeepWork, found: Sequence[Read], now: datetime) -> int:
        if self.place.is_inbox:
            work.wake(f"inbox:{self.place.consumer}")
        set_aside(work, self.place.consumer, found, now)
        return self.place.keep(work, found, now)

    # --- telling --------------------------------------------------------------------------------

    def _count(self, found: Sequence[Read], new: int, now: datetime) -> None:
        count, name = self._traffic.count, self.place.consumer
        bad = sum(one.envelope is None for one in found)
        kept = Passed.BURIED if self.place.queue == dead_queue(name) else Passed.RECEIVED
        count(kept, name, new)
        count(Passed.DUPLICATES, name, max(0, len(found) - bad - new))  # one may be for two
        count(Passed.QUARANTINED, name, bad)
        for one in found:
            self._tell(one, now)

    def _tell(self, one: Read, now: datetime) -> None:
        name, known = self.place.consumer, one.envelope
        if known is None:
            log.error("envelope.quarantined", consumer=name, message_id=one.id, why=one.why)
            return
        if name == NOBODY and unknown([one], self._routes):
            log.error("envelope.parked", **_facts(known), consumer=name, reason=UNROUTED)
            return
        if one.death:
            log.error("envelope.buried", **_facts(known), consumer=name, reason=one.death)
            return
        self._traffic.took(Hop.RECEIVE, known.kind, (now - known.at).total_seconds())
        log.info("envelope.received", **_facts(known), consumer=name, redelivered=one.redelivered)


def _facts(envelope: Envelope) -> dict[str, str]:
    return {
        "envelope_id": envelope.id,
        "kind": envelope.kind,
        "order_id": envelope.order_key,
        "trace_id": envelope.trace_id,
    }
