"""Takes messages from a maker's present broker: copies of them, or the queue itself.

Copies wait in a queue of our own that is bounded and forgets its oldest: whoever publishes never
waits for us. The queue itself is consumed from exclusively, so the broker lets nobody take from it
beside us, and us not while somebody else does. Nothing is acked before it is on disk, and nothing
of theirs is declared, changed or deleted.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from orderkeep.adapters.rabbitmq.link import Timing, Wire
from orderkeep.adapters.rabbitmq.taker import Taker
from orderkeep.adapters.rabbitmq.tap import Bound, message_of
from orderkeep.intake.mapping import Message
from orderkeep.intake.receiving import AFTER_ACK, AFTER_KEEP, BEFORE_KEEP
from orderkeep.intake.roads import QueueRoad
from orderkeep.kernel.errors import Unavailable
from orderkeep.kernel.failpoints import reach

LIVE_BOUND = Bound(messages=1_000_000, size_bytes=1024 * 1024 * 1024)
"""What our durable queue of copies may hold of a time in which we do not run."""

Take = Callable[[Sequence[Message]], Awaitable[None]]
"""Keeps messages; returning means that they may be acked."""


class Way(StrEnum):
    """Where messages are taken from."""

    TAP = "tap"
    """A queue that goes with our connection."""
    COPIES = "copies"
    """A durable queue of ours, beside the old road."""
    ORIGINAL = "original"


def copies_queue(source: str) -> str:
    """The durable queue of a source's copies."""
    return f"orderkeep.copies.{source}"


class SourceConsumer(Taker):
    """One source, one connection, one loop that hands on what has arrived; a link's tenant."""

    def __init__(
        self,
        source: str,
        road: QueueRoad,
        way: Way,
        take: Take,
        ready: Callable[[], Awaitable[None]],
        timing: Timing,
        bound: Bound | None = None,
    ) -> None:
        super().__init__(f"source.{source}", timing)
        self._source = source
        self._road = road
        self._way = way
        self._keep = take
        self._store_ready = ready
        self._bound = bound or (LIVE_BOUND if way is Way.COPIES else Bound())

    # --- tenant of the link -----------------------------------------------------------------------

    async def ready(self) -> None:
        """Return when the store takes work: till then the broker keeps everything."""
        await self._store_ready()

    async def move_in(self, connection: Wire) -> None:
        """Consume; a queue of theirs that is not there, or not free, is not made so."""
        channel = await self._open(connection)
        queue = await self._queue(channel)
        await self._consume(connection, queue, alone=self._way is Way.ORIGINAL)

    async def _queue(self, channel: Any) -> str:
        if self._way is Way.ORIGINAL:
            return self._road.queue
        made = await channel.queue_declare(
            **_declared(self._way, self._source),
            arguments={**self._bound.arguments},
            timeout=self._timing.call,
        )
        for key in self._road.keys:
            await channel.queue_bind(
                str(made.queue), self._road.exchange, routing_key=key, timeout=self._timing.call
            )
        return str(made.queue)

    async def _take(self, deliveries: Sequence[Any]) -> None:
        reach(BEFORE_KEEP)
        await self._keep([message_of(one) for one in deliveries])
        reach(AFTER_KEEP)
        await self._ack(deliveries[-1].delivery_tag)
        reach(AFTER_ACK)


def _declared(way: Way, source: str) -> Mapping[str, Any]:
    if way is Way.COPIES:
        return {"queue": copies_queue(source), "durable": True}
    return {"exclusive": True, "auto_delete": True}


class StillConsumed(Unavailable):
    """Somebody takes messages from the queue; who that is may be an earlier process of ours."""


async def settle(
    url: str, road: QueueRoad, take: Take, timing: Timing, ca_file: Path | None = None
) -> None:
    """Finish what we held of a queue; returning means that nothing of it is left there.

    What we have kept and not acked comes first when it comes again, and comes marked: it is kept
    (which changes nothing) and acked. The first message that nobody ever had ends the way back.

    Raises:
        StillConsumed: what somebody holds just now may be of ours.
        AMQPError, OSError, TimeoutError: the broker is away; to be done again.
    """
    wire = Wire(url, "way back", timing.heartbeat, ca_file)
    try:
        await wire.connect(timeout=timing.connect)
        opened = await wire.channel(publisher_confirms=False)
        channel = await opened.get_underlay_channel()
        seen = await channel.queue_declare(road.queue, passive=True, timeout=timing.call)
        if seen.consumer_count:
            raise StillConsumed("Somebody consumes from the queue already.")
        await _finish(channel, road.queue, take, timing.call)
    finally:
        await wire.end(timing.call, orderly=True)


async def _finish(channel: Any, queue: str, take: Take, seconds: float) -> None:
    while True:
        got = await channel.basic_get(queue, timeout=seconds)
        # What never came to us goes back to its place when we close. Given back by a word of ours,
        # it would be the last of a quorum queue; and asked for again, it would come marked as well.
        if got.delivery.name == "Basic.GetEmpty" or not got.delivery.redelivered:
            return
        await take([message_of(got)])
        await channel.basic_ack(got.delivery_tag)


async def forget_copies(url: str, source: str, timing: Timing, ca_file: Path | None = None) -> None:
    """Take our durable queue of copies away: it would fill with what nobody reads."""
    wire = Wire(url, "way back", timing.heartbeat, ca_file)
    try:
        await wire.connect(timeout=timing.connect)
        opened = await wire.channel(publisher_confirms=False)
        channel = await opened.get_underlay_channel()
        await channel.queue_delete(copies_queue(source), timeout=timing.call)
    finally:
        await wire.end(timing.call, orderly=True)
