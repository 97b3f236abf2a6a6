"""What the broker gives up on, seen on a real one."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aio_pika
import pytest

from orderkeep.adapters.rabbitmq.topology import inbox_queue
from orderkeep.observe.traffic import Passed
from orderkeep.testing.amqp_road import admin, road, sweep
from orderkeep.testing.rabbitmq_node import RabbitNode

ANSWERS_WITHIN_S = 120


@pytest.fixture(scope="module")
def node() -> Iterator[RabbitNode]:
    with RabbitNode(plugins=()) as running:
        yield running


@pytest.fixture
def url(node: RabbitNode) -> str:
    asyncio.run(sweep(node.url))
    return node.url


async def publish_raw(channel: Any, body: bytes, headers: dict[str, Any], id_: str) -> None:
    packed = aio_pika.Message(body, headers=headers, message_id=id_)
    await channel.basic_publish(
        body, routing_key=inbox_queue("bridge"), properties=packed.properties
    )


async def test_what_the_broker_gives_up_on_becomes_a_dead_letter_with_its_reason(
    url: str, tmp_path: Path
) -> None:
    """In the queue of dead letters it lay where nobody looked."""
    async with road(url, tmp_path) as at:
        await at.until_up()
        at.shelf.away = True  # nobody empties the queues
        await at.post(2)
        await at.until(lambda: not at.unsent())
        await at.until(lambda: not at.transport.state()["consume.bridge"].connected_since)
        async with admin(url) as harm:
            await publish_raw(harm, b"rubbish", {}, "x")
            await refuse(harm, inbox_queue("bridge"), 3)

        at.shelf.away = False

        await at.until(lambda: len(at.ask("SELECT 1 FROM inbox WHERE dead_at IS NOT NULL")) == 2)
        await at.until(lambda: bool(at.ask("SELECT 1 FROM quarantine")))
        why = "dead letter of the broker: rejected in orderkeep.inbox.bridge"
        assert at.ask("SELECT DISTINCT consumer, why FROM inbox WHERE dead_at IS NOT NULL") == [
            ("bridge", why)
        ]
        [(aside,)] = at.ask("SELECT why FROM quarantine")
        assert aside.startswith(f"{why}; not an envelope")
        await at.until(lambda: at.transport.traffic.total(Passed.BURIED) == 2)


async def refuse(channel: Any, queue: str, number: int) -> None:
    """Take messages and say that they are not wanted."""
    taken: asyncio.Queue[Any] = asyncio.Queue()
    told = await channel.basic_consume(queue, taken.put)
    for _ in range(number):
        async with asyncio.timeout(ANSWERS_WITHIN_S):
            one = await taken.get()
        await channel.basic_nack(one.delivery.delivery_tag, requeue=False)
    await channel.basic_cancel(told.consumer_tag)
