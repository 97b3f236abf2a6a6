"""Keeps each source's connection as its mode asks for, while this process is the one to do it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any

import structlog
from aio_pika.exceptions import AMQPError

from orderkeep.adapters.rabbitmq.link import Link, Timing, said
from orderkeep.adapters.rabbitmq.source import SourceConsumer, Way, forget_copies, settle
from orderkeep.intake import sentences as say
from orderkeep.intake.mapping import Message
from orderkeep.intake.modes import Mode, SourceState, Takes
from orderkeep.intake.receiving import settle as mark_settled
from orderkeep.intake.roads import QueueRoad
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.errors import OrderkeepError, Unavailable
from orderkeep.kernel.store import Store

NOTE_S = 5.0
"""How often the row of a source says how it is doing."""

_AWAY = (AMQPError, OSError, TimeoutError, Unavailable, RuntimeError)

log = structlog.get_logger()

Taker = Callable[[Sequence[Message]], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Served:
    """A source on a broker: where it is, and what is done with its messages in each mode."""

    name: str
    url: str
    road: QueueRoad
    takers: Mapping[Mode, Taker]
    ca_file: Path | None = None
    """Whom ``amqps`` believes."""


@dataclass(slots=True)
class _Running:
    way: tuple[Mode, Takes | None]
    consumer: SourceConsumer
    link: Link


class SourceKeeper:
    """Starts and stops consuming, as the table says; one process of all does."""

    def __init__(
        self,
        store: Store[Any],
        served: Sequence[Served],
        leads: Callable[[], Awaitable[bool]],
        clock: Clock,
        chance: Random,
        timing: Timing,
    ) -> None:
        self._store = store
        self._served = {one.name: one for one in served}
        self._leads = leads
        self._clock = clock
        self._chance = chance
        self._timing = timing
        self._running: dict[str, _Running] = {}
        self._noted_s: dict[str, float] = {}

    async def step(self) -> int:
        """Bring every source to its mode; nothing to be called again at once for."""
        if not await self._leads():
            await self.stop()
            return 0
        names = list(self._served)
        states = await self._store.read(lambda work: [work.sources.get(name) for name in names])
        for state in states:
            await self._keep(self._served[state.name], state)
        return 0

    async def stop(self) -> None:
        """Consume nothing any more; what was not acked comes again."""
        for name in list(self._running):
            await self._end(name)

    def is_up(self, name: str) -> bool:
        """Whether a source is connected, and what passes from now on is taken."""
        return name in self._running and self._running[name].link.is_up

    async def _keep(self, served: Served, state: SourceState) -> None:
        wanted = (state.mode, state.takes)
        running = self._running.get(served.name)
        if running is not None and running.way != wanted:
            await self._end(served.name)
            running = None
        if running is None and state.mode in served.takers:
            await self._begin(served, state)
        trouble = await self._way_back(served, state) if state.is_settling else None
        await self._note(served.name, state, trouble)

    async def _begin(self, served: Served, state: SourceState) -> None:
        way = Way.TAP if state.mode is not Mode.LIVE else Way(state.takes or Takes.ORIGINAL)
        taker = served.takers[state.mode]

        async def take(messages: Sequence[Message]) -> None:
            await taker(messages)

        consumer = SourceConsumer(
            served.name, served.road, way, take, self._store_is_there, self._timing
        )
        link = Link(
            served.url,
            f"source.{served.name}",
            consumer,
            self._clock,
            self._chance,
            self._timing,
            ca_file=served.ca_file,
        )
        consumer.link = link
        self._running[served.name] = _Running((state.mode, state.takes), consumer, link)
        await link.__aenter__()
        log.info("source.begun", channel=served.name, mode=state.mode)

    async def _end(self, name: str) -> None:
        running = self._running.pop(name)
        await running.link.__aexit__(None, None, None)
        log.info("source.ended", channel=name, mode=running.way[0])

    async def _store_is_there(self) -> None:
        await self._store.write(lambda work: work.wake("nobody"))

    async def _way_back(self, served: Served, state: SourceState) -> str | None:
        """Finish what we hold; why it is not at its end, if it is not."""
        live = served.takers[Mode.LIVE]
        try:
            if state.takes is Takes.COPIES:
                await forget_copies(served.url, served.name, self._timing, served.ca_file)
            else:
                await settle(served.url, served.road, live, self._timing, served.ca_file)
        except _AWAY as away:
            return said(away)
        await mark_settled(self._store, served.name, self._clock.now())
        log.info("source.settled", channel=served.name)
        return None

    async def _note(self, name: str, state: SourceState, trouble: str | None) -> None:
        running = self._running.get(name)
        if running is not None and not running.link.is_up:
            trouble = running.link.state.last_error or say.CONNECTING()
        due = monotonic() - self._noted_s.get(name, float("-inf")) >= NOTE_S
        if not due and trouble == state.trouble:
            return
        last_at = None
        now = self._clock.now()
        if running is not None and running.consumer.last_s is not None:
            last_at = now
            running.consumer.last_s = None
        self._noted_s[name] = monotonic()
        try:
            await self._store.write(
                lambda work: work.sources.look_after(name, now, last_at, trouble)
            )
        except OrderkeepError:
            return  # It is said again in a moment.
