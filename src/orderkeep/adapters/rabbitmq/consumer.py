"""Takes envelopes from the broker into the inbox: on our disk first, then the ack.

Nothing is done with a delivery but keeping it. While the store is away nothing is consumed, and
what was delivered goes back to the broker. Every queue has a connection of its own: asked about a
queue that hangs, a broker lets the whole connection hang with it.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from time import monotonic
from typing import Any

import aio_pika
import msgspec
import structlog
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import AMQPError

from orderkeep.adapters.embedded import AFTER_RECEIVE, BEFORE_RECEIVE, NOBODY, UNROUTED
from orderkeep.adapters.rabbitmq.declare import prepare
from orderkeep.adapters.rabbitmq.keep import (
    Keep,
    KeepWork,
    Read,
    keep_dead,
    keep_for,
    keep_unrouted,
    read,
    set_aside,
    unknown,
)
from orderkeep.adapters.rabbitmq.link import Link, Timing, said, was_cancelled
from orderkeep.adapters.rabbitmq.topology import UNROUTABLE, dead_queue, inbox_queue
from orderkeep.delivery.envelope import Envelope
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.errors import Unavailable, Uncertain
from orderkeep.kernel.failpoints import reach
from orderkeep.kernel.store import Store
from orderkeep.observe.traffic import Hop, Passed, Traffic

PREFETCH = 200
"""Deliveries a consumer may hold before their ack: as many as share one commit."""

log = structlog.get_logger()


class Place(msgspec.Struct, frozen=True):
    """A queue, whose it is, and where what comes from it belongs."""

    name: str
    consumer: str
    queue: str
    keep: Keep


def places(routes: Mapping[str, Sequence[str]]) -> list[Place]:
    """Every queue that is consumed from: inboxes, the broker's dead letters, the unroutable."""
    names = sorted({name for theirs in routes.values() for name in theirs})
    return [
        *(Place(name, name, inbox_queue(name), keep_for(name)) for name in names),
        *(Place(f"dead.{name}", name, dead_queue(name), keep_dead(name)) for name in names),
        Place(NOBODY, NOBODY, UNROUTABLE, keep_unrouted(routes)),
    ]


class Consumer:
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
        self._turns = turns
        self.place = place
        self._store = store
        self._routes = routes
        self._clock = clock
        self._traffic = traffic
        self._timing = timing
        self._max_length = max_length
        self._arrived: asyncio.Queue[Any] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._channel: Any = None
        self._last_s = 0.0
        self.drift: tuple[str, ...] = ()
        self.link: Link | None = None

    # --- tenant of the link ---------------------------------------------------------------------

    async def ready(self) -> None:
        """Return when the store takes work; consuming before that would only wear envelopes out.

        Raises:
            StoreBusy: not yet.
        """
        now = self._clock.now()
        await self._store.write(lambda work: work.inbox.receive(NOBODY, (), now))

    async def move_in(self, connection: aio_pika.Connection) -> None:
        """Consume from the queue; a deleted one is made again."""
        self._last_s = monotonic()
        seconds, queue = self._timing.call, self.place.queue
        self.drift = await prepare(
            connection, self._routes, seconds, self._max_length, only=queue, turns=self._turns
        )
        opened = connection.channel(publisher_confirms=False)
        await opened.initialize()
        opened.close_callbacks.add(self._closed)
        self._channel = channel = await opened.get_underlay_channel()
        channel.on_consumer_cancel_callbacks.add(self._cancelled)
        await channel.basic_qos(prefetch_count=PREFETCH, timeout=seconds)
        self._arrived = asyncio.Queue()
        self._task = asyncio.create_task(self._run(), name=f"consumer.{self.place.name}")
        await channel.basic_consume(queue, self._arrived.put, timeout=seconds)

    async def move_out(self) -> None:
        """Stop; what was not acked comes again."""
        task, self._task, self._channel = self._task, None, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    # --- what is left ---------------------------------------------------------------------------

    async def is_empty(self) -> bool:
        """Whether nothing has come for a while, and the broker holds nothing back either.

        Where several processes consume, the broker hands everything to one of them: that nothing
        comes here says nothing about the queue.
        """
        channel = self._channel
        resting = monotonic() - self._last_s >= self._timing.quiet
        if channel is None or self.link is None or not self.link.is_up or not resting:
            return False
        try:
            found = await channel.queue_declare(
                self.place.queue, passive=True, timeout=self._timing.call
            )
        except (AMQPError, OSError, TimeoutError, RuntimeError) as failure:
            self._broken(f"{self.place.queue} does not answer: {said(failure)}")
            return False
        if found.message_count:
            self._last_s = monotonic()  # whoever receives it needs a while for the rest as well
        return not found.message_count

    # --- keeping --------------------------------------------------------------------------------

    def _broken(self, why: str) -> None:
        """Give the connection up: the broker gives everything unacked to the next one."""
        if self.link is not None:
            self.link.broken(why)

    def _closed(self, _: AbstractChannel | None, error: BaseException | None = None) -> None:
        self._broken(f"channel of {self.place.name} closed: {said(error)}")

    def _cancelled(self, _: object) -> None:
        # The queue was deleted, or its leader has moved: both are mended by beginning anew.
        self._broken(f"consumer of {self.place.name} cancelled by the broker")

    async def _run(self) -> None:
        try:
            while True:
                await self._take([await self._arrived.get(), *self._waiting()])
        except asyncio.CancelledError:
            if was_cancelled():
                raise
            self._broken(f"channel of {self.place.name} closed")
        except (Unavailable, Uncertain) as away:
            log.warning("consumer.store_away", consumer=self.place.name, reason=type(away).__name__)
            self._broken(f"store away: {said(away)}")
        except (AMQPError, OSError, TimeoutError, RuntimeError) as failure:
            self._broken(f"ack of {self.place.name} failed: {said(failure)}")
        except Exception as failure:  # Top of a worker loop: nothing was acked.
            log.exception(
                "consumer.failed", consumer=self.place.name, reason=type(failure).__name__
            )
            self._broken(said(failure))

    def _waiting(self) -> list[Any]:
        """What else has arrived: it shares the commit."""
        return [self._arrived.get_nowait() for _ in range(self._arrived.qsize())]

    async def _take(self, deliveries: Sequence[Any]) -> None:
        self._last_s = monotonic()
        found = [read(one) for one in deliveries]
        again = sum(one.redelivered for one in found)
        self._traffic.count(Passed.DELIVERED, self.place.consumer, len(found))
        self._traffic.count(Passed.REDELIVERED, self.place.consumer, again)
        now = self._clock.now()
        reach(BEFORE_RECEIVE)
        new = await self._store.write(lambda work: self._put_down(work, found, now))
        reach(AFTER_RECEIVE)
        self._count(found, new, now)
        # They arrived in the order of their tags, and none of them has been left out.
        async with asyncio.timeout(self._timing.call):
            await self._channel.basic_ack(deliveries[-1].delivery_tag, multiple=True)

    def _put_down(self, work: KeepWork, found: Sequence[Read], now: datetime) -> int:
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
