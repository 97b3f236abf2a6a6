"""When what a queue handed out is acked: each ack is a write of the broker's, and may be shared."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from orderkeep.adapters.rabbitmq import taker
from orderkeep.adapters.rabbitmq.link import Timing
from orderkeep.adapters.rabbitmq.taker import ACK_AT_ONCE, Taker

DEADLINE_S = 30


@dataclass
class Delivery:
    delivery_tag: int
    body: bytes = b""


class Channel:
    """As much of a connection and its channel as a taker uses."""

    def __init__(self) -> None:
        self.close_callbacks: set[Any] = set()
        self.on_consumer_cancel_callbacks: set[Any] = set()
        self.acked = asyncio.Queue[int]()

    def channel(self, **_: Any) -> "Channel":
        return self

    async def initialize(self) -> None: ...

    async def get_underlay_channel(self) -> "Channel":
        return self

    async def basic_qos(self, **_: Any) -> None: ...

    async def basic_ack(self, tag: int, *, multiple: bool) -> None:
        assert multiple
        self.acked.put_nowait(tag)


class Keeping(Taker):
    """Keeps whatever arrives, and has time to ack it."""

    def __init__(self) -> None:
        super().__init__("bridge", Timing())
        self.kept = asyncio.Queue[int]()

    async def begin(self, channel: Any) -> None:
        await self._open(channel)

    async def deliver(self, tag: int) -> None:
        """Returning means that it is kept."""
        assert self._wire is not None
        await self._arrive(self._wire, Delivery(tag))
        async with asyncio.timeout(DEADLINE_S):
            await self.kept.get()

    async def _take(self, deliveries: Sequence[Any]) -> None:
        await self._ack_soon(deliveries)
        self.kept.put_nowait(deliveries[-1].delivery_tag)


@asynccontextmanager
async def keeping() -> AsyncIterator[tuple[Keeping, Channel]]:
    one, channel = Keeping(), Channel()
    await one.begin(channel)
    yield one, channel
    await one.move_out()


async def test_what_comes_in_a_moment_shares_one_ack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taker, "ACK_SOON_S", 3600.0)
    async with keeping() as (one, channel):
        for tag in range(1, ACK_AT_ONCE):
            await one.deliver(tag)
        before = channel.acked.qsize()
        await one.deliver(ACK_AT_ONCE)

    assert before == 0
    assert channel.acked.get_nowait() == ACK_AT_ONCE
    assert channel.acked.empty()


async def test_the_last_of_them_is_acked_though_nothing_follows() -> None:
    async with keeping() as (one, channel):
        await one.deliver(1)

        async with asyncio.timeout(DEADLINE_S):
            assert await channel.acked.get() == 1


async def test_what_is_not_acked_on_a_lost_connection_is_not_acked_on_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its tags mean nothing there, and the broker closes a channel that acks unknown ones."""
    monkeypatch.setattr(taker, "ACK_SOON_S", 3600.0)
    async with keeping() as (one, _):
        await one.deliver(ACK_AT_ONCE - 1)
        await one.move_out()
        following = Channel()
        await one.begin(following)
        await one.deliver(1)

        assert following.acked.empty()
        for tag in range(2, ACK_AT_ONCE + 1):
            await one.deliver(tag)
        assert following.acked.get_nowait() == ACK_AT_ONCE
