"""Large messages from a real RabbitMQ: what is held in memory of them has a bound in bytes."""

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import pytest
from pamqp.commands import Basic

from orderkeep.adapters.rabbitmq.link import Link
from orderkeep.adapters.rabbitmq.source import SourceConsumer, Way
from orderkeep.adapters.rabbitmq.taker import MOST_BYTES, PREFETCH
from orderkeep.intake.mapping import Message
from orderkeep.intake.roads import QueueRoad
from orderkeep.kernel.clock import SystemClock
from orderkeep.testing.amqp_road import QUICK, admin
from orderkeep.testing.rabbitmq_node import RabbitNode

LARGE = 2 * 1024 * 1024
NUMBER = 60
LASTING = Basic.Properties(delivery_mode=2)
ROAD = QueueRoad("amq.direct", ("large",), "large")


@pytest.fixture(scope="module")
def node() -> Iterator[RabbitNode]:
    with RabbitNode(plugins=()) as running:
        yield running


class Slow:
    """Keeps messages, once it is let."""

    def __init__(self) -> None:
        self.goes = asyncio.Event()
        self.kept: list[int] = []

    async def take(self, messages: Sequence[Message]) -> None:
        await self.goes.wait()
        self.kept += [int.from_bytes(one.body[:4]) for one in messages]

    async def ready(self) -> None: ...


async def until_nothing_grows() -> int:
    """Bytes that are held at most, once what is on its way has come."""
    before, still, most = 0, 0, 0
    async with asyncio.timeout(120):
        # Nothing tells that nothing happens any more; what has not filled its bound is on its way.
        while still < 20 or most < MOST_BYTES:
            await asyncio.sleep(0.1)
            now, most = tracemalloc.get_traced_memory()
            still, before = (still + 1, before) if now < before + LARGE // 8 else (0, now)
    return most


@asynccontextmanager
async def taking(url: str, slow: Slow) -> AsyncIterator[Any]:
    """A queue of large messages, and somebody who has begun to take them."""
    one = SourceConsumer("large", ROAD, Way.ORIGINAL, slow.take, slow.ready, QUICK)
    async with admin(url) as channel:
        await channel.queue_declare("large", durable=True)
        for n in range(NUMBER):
            body = n.to_bytes(4) + bytes(LARGE)
            await channel.basic_publish(body, routing_key="large", properties=LASTING)
        async with Link(url, "large", one, SystemClock(), Random(7), QUICK) as one.link:
            yield channel


async def until_all_is_kept(slow: Slow) -> None:
    async with asyncio.timeout(120):
        while len({*slow.kept}) < NUMBER:  # noqa: ASYNC110  # A queue rings no bell for a test.
            await asyncio.sleep(0.05)


async def left(url: str) -> int:
    """Messages at the broker, when nobody holds any."""
    async with admin(url) as channel:
        found = await channel.queue_delete("large")
    return int(found.message_count)


async def test_large_messages_wait_at_the_broker_and_each_comes_once(node: RabbitNode) -> None:
    """Only their number was bounded: 200 of the largest that a broker carries were many GiB."""
    assert NUMBER < PREFETCH
    assert MOST_BYTES < NUMBER * LARGE // 4
    slow = Slow()
    tracemalloc.start()
    async with taking(node.url, slow):
        tracemalloc.reset_peak()
        held = await until_nothing_grows()
        tracemalloc.stop()
        slow.goes.set()
        await until_all_is_kept(slow)

    assert MOST_BYTES <= held < MOST_BYTES + 5 * LARGE
    assert slow.kept == list(range(NUMBER))
    assert await left(node.url) == 0


async def test_a_connection_lost_while_nothing_is_read_loses_no_message(node: RabbitNode) -> None:
    slow = Slow()
    tracemalloc.start()
    async with taking(node.url, slow):
        await until_nothing_grows()
        tracemalloc.stop()
        await asyncio.to_thread(node.kill)
        await asyncio.to_thread(node.start)
        slow.goes.set()
        await until_all_is_kept(slow)

    assert {*slow.kept} == {*range(NUMBER)}
    assert await left(node.url) == 0
