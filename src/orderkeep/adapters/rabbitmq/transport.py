"""The transport as a whole: a connection to publish on, and one for every queue to consume from.

A broker in need blocks the connections that publish to it, with all that is on them; and a queue
that hangs lets the connection hang on which it was asked for.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Self

from orderkeep.adapters.rabbitmq.consumer import Consumer, places
from orderkeep.adapters.rabbitmq.differences import Difference
from orderkeep.adapters.rabbitmq.keep import KeepWork
from orderkeep.adapters.rabbitmq.link import Link, LinkState, Timing
from orderkeep.adapters.rabbitmq.publisher import Publisher
from orderkeep.delivery.envelope import Envelope
from orderkeep.delivery.ports import Keeper, Tried
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.store import Store
from orderkeep.observe.traffic import Traffic

USUAL = Timing()


class RabbitTransport:
    """Implements ``delivery.ports.Transport``; open from ``async with`` to its end.

    The broker need not be there: opening never waits for it. ``back`` is called whenever envelopes
    can be published again.
    """

    def __init__(  # noqa: PLR0913  # Everything passed in, by name.
        self,
        url: str,
        store: Store[KeepWork],
        routes: Mapping[str, Sequence[str]],
        clock: Clock,
        chance: Random,
        *,
        ca_file: Path | None = None,
        timing: Timing = USUAL,
        max_length: int | None = None,
        back: Callable[[], None] = lambda: None,
    ) -> None:
        self.traffic = Traffic()
        turns = asyncio.Lock()
        self._publisher = Publisher(routes, clock, self.traffic, timing, max_length, turns)
        link = partial(Link, ca_file=ca_file)
        publishing = link(url, "publish", self._publisher, clock, chance, timing, up=back)
        self._publisher.link = publishing
        self._consumers = [
            Consumer(place, store, routes, clock, self.traffic, timing, max_length, turns)
            for place in places(routes)
        ]
        for one in self._consumers:
            one.link = link(url, f"consume.{one.place.name}", one, clock, chance, timing)
        consuming = [one.link for one in self._consumers if one.link]
        self._links: tuple[Link, ...] = (publishing, *consuming)
        self._seen: Sequence[Difference] = ()
        self._stack = AsyncExitStack()
        self._opened = False

    def hand_over(self, keepers: Mapping[str, Keeper], *, alone: bool) -> None:
        """Have consumers' envelopes handled where they are kept; see ``delivery.ports``."""
        for one in self._consumers:
            if one.place.is_inbox:
                one.keeper = keepers.get(one.place.name)
                one.consumes = one.keeper is not None
        if alone:
            self._consumers = [one for one in self._consumers if one.keeper]
            self._links = tuple(one.link for one in self._consumers if one.link)

    async def __aenter__(self) -> Self:
        self._opened = True
        for link in self._links:
            await self._stack.enter_async_context(link)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def publish(self, envelopes: Sequence[Envelope]) -> Sequence[Tried]:
        """Carry envelopes; true is what the broker has on disk for all its consumers.

        Raises:
            TransportAway: nothing can be carried now.
        """
        return await self._publisher.publish(envelopes)

    async def is_quiet(self) -> bool:
        """Whether everything that the broker holds for us has been received, by whomever.

        It is asked for each queue: of several processes one receives, and the others hear nothing.
        """
        for one in self._consumers:
            if not await one.is_empty():
                return False
        return True

    def drift(self) -> list[str]:
        """What was different at the broker, or missing, when we last connected; in sentences."""
        told = dict.fromkeys(self._publisher.drift)
        for one in self._consumers:
            told |= dict.fromkeys(one.drift)
        return list(told | dict.fromkeys(map(str, self._seen)))

    def see(self, found: Sequence[Difference]) -> None:
        """What somebody who looked at the broker from outside has found different."""
        self._seen = found

    def state(self) -> dict[str, LinkState]:
        """How each connection is just now, by name; none where this process opens none.

        An office apart from the relay builds its transport and never opens it: an alert on what it
        would say of its connections would be false.
        """
        if not self._opened:
            return {}
        return {link.name: link.state for link in self._links}
