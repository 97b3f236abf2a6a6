"""The transport as a whole: one producer, one member of the group that reads."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Self

from orderkeep.adapters.embedded import EmbeddedWork
from orderkeep.adapters.kafka.address import USUAL, Timing
from orderkeep.adapters.kafka.consumer import Fetcher
from orderkeep.adapters.kafka.publisher import Publisher
from orderkeep.adapters.kafka.pulse import KafkaState, Pulse
from orderkeep.delivery.envelope import Envelope
from orderkeep.delivery.ports import Tried
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.store import Store
from orderkeep.observe.traffic import Traffic


class KafkaTransport:
    """Implements ``delivery.ports.Transport``; open from ``async with`` to its end.

    The cluster need not be there: opening never waits for it. ``back`` is called whenever envelopes
    can be published again.
    """

    def __init__(
        self,
        url: str,
        store: Store[EmbeddedWork],
        routes: Mapping[str, Sequence[str]],
        clock: Clock,
        *,
        timing: Timing = USUAL,
        back: Callable[[], None] = lambda: None,
    ) -> None:
        self.traffic = Traffic()
        self._back = back
        self._opened = False
        publishing = Pulse("publish", clock, up=self._up)
        self._publisher = Publisher(url, clock, self.traffic, timing, publishing)
        self._fetcher = Fetcher(
            url, store, routes, clock, self.traffic, timing, Pulse("consume", clock)
        )

    async def __aenter__(self) -> Self:
        self._opened = True
        self._loop = asyncio.get_running_loop()
        self._publisher.open()
        self._fetcher.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._fetcher.close()
        await self._publisher.close()

    def _up(self) -> None:
        self._loop.call_soon_threadsafe(self._back)  # Called from the producer's thread.

    async def publish(self, envelopes: Sequence[Envelope]) -> Sequence[Tried]:
        """Carry envelopes; true is what all in-sync replicas have.

        Raises:
            TransportAway: nothing can be carried now.
        """
        return await self._publisher.publish(envelopes)

    async def is_quiet(self) -> bool:
        """Whether everything that the cluster holds for us has been received, by whomever."""
        return await self._fetcher.is_empty()

    @property
    def is_resting(self) -> bool:
        """Whether nothing is fetched because the store is away."""
        return self._fetcher.is_resting

    def drift(self) -> list[str]:
        """What was not as it should be at the cluster when we last connected; in sentences."""
        return list(self._publisher.pulse.drift)

    def state(self) -> dict[str, KafkaState]:
        """How each client is just now, by name; none where this process opens none."""
        if not self._opened:
            return {}
        return {"publish": self._publisher.pulse.state, "consume": self._fetcher.pulse.state}
