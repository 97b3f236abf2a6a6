"""The doctor at a healthy RabbitMQ: three nodes, safe settings, careful programs; it is content."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import aio_pika
import pytest
from aio_pika.abc import AbstractIncomingMessage

from orderkeep.adapters.rabbitmq_management import RabbitManagement
from orderkeep.doctor.examine import examine
from orderkeep.doctor.snapshot import Snapshot
from orderkeep.doctor.text import text
from orderkeep.testing.doctor_cases import QUORUM, Shop, message
from orderkeep.testing.rabbitmq_node import RabbitNode

SAFE = {
    "dead-letter-exchange": "aside",
    "dead-letter-strategy": "at-least-once",
    "overflow": "reject-publish",
    "delivery-limit": 10,
}
BETWEEN_S = 12.0
"""More than twice the 5 s after which a node counts anew: one count may come late."""


@pytest.fixture(scope="module")
def nodes() -> Iterator[list[RabbitNode]]:
    first = RabbitNode()
    three = [first, RabbitNode(beside=first), RabbitNode(beside=first)]
    with ExitStack() as stack, ThreadPoolExecutor(3) as pool:
        for node in three:
            stack.callback(node.remove)
        first.start_names()
        list(pool.map(RabbitNode.start, three))
        for node in three[1:]:
            node.join(first)
        yield three


async def build(shop: Shop) -> None:
    """Queues, exchanges, a policy and a program's own user, as they should be."""
    await shop.open()
    for name in ("orders", "aside"):
        channel = await shop.channel()
        exchange = await channel.declare_exchange(name, "fanout", durable=True)
        queue = await channel.declare_queue(name, durable=True, arguments=QUORUM)
        await queue.bind(exchange)
    body = {"pattern": "^orders$", "priority": 1, "definition": SAFE, "apply-to": "queues"}
    await shop.put(f"policies/{shop.vhost}/safe", body)
    await shop.put("users/shop", {"password": "shop", "tags": ""})
    rights = {"configure": "^$", "write": "^orders$", "read": "^orders$"}
    await shop.put(f"permissions/{shop.vhost}/shop", rights)


async def work(node: RabbitNode, vhost: str, until: asyncio.Event) -> None:
    """A sender with confirms and returns, and a receiver that takes a few and acknowledges."""
    connection = await aio_pika.connect(f"amqp://shop:shop@127.0.0.1:{node.port}/{vhost}")
    async with connection:
        sender = await connection.channel(publisher_confirms=True, on_return_raises=True)
        receiver = await connection.channel()
        await receiver.set_qos(prefetch_count=10)
        queue = await receiver.get_queue("orders", ensure=False)
        await queue.consume(_acknowledge)
        exchange = await sender.get_exchange("orders", ensure=False)
        while not until.is_set():
            await exchange.publish(message(), "", mandatory=True)
            await asyncio.sleep(0.05)


async def _acknowledge(taken: AbstractIncomingMessage) -> None:
    await taken.ack()


async def look(node: RabbitNode, vhost: str, metrics_urls: list[str]) -> Snapshot:
    """Two samples, as the command takes them."""
    with RabbitManagement(node.management_url, [vhost], metrics_urls) as broker:
        first = await asyncio.to_thread(broker.sample)
        await asyncio.sleep(BETWEEN_S)
        second = await asyncio.to_thread(broker.sample)
        metrics, answered, _ = await asyncio.to_thread(broker.metrics, len(second.nodes))
    return Snapshot(first, second, BETWEEN_S, metrics, answered)


async def test_nothing_is_found_where_nothing_is_wrong(nodes: list[RabbitNode]) -> None:
    shop = Shop(nodes[0], "clean")
    await build(shop)
    done = asyncio.Event()
    working = asyncio.create_task(work(nodes[1], shop.vhost, done))
    await shop.counted()
    await shop.close()

    snapshot = await look(nodes[0], shop.vhost, [node.metrics_url for node in nodes])
    done.set()
    await working

    report = examine(snapshot)
    assert report.findings == []
    assert (report.lost.total, report.lost.exact) == (0, True)
    assert report.unseen == []
    assert "No rule is broken" in text(report)
    assert [len(one.members) for one in snapshot.second.queues] == [3, 3]
    assert max(one.message_stats.ack for one in snapshot.second.queues) > 0


async def test_a_lost_node_is_found_and_nothing_else(nodes: list[RabbitNode]) -> None:
    shop = Shop(nodes[0], "one-lost")
    await build(shop)
    await shop.close()
    nodes[2].kill()
    try:
        snapshot = await look(nodes[0], shop.vhost, [node.metrics_url for node in nodes])
    finally:
        nodes[2].start()

    report = examine(snapshot)
    assert {one.rule for one in report.findings} == {30}
    assert not report.harmful
    assert not report.lost.exact
