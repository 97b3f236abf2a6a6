"""One trouble of the broker after the other, at random, while envelopes keep coming in."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from orderkeep.adapters.rabbitmq.topology import EXCHANGE, UNROUTABLE, inbox_queue
from orderkeep.testing.amqp_road import CONSUMERS, Road, admin, road, sweep
from orderkeep.testing.rabbitmq_node import RabbitNode

LONG = bool(os.environ.get("ORDERKEEP_ALL_FAULTS"))
SEEDS = range(1, 13) if LONG else [int(os.environ.get("ORDERKEEP_SEED", "1"))]
TROUBLES = 8 if LONG else 3

Trouble = Callable[[RabbitNode, Road], Awaitable[None]]


async def killed(node: RabbitNode, at: Road) -> None:
    await asyncio.to_thread(node.kill)
    await at.post(20)
    await asyncio.to_thread(node.start)


async def stopped(node: RabbitNode, at: Road) -> None:
    await asyncio.to_thread(node.ctl, "stop_app")
    await at.post(20)
    await asyncio.to_thread(node.ctl, "start_app")


async def hanging(node: RabbitNode, at: Road) -> None:
    node.pause()
    try:
        await at.post(20)
        await asyncio.sleep(3)
    finally:
        node.resume()


async def full(node: RabbitNode, at: Road) -> None:
    await asyncio.to_thread(node.ctl, "set_disk_free_limit", "900000GB")
    await at.post(20)
    await asyncio.to_thread(node.ctl, "set_disk_free_limit", "50MB")


async def cut(node: RabbitNode, at: Road) -> None:
    await asyncio.to_thread(node.ctl, "close_all_connections", "weather")


async def robbed_of_a_queue(node: RabbitNode, at: Road) -> None:
    async with admin(node.url) as harm:
        await harm.queue_delete(at.chance.choice([UNROUTABLE, *map(inbox_queue, CONSUMERS)]))


async def robbed_of_its_exchange(node: RabbitNode, at: Road) -> None:
    async with admin(node.url) as harm:
        await harm.exchange_delete(EXCHANGE)


async def without_a_store(node: RabbitNode, at: Road) -> None:
    at.shelf.away = True
    await at.post(20)
    await asyncio.sleep(1)
    at.shelf.away = False


USUAL: tuple[Trouble, ...] = (
    stopped,
    hanging,
    full,
    cut,
    robbed_of_a_queue,
    robbed_of_its_exchange,
    without_a_store,
)
# A node that is killed needs its queues to be older than some seconds: see the guide.
ALL = (*USUAL, killed) if LONG else USUAL


@pytest.fixture(scope="module")
def node() -> Iterator[RabbitNode]:
    with RabbitNode(plugins=()) as running:
        yield running


@pytest.mark.parametrize("seed", SEEDS)
async def test_whatever_the_weather_everything_arrives(
    node: RabbitNode, tmp_path: Path, seed: int
) -> None:
    await sweep(node.url)
    async with road(node.url, tmp_path, searched=True) as at:
        at.chance = Random(seed)
        await at.until_up()
        stop = asyncio.Event()
        rain = asyncio.create_task(posting(at, stop))
        for _ in range(TROUBLES):
            trouble = at.chance.choice(ALL)
            print(f"seed {seed}: {trouble.__name__}")  # noqa: T201  # Shown when it fails.
            if trouble is killed:
                await asyncio.sleep(6)
            await trouble(node, at)
            await asyncio.sleep(at.chance.random())
        stop.set()
        await rain

        # What a deleted queue held comes late, so the order of its envelopes may turn.
        await at.until(lambda: not at.unsent() and not at.missing(), 60)
        for consumer in CONSUMERS:
            assert sorted(at.arrived(consumer)) == sorted(at.meant_for(consumer))
        assert at.slowest_post_s < 2


async def posting(at: Road, stop: asyncio.Event) -> None:
    while not stop.is_set():
        await at.post(2)
        await asyncio.sleep(0.02)
