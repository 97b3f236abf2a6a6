"""Publishes envelopes; only a positive confirm without a return counts as carried."""

import asyncio
from collections.abc import Mapping, Sequence
from time import perf_counter

import aio_pika
import structlog
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import AMQPError, DeliveryError, PublishError

from orderkeep.adapters.rabbitmq.declare import prepare
from orderkeep.adapters.rabbitmq.link import Link, Timing, said, was_cancelled
from orderkeep.adapters.rabbitmq.message import message
from orderkeep.adapters.rabbitmq.topology import EXCHANGE
from orderkeep.delivery.envelope import Envelope
from orderkeep.delivery.relay import TransportAway
from orderkeep.observe.traffic import Passed, Traffic

WINDOW = 256
"""Envelopes under way to the broker at once."""

log = structlog.get_logger()


class Publisher:
    """Implements ``delivery.ports.Transport`` on a link; it is that link's tenant."""

    def __init__(
        self,
        routes: Mapping[str, Sequence[str]],
        traffic: Traffic,
        timing: Timing,
        max_length: int | None = None,
    ) -> None:
        self._routes = routes
        self._traffic = traffic
        self._timing = timing
        self._max_length = max_length
        self._channel: AbstractChannel | None = None
        self._window = asyncio.Semaphore(WINDOW)
        self.link: Link | None = None

    # --- tenant of the link ---------------------------------------------------------------------

    async def ready(self) -> None:
        """We need nothing else."""

    async def move_in(self, connection: aio_pika.Connection) -> None:
        """Declare what has to be there, and open the channel to publish on."""
        await prepare(connection, self._routes, self._timing.call, self._max_length)
        channel = connection.channel(publisher_confirms=True, on_return_raises=True)
        await channel.initialize()
        channel.close_callbacks.add(self._closed)
        self._channel = channel

    async def move_out(self) -> None:
        """Publish nothing until the next connection."""
        self._channel = None

    def _closed(self, _: object, error: BaseException | None = None) -> None:
        self._give_up(f"channel closed: {said(error)}")

    def _give_up(self, why: str) -> None:
        if self.link is not None:
            self.link.broken(why)

    # --- publishing -----------------------------------------------------------------------------

    async def publish(self, envelopes: Sequence[Envelope]) -> Sequence[bool]:
        """Carry envelopes; True means the broker has it on disk in every queue of its kind.

        Those of one order key go one after the other: if one is not carried, none behind it is
        even sent. Repeats are possible, and the inbox drops them.

        Raises:
            TransportAway: there is no connection, or the broker takes nothing now.
        """
        channel = self._channel
        if channel is None or self.link is None or not self.link.is_up:
            raise TransportAway("The broker cannot be reached")
        carried = [False] * len(envelopes)
        try:
            async with asyncio.timeout(self._timing.batch), asyncio.TaskGroup() as group:
                for places in _by_order(envelopes):
                    group.create_task(self._in_turn(channel, envelopes, places, carried))
        except TimeoutError:
            self._overdue()
        return carried

    async def _in_turn(
        self,
        channel: AbstractChannel,
        envelopes: Sequence[Envelope],
        places: Sequence[int],
        carried: list[bool],
    ) -> None:
        """The envelopes of one order, each after the confirm of the one before it."""
        for place in places:
            async with self._window:
                carried[place] = await self._one(channel, envelopes[place])
            if not carried[place]:
                return

    async def _one(self, channel: AbstractChannel, envelope: Envelope) -> bool:
        begun = perf_counter()
        self._traffic.count(Passed.PUBLISHED, envelope.kind)
        fate = Passed.UNCONFIRMED
        try:
            fate = await self._fate(channel, envelope)
        finally:
            self._traffic.count(fate, envelope.kind)
            self._tell(envelope, fate, (perf_counter() - begun) * 1000)
        return fate is Passed.CONFIRMED

    async def _fate(self, channel: AbstractChannel, envelope: Envelope) -> Passed:
        """What became of it; whatever is not a clear answer is ``UNCONFIRMED``."""
        try:
            async with asyncio.timeout(self._timing.publish):
                await self._send(channel, envelope)
        except PublishError:
            # Not even the queue of the unroutable took it: something is missing at the broker.
            self._give_up("an envelope came back: no queue takes it")
            return Passed.RETURNED
        except DeliveryError:
            return Passed.NACKED
        except TimeoutError:
            self._overdue()
            return Passed.UNCONFIRMED
        except asyncio.CancelledError:
            if was_cancelled():
                raise
            return Passed.UNCONFIRMED  # Not us: the library's word for a channel that closed.
        except (AMQPError, OSError, RuntimeError) as failure:
            self._give_up(said(failure))
            return Passed.UNCONFIRMED
        return Passed.CONFIRMED

    async def _send(self, channel: AbstractChannel, envelope: Envelope) -> None:
        """Returns after a positive confirm."""
        packed = message(envelope)
        underlay = await channel.get_underlay_channel()
        await underlay.basic_publish(
            packed.body,
            exchange=EXCHANGE,
            routing_key=envelope.kind,
            properties=packed.properties,
            mandatory=True,
        )

    def _overdue(self) -> None:
        # A blocked broker has told us; the connection will do again when it is unblocked.
        if self.link is not None and not self.link.is_blocked:
            self.link.broken("no confirm in time")

    def _tell(self, envelope: Envelope, fate: Passed, took_ms: float) -> None:
        told = log.info if fate is Passed.CONFIRMED else log.warning
        told(
            f"envelope.{fate}",
            envelope_id=envelope.id,
            kind=envelope.kind,
            order_id=envelope.order_key,
            trace_id=envelope.trace_id,
            duration_ms=round(took_ms, 2),
        )


def _by_order(envelopes: Sequence[Envelope]) -> list[list[int]]:
    """The places of each order key's envelopes, in their order."""
    places: dict[str, list[int]] = {}
    for place, envelope in enumerate(envelopes):
        places.setdefault(envelope.order_key, []).append(place)
    return list(places.values())
