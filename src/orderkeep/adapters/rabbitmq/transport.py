"""The transport as a whole: a connection to publish on, another to consume on.

Two, because a broker in need blocks the connections that publish to it, with all that is on them.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from random import Random
from types import TracebackType
from typing import Self

from orderkeep.adapters.rabbitmq.consumer import Consumers, ConsumerWork
from orderkeep.adapters.rabbitmq.link import Link, LinkState, Timing
from orderkeep.adapters.rabbitmq.publisher import Publisher
from orderkeep.delivery.envelope import Envelope
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.store import Store
from orderkeep.observe.traffic import Traffic

USUAL = Timing()


class RabbitTransport:
    """Implements ``delivery.ports.Transport``; open from ``async with`` to its end.

    The broker need not be there: opening never waits for it. ``back`` is called whenever envelopes
    can be published again.
    """

    def __init__(
        self,
        url: str,
        store: Store[ConsumerWork],
        routes: Mapping[str, Sequence[str]],
        clock: Clock,
        chance: Random,
        *,
        timing: Timing = USUAL,
        max_length: int | None = None,
        back: Callable[[], None] = lambda: None,
    ) -> None:
        self.traffic = Traffic()
        self._publisher = Publisher(routes, self.traffic, timing, max_length)
        self._consumers = Consumers(store, routes, clock, self.traffic, timing, max_length)
        publishing = Link(url, "publish", self._publisher, clock, chance, timing, up=back)
        consuming = Link(url, "consume", self._consumers, clock, chance, timing)
        self._publisher.link, self._consumers.link = publishing, consuming
        self._links = (publishing, consuming)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
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

    async def publish(self, envelopes: Sequence[Envelope]) -> Sequence[bool]:
        """Carry envelopes; True means the broker has that one on disk for all its consumers.

        Raises:
            TransportAway: nothing can be carried now.
        """
        return await self._publisher.publish(envelopes)

    def is_quiet(self) -> bool:
        """Whether everything that the broker holds for us has been received, as far as we see."""
        return self._consumers.is_quiet

    def state(self) -> dict[str, LinkState]:
        """How each connection is just now, by name."""
        return {link.name: link.state for link in self._links}
