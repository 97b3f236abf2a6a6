"""Takes envelopes from the broker into the inbox: on our disk first, then the ack.

Nothing is done with a delivery but keeping it. While the store is away nothing is consumed, and
what was delivered goes back to the broker.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from time import monotonic
from typing import Any, Protocol

import aio_pika
import structlog
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import AMQPError

from orderkeep.adapters.embedded import AFTER_RECEIVE, BEFORE_RECEIVE, NOBODY, UNROUTED, put_aside
from orderkeep.adapters.rabbitmq.declare import prepare
from orderkeep.adapters.rabbitmq.link import Link, Timing, said, was_cancelled
from orderkeep.adapters.rabbitmq.message import NotAnEnvelope, envelope, foreign_id
from orderkeep.adapters.rabbitmq.topology import UNROUTABLE, inbox_queue
from orderkeep.delivery.envelope import Envelope
from orderkeep.delivery.ports import InboxStore
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.errors import Unavailable, Uncertain
from orderkeep.kernel.failpoints import reach
from orderkeep.kernel.store import Store
from orderkeep.observe.traffic import Passed, Traffic

PREFETCH = 200
"""Deliveries a consumer may hold before their ack: as many as share one commit."""

log = structlog.get_logger()


class ConsumerWork(Protocol):
    """A unit of work on the inbox."""

    @property
    def inbox(self) -> InboxStore: ...

    def wake(self, topic: str) -> None:
        """After the commit, tell whoever waits for ``topic``."""
        ...


Keep = Callable[[ConsumerWork, Sequence[Envelope], datetime], int]
"""Puts envelopes where they belong, in the given unit of work; returns how many were new."""


class Consumers:
    """All consumers of this process, on one connection; the tenant of its link."""

    def __init__(
        self,
        store: Store[ConsumerWork],
        routes: Mapping[str, Sequence[str]],
        clock: Clock,
        traffic: Traffic,
        timing: Timing,
        max_length: int | None = None,
    ) -> None:
        self._store = store
        self._routes = routes
        self._max_length = max_length
        self._clock = clock
        self._traffic = traffic
        self._timing = timing
        names = sorted({name for theirs in routes.values() for name in theirs})
        self._places = [(name, inbox_queue(name), keep_for(name)) for name in names]
        self._places.append((NOBODY, UNROUTABLE, keep_unrouted(routes)))
        self._running: list[_Consumer] = []
        self._last_s = 0.0
        self.link: Link | None = None

    @property
    def is_quiet(self) -> bool:
        """Whether all consumers receive, and nothing has come for a while."""
        up = self.link is not None and self.link.is_up
        return up and monotonic() - self._last_s >= self._timing.quiet

    def stir(self) -> None:
        """Something came, or may come now."""
        self._last_s = monotonic()

    async def ready(self) -> None:
        """Return when the store takes work; consuming before that would only wear envelopes out.

        Raises:
            StoreBusy: not yet.
        """
        now = self._clock.now()
        await self._store.write(lambda work: work.inbox.receive(NOBODY, (), now))

    async def move_in(self, connection: aio_pika.Connection) -> None:
        """Consume from every queue, each on a channel of its own; a deleted one is made again."""
        self.stir()
        await prepare(connection, self._routes, self._timing.call, self._max_length)
        for name, queue, keep in self._places:
            consumer = _Consumer(self, name, keep)
            self._running.append(consumer)
            await consumer.begin(connection, queue)

    async def move_out(self) -> None:
        """Stop; what was not acked comes again."""
        gone, self._running = self._running, []
        for consumer in gone:
            await consumer.end()

    def broken(self, why: str) -> None:
        """Give the connection up: the broker gives everything unacked to the next one."""
        if self.link is not None:
            self.link.broken(why)

    @property
    def store(self) -> Store[ConsumerWork]:
        return self._store

    @property
    def clock(self) -> Clock:
        return self._clock

    @property
    def traffic(self) -> Traffic:
        return self._traffic

    @property
    def timing(self) -> Timing:
        return self._timing


class _Consumer:
    """One queue, one channel, one loop that keeps what has arrived."""

    def __init__(self, all_: Consumers, name: str, keep: Keep) -> None:
        self._all = all_
        self._name = name
        self._keep = keep
        self._arrived: asyncio.Queue[Any] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._channel: Any = None

    async def begin(self, connection: aio_pika.Connection, queue: str) -> None:
        opened = connection.channel(publisher_confirms=False)
        await opened.initialize()
        opened.close_callbacks.add(self._closed)
        channel = await opened.get_underlay_channel()
        channel.on_consumer_cancel_callbacks.add(self._cancelled)
        seconds = self._all.timing.call
        await channel.basic_qos(prefetch_count=PREFETCH, timeout=seconds)
        self._channel = channel
        self._task = asyncio.create_task(self._run(), name=f"consumer.{self._name}")
        await channel.basic_consume(queue, self._arrived.put, timeout=seconds)

    async def end(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def _closed(self, _: AbstractChannel | None, error: BaseException | None = None) -> None:
        self._all.broken(f"channel of {self._name} closed: {said(error)}")

    def _cancelled(self, _: object) -> None:
        # The queue was deleted, or its leader has moved: both are mended by beginning anew.
        self._all.broken(f"consumer of {self._name} cancelled by the broker")

    async def _run(self) -> None:
        try:
            while True:
                await self._take([await self._arrived.get(), *self._waiting()])
        except asyncio.CancelledError:
            if was_cancelled():
                raise
            self._all.broken(f"channel of {self._name} closed")
        except (Unavailable, Uncertain) as away:
            log.warning("consumer.store_away", consumer=self._name, reason=type(away).__name__)
            self._all.broken(f"store away: {said(away)}")
        except (AMQPError, OSError, TimeoutError, RuntimeError) as failure:
            self._all.broken(f"ack of {self._name} failed: {said(failure)}")
        except Exception as failure:  # Top of a worker loop: nothing was acked.
            log.exception("consumer.failed", consumer=self._name, reason=type(failure).__name__)
            self._all.broken(said(failure))

    def _waiting(self) -> list[Any]:
        """What else has arrived: it shares the commit."""
        return [self._arrived.get_nowait() for _ in range(self._arrived.qsize())]

    async def _take(self, deliveries: Sequence[Any]) -> None:
        self._all.stir()
        read = [_Read(one) for one in deliveries]
        self._all.traffic.count(Passed.DELIVERED, self._name, len(read))
        again = sum(one.redelivered for one in read)
        self._all.traffic.count(Passed.REDELIVERED, self._name, again)
        now = self._all.clock.now()
        reach(BEFORE_RECEIVE)
        new = await self._all.store.write(lambda work: self._put_down(work, read, now))
        reach(AFTER_RECEIVE)
        self._count(read, new)
        # They arrived in the order of their tags, and none of them has been left out.
        async with asyncio.timeout(self._all.timing.call):
            await self._channel.basic_ack(deliveries[-1].delivery_tag, multiple=True)

    def _put_down(self, work: ConsumerWork, read: Sequence["_Read"], now: datetime) -> int:
        for one in read:
            if one.envelope is None:
                work.inbox.set_aside(self._name, one.id, one.body, one.why, now)
        return self._keep(work, [one.envelope for one in read if one.envelope], now)

    def _count(self, read: Sequence["_Read"], new: int) -> None:
        count, name = self._all.traffic.count, self._name
        bad = [one for one in read if one.envelope is None]
        count(Passed.RECEIVED, name, new)
        count(Passed.DUPLICATES, name, max(0, len(read) - len(bad) - new))  # one may be for two
        count(Passed.QUARANTINED, name, len(bad))
        for one in read:
            one.tell(name)


class _Read:
    """A delivery, read; ``envelope`` is None if it is not one, and ``why`` says what is wrong."""

    def __init__(self, delivery: Any) -> None:
        properties = delivery.header.properties
        self.body = bytes(delivery.body)
        self.redelivered = bool(delivery.delivery.redelivered)
        self.id = foreign_id(properties.message_id)
        self.why = ""
        self.envelope: Envelope | None = None
        try:
            self.envelope = envelope(properties.headers, self.body)
        except NotAnEnvelope as error:
            self.why = f"not an envelope: {error}"

    def tell(self, consumer: str) -> None:
        if self.envelope is None:
            log.error("envelope.quarantined", consumer=consumer, message_id=self.id, why=self.why)
            return
        log.info(
            "envelope.received",
            consumer=consumer,
            envelope_id=self.envelope.id,
            kind=self.envelope.kind,
            order_id=self.envelope.order_key,
            trace_id=self.envelope.trace_id,
            redelivered=self.redelivered,
        )


def keep_for(consumer: str) -> Keep:
    """Keeps envelopes in the inbox of one consumer."""

    def keep(work: ConsumerWork, envelopes: Sequence[Envelope], now: datetime) -> int:
        new = work.inbox.receive(consumer, envelopes, now)
        work.wake(f"inbox:{consumer}")
        return new

    return keep


def keep_unrouted(routes: Mapping[str, Sequence[str]]) -> Keep:
    """What no queue took: a kind nobody knows is put aside and shown.

    A kind that somebody does take came here because a queue or binding is missing; it goes to
    whom it is meant for, as if it had been there.
    """

    def keep(work: ConsumerWork, envelopes: Sequence[Envelope], now: datetime) -> int:
        new = 0
        for one in envelopes:
            for consumer in routes.get(one.kind, ()):
                new += keep_for(consumer)(work, [one], now)
        unknown = [one for one in envelopes if one.kind not in routes]
        new += put_aside(work, unknown, now)
        for one in unknown:
            log.error("envelope.parked", envelope_id=one.id, kind=one.kind, reason=UNROUTED)
        return new

    return keep
