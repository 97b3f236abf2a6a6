"""Publishes envelopes; only a positive confirm without a return counts as carried."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from time import monotonic
from typing import Any

import aio_pika
import structlog
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import AMQPError, DeliveryError, PublishError

from orderkeep.adapters.rabbitmq.declare import prepare
from orderkeep.adapters.rabbitmq.link import Link, Timing, said, was_cancelled
from orderkeep.adapters.rabbitmq.message import message
from orderkeep.adapters.rabbitmq.suspects import Suspects
from orderkeep.adapters.rabbitmq.topology import EXCHANGE
from orderkeep.delivery.envelope import Envelope
from orderkeep.delivery.ports import Tried
from orderkeep.delivery.relay import TransportAway
from orderkeep.kernel.clock import Clock
from orderkeep.observe.traffic import Hop, Passed, Traffic

WINDOW = 256
"""Envelopes under way to the broker at once."""
STRANGERS = ""
"""What stands for all kinds that have no route."""
NOT_TRIED = Tried(carried=False)

log = structlog.get_logger()


class Publisher:
    """Implements ``delivery.ports.Transport`` on a link; it is that link's tenant."""

    def __init__(
        self,
        routes: Mapping[str, Sequence[str]],
        clock: Clock,
        traffic: Traffic,
        timing: Timing,
        max_length: int | None = None,
        turns: asyncio.Lock | None = None,
    ) -> None:
        self._turns = turns
        self._routes = routes
        self._clock = clock
        self._traffic = traffic
        self._timing = timing
        self._max_length = max_length
        self._channels: dict[str, AbstractChannel] = {}
        self._window = asyncio.Semaphore(WINDOW)
        self._suspects = Suspects()
        self._came_back = False
        self._answered_s = 0.0
        self.drift: tuple[str, ...] = ()
        self.link: Link | None = None

    # --- tenant of the link ---------------------------------------------------------------------

    async def ready(self) -> None:
        """We need nothing else."""

    async def move_in(self, connection: aio_pika.Connection) -> None:
        """Declare what has to be there, and open the channel to publish on."""
        seconds = self._timing.call
        self.drift = await prepare(
            connection, self._routes, seconds, self._max_length, turns=self._turns
        )
        # A queue that hangs lets the channel hang on which something was published to it.
        for kind in (*self._routes, STRANGERS):
            channel = connection.channel(publisher_confirms=True, on_return_raises=True)
            await channel.initialize()
            channel.close_callbacks.add(self._closed)
            self._channels[kind] = channel
        self._suspects.try_all()

    async def move_out(self) -> None:
        """Publish nothing until the next connection."""
        self._channels = {}

    def _closed(self, _: object, error: BaseException | None = None) -> None:
        self._give_up(f"channel closed: {said(error)}")

    def _give_up(self, why: str) -> None:
        if self.link is not None:
            self.link.broken(why)

    # --- publishing -----------------------------------------------------------------------------

    async def publish(self, envelopes: Sequence[Envelope]) -> Sequence[Tried]:
        """Carry envelopes; true is what the broker has on disk in every queue of its kind.

        Those of one order key go one after the other: if one is not carried, none behind it is
        even sent. Repeats are possible, and the inbox drops them.

        Raises:
            TransportAway: there is no connection, or the broker takes nothing now.
        """
        channels = self._channels
        if not channels or self.link is None or not self.link.is_up:
            raise TransportAway("The broker cannot be reached")
        carried = [NOT_TRIED] * len(envelopes)
        try:
            async with asyncio.timeout(self._timing.batch), asyncio.TaskGroup() as group:
                for places in _by_order(envelopes):
                    group.create_task(self._in_turn(channels, envelopes, places, carried))
        except TimeoutError:
            self._overdue()
        if self._came_back:  # Only now: others of this batch were under way.
            self._came_back = False
            self._give_up("an envelope came back: no queue takes it")
        return carried

    async def _in_turn(
        self,
        channels: Mapping[str, AbstractChannel],
        envelopes: Sequence[Envelope],
        places: Sequence[int],
        carried: list[Tried],
    ) -> None:
        """The envelopes of one order, each after the confirm of the one before it."""
        for place in places:
            one = envelopes[place]
            async with self._window:
                channel = channels.get(one.kind) or channels[STRANGERS]
                carried[place] = await self._one(channel, one)
            if not carried[place]:
                return

    async def _one(self, channel: AbstractChannel, envelope: Envelope) -> Tried:
        if rest := self._suspects.rest(envelope.kind, monotonic()):
            return Tried(carried=False, rest=rest)  # Others first.
        began = self._clock.now()
        self._traffic.count(Passed.PUBLISHED, envelope.kind)
        fate = Passed.UNCONFIRMED
        try:
            fate = await self._fate(channel, envelope)
        finally:
            ended = self._clock.now()
            self._traffic.count(fate, envelope.kind)
            self._traffic.took(Hop.PUBLISH, envelope.kind, (began - envelope.at).total_seconds())
            self._traffic.took(Hop.CONFIRM, envelope.kind, (ended - began).total_seconds())
            self._tell(envelope, fate, ended - began)
        return Tried(fate is Passed.CONFIRMED, fate, began, ended)

    async def _fate(self, channel: AbstractChannel, envelope: Envelope) -> Passed:
        """What became of it; whatever is not a clear answer is ``UNCONFIRMED``."""
        began_s = monotonic()
        try:
            async with asyncio.timeout(self._timing.publish):
                await self._send(channel, envelope)
        except PublishError:
            # Not even the queue of the unroutable took it: something is missing at the broker.
            self._came_back = True
            return Passed.RETURNED
        except DeliveryError:
            self._suspects.suspect(envelope.kind, monotonic(), self._timing.rest_refused)
            return Passed.NACKED
        except TimeoutError:
            self._unanswered(envelope.kind, began_s)
            return Passed.UNCONFIRMED
        except asyncio.CancelledError:
            self._suspects.cut_off(envelope.kind)
            if was_cancelled():
                raise
            return Passed.UNCONFIRMED  # Not us: the library's word for a channel that closed.
        except (AMQPError, OSError, RuntimeError) as failure:
            self._give_up(said(failure))
            return Passed.UNCONFIRMED
        self._answered_s = monotonic()
        self._suspects.clear(envelope.kind)
        return Passed.CONFIRMED

    async def _send(self, channel: AbstractChannel, envelope: Envelope) -> None:
        """Returns after a positive confirm."""
        packed = message(envelope)
        underlay: Any = await channel.get_underlay_channel()
        await underlay.basic_publish(
            packed.body,
            exchange=EXCHANGE,
            routing_key=envelope.kind,
            properties=packed.properties,
            mandatory=True,
            wait=False,  # For the confirm only: else one after the other is drained to the socket.
        )

    def _unanswered(self, kind: str, since_s: float) -> None:
        """No confirm in time: its queue hangs, or the channel, or the whole broker.

        If others were answered, or it was in doubt before, it is the queue. Else a new connection
        will tell: on it one of the kind is tried, and all others go ahead.
        """
        known = self._suspects.is_suspect(kind)
        self._suspects.suspect(kind, monotonic(), self._timing.rest_hanging)
        if not known:
            log.warning("broker.no_confirm", kind=kind)
        if not known and self._answered_s <= since_s:
            self._overdue()

    def _overdue(self) -> None:
        # A blocked broker has told us; the connection will do again when it is unblocked.
        if self.link is not None and not self.link.is_blocked:
            self.link.broken("no confirm in time")

    def _tell(self, envelope: Envelope, fate: Passed, took: timedelta) -> None:
        told = log.info if fate is Passed.CONFIRMED else log.warning
        told(
            f"envelope.{fate}",
            envelope_id=envelope.id,
            kind=envelope.kind,
            order_id=envelope.order_key,
            trace_id=envelope.trace_id,
            duration_ms=round(took / timedelta(milliseconds=1), 2),
        )


def _by_order(envelopes: Sequence[Envelope]) -> list[list[int]]:
    """The places of each order key's envelopes, in their order."""
    places: dict[str, list[int]] = {}
    for place, envelope in enumerate(envelopes):
        places.setdefault(envelope.order_key, []).append(place)
    return list(places.values())
