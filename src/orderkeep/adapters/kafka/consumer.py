"""Fetches envelopes into the inboxes: on our disk first, then the offset.

One group reads the topic for all consumers, since all their inboxes are in one database. While the
store is away the partitions are paused at what was not kept; we stay in the group, so that nothing
moves to and fro.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from time import monotonic
from typing import Any, TypeVar

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from orderkeep.adapters.embedded import (
    AFTER_RECEIVE,
    BEFORE_RECEIVE,
    NOBODY,
    UNROUTED,
    EmbeddedWork,
    put_aside,
)
from orderkeep.adapters.kafka import GROUP, TOPIC
from orderkeep.adapters.kafka.address import Timing, consuming
from orderkeep.adapters.kafka.message import Read, read
from orderkeep.adapters.kafka.pulse import Pulse, said
from orderkeep.delivery.envelope import Envelope
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.errors import Unavailable, Uncertain
from orderkeep.kernel.failpoints import reach
from orderkeep.kernel.store import Store
from orderkeep.observe.traffic import Hop, Passed, Traffic

T = TypeVar("T")

BATCH = 200
"""Messages that share one commit."""

log = structlog.get_logger()


class Fetcher:
    """This process's member of the group, from ``open`` to ``close``."""

    def __init__(
        self,
        url: str,
        store: Store[EmbeddedWork],
        routes: Mapping[str, Sequence[str]],
        clock: Clock,
        traffic: Traffic,
        timing: Timing,
        pulse: Pulse,
    ) -> None:
        self._settings = consuming(url, GROUP, timing)
        self._store = store
        self._routes = routes
        self._clock = clock
        self._traffic = traffic
        self._timing = timing
        self.pulse = pulse
        self._consumer: Consumer | None = None
        self._task: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, "kafka.consume")
        self.is_resting = False
        """Whether partitions are paused because the store is away."""

    def open(self) -> None:
        """Begin; the cluster need not be there."""
        self._task = asyncio.create_task(self._run(), name="kafka.consume")

    async def close(self) -> None:
        """Leave the group; what was fetched and not kept goes to another member, or waits."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        self._thread.shutdown(wait=False)

    # --- staying alive --------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            try:
                await self._live_once()
            except (Unavailable, Uncertain) as away:
                log.warning("consumer.store_away", reason=type(away).__name__)
            except KafkaException as failure:
                self.pulse.lost(said(failure))
            except Exception as failure:  # Top of a worker loop: no offset was moved.
                log.exception("consumer.failed", reason=type(failure).__name__)
                self.pulse.lost(type(failure).__name__)
            await asyncio.sleep(self._timing.pause)

    async def _live_once(self) -> None:
        """From joining the group to leaving it; every failure ends here, and nothing is lost."""
        await self._ready()
        consumer = Consumer({**self._settings, "error_cb": self._trouble})
        try:
            if await self._do(self.pulse.probe, consumer.list_topics, self._timing.probe):
                await self._do(consumer.subscribe, [TOPIC])
                self._consumer = consumer
                await self._fetch(consumer)
        finally:
            self._consumer, self.is_resting = None, False
            # Not awaited beyond its deadline: a cluster that is gone cannot be told good-bye.
            leaving = asyncio.ensure_future(self._do(consumer.close))
            await asyncio.wait({leaving}, timeout=self._timing.close)

    async def _fetch(self, consumer: Consumer) -> None:
        asked_s = monotonic()
        while True:
            messages = await self._next(consumer)
            if messages:
                await self._take(consumer, messages)
            if not self.pulse.is_up and monotonic() - asked_s >= self._timing.pause:
                asked_s = monotonic()
                await self._do(self.pulse.probe, consumer.list_topics, self._timing.probe)

    def _trouble(self, error: KafkaError) -> None:
        self.pulse.heard(error)

    async def _next(self, consumer: Consumer) -> list[Message]:
        """What has come; what librdkafka only wants to say is no message."""
        found = await self._do(consumer.consume, BATCH, self._timing.look)
        for one in found:
            if (error := one.error()) is not None:
                log.warning("consumer.told", reason=error.str())
        return [one for one in found if one.error() is None]

    async def _do(self, what: Callable[..., T], *values: Any) -> T:
        """Call librdkafka, which waits, on the one thread that is there for it."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, partial(what, *values))

    # --- keeping --------------------------------------------------------------------------------

    async def _take(self, consumer: Consumer, messages: Sequence[Message]) -> None:
        found = [read(one.headers(), one.value() or b"") for one in messages]
        now = self._clock.now()
        reach(BEFORE_RECEIVE)
        try:
            new = await self._store.write(lambda work: self._put_down(work, found, now))
        except (Unavailable, Uncertain) as away:
            log.warning("consumer.store_away", reason=type(away).__name__)
            await self._rest(consumer, messages)
            return
        reach(AFTER_RECEIVE)
        self._count(found, new, now)
        # Not waited for: if it does not arrive, they come again and have no effect.
        behind = [TopicPartition(TOPIC, p, last + 1) for p, last in _lasts(messages).items()]
        await self._do(partial(consumer.commit, offsets=behind, asynchronous=True))

    def _put_down(
        self, work: EmbeddedWork, found: Sequence[Read], now: datetime
    ) -> Mapping[str, int]:
        for one in found:
            if one.envelope is None:
                work.inbox.set_aside(NOBODY, one.id, one.body, one.why, now)
        new = {}
        for consumer, theirs in self._by_consumer(found).items():
            new[consumer] = work.inbox.receive(consumer, theirs, now)
            work.wake(f"inbox:{consumer}")
        return {**new, NOBODY: put_aside(work, self._unrouted(found), now)}

    def _by_consumer(self, found: Sequence[Read]) -> dict[str, list[Envelope]]:
        sorted_out: dict[str, list[Envelope]] = {}
        for one in found:
            for consumer in self._routes.get(one.envelope.kind, ()) if one.envelope else ():
                if one.envelope:
                    sorted_out.setdefault(consumer, []).append(one.envelope)
        return sorted_out

    def _unrouted(self, found: Sequence[Read]) -> list[Envelope]:
        return [
            one.envelope for one in found if one.envelope if one.envelope.kind not in self._routes
        ]

    def _count(self, found: Sequence[Read], new: Mapping[str, int], now: datetime) -> None:
        count, unrouted = self._traffic.count, self._unrouted(found)
        for consumer, theirs in {**self._by_consumer(found), NOBODY: unrouted}.items():
            count(Passed.DELIVERED, consumer, len(theirs))
            count(Passed.RECEIVED, consumer, new[consumer])
            count(Passed.DUPLICATES, consumer, len(theirs) - new[consumer])
        for one in found:
            if one.envelope is None:
                count(Passed.DELIVERED, NOBODY)
                count(Passed.QUARANTINED, NOBODY)
                log.error("envelope.quarantined", message_id=one.id, why=one.why)
                continue
            took_s = (now - one.envelope.at).total_seconds()
            self._traffic.took(Hop.RECEIVE, one.envelope.kind, took_s)
            parked = one.envelope in unrouted
            (log.error if parked else log.info)(
                "envelope.parked" if parked else "envelope.received",
                envelope_id=one.envelope.id,
                kind=one.envelope.kind,
                order_id=one.envelope.order_key,
                trace_id=one.envelope.trace_id,
                **({"reason": UNROUTED} if parked else {}),
            )

    # --- while the store is away ----------------------------------------------------------------

    async def _ready(self) -> None:
        """Return when the store takes work.

        Raises:
            StoreBusy: not yet.
        """
        now = self._clock.now()
        await self._store.write(lambda work: work.inbox.receive(NOBODY, (), now))

    async def _rest(self, consumer: Consumer, messages: Sequence[Message]) -> None:
        """Stop fetching, go back to what was not kept, and go on when the store is there again."""
        self.is_resting = True
        await self._do(_go_back, consumer, messages)
        while True:
            # Asking keeps us in the group; what a new assignment brings is not for now either.
            unasked = await self._next(consumer)
            await self._do(_go_back, consumer, unasked)
            try:
                await self._ready()
                break
            except (Unavailable, Uncertain):
                await asyncio.sleep(self._timing.look)
        await self._do(lambda: consumer.resume(consumer.assignment()))
        self.is_resting = False

    # --- what is left ---------------------------------------------------------------------------

    async def is_empty(self) -> bool:
        """Whether the group has kept everything that the cluster holds, whoever fetched it."""
        consumer = self._consumer
        if consumer is None or not self.pulse.is_up:
            return False
        try:
            return await asyncio.to_thread(_has_no_lag, consumer, self._timing.probe)
        except (KafkaException, RuntimeError):  # The latter if it was closed meanwhile.
            return False


def _has_no_lag(consumer: Consumer, seconds: float) -> bool:
    partitions = consumer.list_topics(TOPIC, timeout=seconds).topics[TOPIC].partitions
    places = [TopicPartition(TOPIC, number) for number in partitions]
    for place in consumer.committed(places, timeout=seconds):
        low, high = consumer.get_watermark_offsets(place, timeout=seconds)
        if high > low and place.offset < high:
            return False
    return True


def _go_back(consumer: Consumer, messages: Sequence[Message]) -> None:
    consumer.pause(consumer.assignment())
    for partition, first in _firsts(messages).items():
        consumer.seek(TopicPartition(TOPIC, partition, first))


def _firsts(messages: Sequence[Message]) -> Mapping[int, int]:
    """The first offset of each partition."""
    return dict(reversed([_place(one) for one in messages]))


def _lasts(messages: Sequence[Message]) -> Mapping[int, int]:
    """The last offset of each partition."""
    return dict(_place(one) for one in messages)


def _place(message: Message) -> tuple[int, int]:
    partition, offset = message.partition(), message.offset()
    assert partition is not None  # noqa: S101  # A message that was fetched has both.
    assert offset is not None  # noqa: S101  # See above.
    return partition, offset
