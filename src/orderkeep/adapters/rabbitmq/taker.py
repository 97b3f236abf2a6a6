"""Takes what a queue hands out, all that has arrived at once, and acks it once it is kept.

Whatever breaks, nothing is mended in place: the link is told, and the broker gives everything that
was not acked to the next connection.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Any

import structlog
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import AMQPError

from orderkeep.adapters.rabbitmq.link import Link, Timing, Wire, said, was_cancelled
from orderkeep.kernel.errors import Unavailable, Uncertain

PREFETCH = 200
"""Deliveries that may be held before their ack: as many as share one commit."""
MOST_BYTES = 16 * 1024 * 1024
"""Of bodies that are here and not kept yet; the message that passes it is the last to be read."""
ACK_SOON_S = 0.02
"""How long an ack that has time waits for others: each is a write on the broker's disk."""
ACK_AT_ONCE = PREFETCH // 4
"""Deliveries that are acked without waiting: the broker is to send on."""

log = structlog.get_logger()


class Taker(ABC):
    """One channel, one loop; whoever is one says how what has arrived is kept (``_take``)."""

    def __init__(self, name: str, timing: Timing) -> None:
        self.name = name
        self._timing = timing
        self._arrived: asyncio.Queue[Any] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._channel: Any = None
        self._wire: Wire | None = None
        self._held_bytes = 0
        """Of what has arrived and is not kept yet."""
        self._kept: list[int] = []
        """Tags of what is kept and not acked yet."""
        self._ack_at_s = 0.0
        self.link: Link | None = None
        self.last_s: float | None = None
        """When something came last, on the monotonic clock."""

    async def move_out(self) -> None:
        """Stop; what was not acked comes again, to us or to whoever takes over from us."""
        task, self._task, self._channel, self._wire = self._task, None, None, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    async def _open(self, connection: Wire) -> Any:
        """A channel of a new connection, and the loop that keeps what will come on it."""
        opened = connection.channel(publisher_confirms=False)
        await opened.initialize()
        opened.close_callbacks.add(self._closed)
        self._channel = channel = await opened.get_underlay_channel()
        channel.on_consumer_cancel_callbacks.add(self._cancelled)
        await channel.basic_qos(prefetch_count=PREFETCH, timeout=self._timing.call)
        self._wire, self._held_bytes = connection, 0
        self._arrived, self._kept = asyncio.Queue(), []
        self._task = asyncio.create_task(self._run(), name=f"consumer.{self.name}")
        return channel

    async def _consume(self, wire: Wire, queue: str, *, alone: bool = False) -> None:
        await self._channel.basic_consume(
            queue,
            partial(self._arrive, wire),
            exclusive=alone,
            timeout=self._timing.call,
        )

    async def _arrive(self, wire: Wire, delivery: Any) -> None:
        if wire is not self._wire:
            return  # Of a connection that we have left: it comes again.
        self._arrived.put_nowait(delivery)
        self._held_bytes += len(delivery.body)
        if self._held_bytes >= MOST_BYTES:
            wire.hold()

    def _let_go(self, deliveries: Sequence[Any]) -> None:
        held = self._held_bytes
        self._held_bytes -= sum(len(one.body) for one in deliveries)
        if self._wire is not None and held >= MOST_BYTES > self._held_bytes:
            self._wire.go_on()

    @abstractmethod
    async def _take(self, deliveries: Sequence[Any]) -> None:
        """Keep them; raise what it failed with, and nothing is acked."""

    async def _ack(self, tag: int) -> None:
        """Ack what has this tag, and all before it: none of them has been left out."""
        async with asyncio.timeout(self._timing.call):
            await self._channel.basic_ack(tag, multiple=True)

    async def _ack_soon(self, deliveries: Sequence[Any]) -> None:
        """Ack them with what comes next, or after a moment.

        Who ends before that has them again, and knows them: they are kept.
        """
        if not self._kept:
            self._ack_at_s = monotonic() + ACK_SOON_S
        self._kept += [one.delivery_tag for one in deliveries]
        if len(self._kept) >= ACK_AT_ONCE or monotonic() >= self._ack_at_s:
            await self._ack_kept()

    async def _ack_kept(self) -> None:
        if self._kept:
            kept, self._kept = self._kept, []
            await self._ack(kept[-1])

    def _broken(self, why: str) -> None:
        if self.link is not None:
            self.link.broken(why)

    def _closed(self, _: AbstractChannel | None, error: BaseException | None = None) -> None:
        self._broken(f"channel of {self.name} closed: {said(error)}")

    def _cancelled(self, _: object) -> None:
        # The queue was deleted, or its leader has moved: both are mended by beginning anew.
        self._broken(f"consumer of {self.name} cancelled by the broker")

    async def _run(self) -> None:
        try:
            while not was_cancelled():
                deliveries = [await self._next(), *self._waiting()]
                self.last_s = monotonic()
                await self._take(deliveries)
                self._let_go(deliveries)
                del deliveries  # Else they are held as long as nothing comes.
        except asyncio.CancelledError:
            if was_cancelled():
                raise
            self._broken(f"channel of {self.name} closed")
        except (Unavailable, Uncertain) as away:
            log.warning("consumer.store_away", consumer=self.name, reason=type(away).__name__)
            self._broken(f"store away: {said(away)}")
        except (AMQPError, OSError, TimeoutError, RuntimeError) as failure:
            self._broken(f"ack of {self.name} failed: {said(failure)}")
        except Exception as failure:  # Top of a worker loop: nothing was acked.
            log.exception("consumer.failed", consumer=self.name, reason=type(failure).__name__)
            self._broken(said(failure))

    async def _next(self) -> Any:
        """What arrives next; while nothing does, what is kept is acked."""
        if self._kept:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._ack_at_s - monotonic()):
                    return await self._arrived.get()
            await self._ack_kept()
        return await self._arrived.get()

    def _waiting(self) -> list[Any]:
        """What else has arrived: it shares the commit."""
        return [self._arrived.get_nowait() for _ in range(self._arrived.qsize())]
