"""The doctor at a healthy RabbitMQ: three nodes, safe settings, careful programs; it is content."""

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import aio_pika
import pytest
from aio_pika.abc import AbstractIncomingMessage

from orderkeep.adapters.rabbitmq_management import RabbitManagement
from orderkeep.doctor.examine import Report, examine
from orderkeep.doctor.snapshot import Sample, Snapshot
from orderkeep.doctor.text import text
from orderkeep.testing.doctor_cases import (
    BETWEEN_QUESTIONS_S,
    QUORUM,
    SHOWN_WITHIN_S,
    Shop,
    message,
)
from orderkeep.testing.rabbitmq_node import RabbitNode

SAFE = {
    "dead-letter-exchange": "aside",
    "dead-letter-strategy": "at-least-once",
    "overflow": "reject-publish",
    "delivery-limit": 10,
}


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
    await shop.shown(f"queues/{shop.vhost}/orders", lambda queue: queue.get("policy") == "safe")
    await shop.put("users/shop", {"password": "shop", "tags": ""})
    rights = {"configure": "^$", "write": "^orders$", "read": "^orders$"}
    await shop.put(f"permissions/{shop.vhost}/shop", rights)


class Work:
    """A sender with confirms and returns, and a receiver that takes a few and acknowledges."""

    def __init__(self, node: RabbitNode, vhost: str) -> None:
        self._address = f"amqp://shop:shop@127.0.0.1:{node.port}/{vhost}"
        self.sent = 0

    async def run(self, until: asyncio.Event) -> None:
        """Go on until told otherwise."""
        async with await aio_pika.connect(self._address) as connection:
            sender = await connection.channel(publisher_confirms=True, on_return_raises=True)
            receiver = await connection.channel()
            await receiver.set_qos(prefetch_count=10)
            queue = await receiver.get_queue("orders", ensure=False)
            await queue.consume(_acknowledge)
            exchange = await sender.get_exchange("orders", ensure=False)
            while not until.is_set():
                await exchange.publish(message(), "", mandatory=True)
                self.sent += 1
                await asyncio.sleep(0.05)

    def shown(self, sample: Sample, sent: int) -> bool:
        """Whether the broker's counts, each as old as it likes, are all past this many messages."""
        exchange = next(one for one in sample.exchanges if one.name == "orders")
        acknowledged = [one.message_stats.ack for one in sample.channels if one.consumer_count]
        acknowledged += [one.message_stats.ack for one in sample.queues if one.name == "orders"]
        counts = [exchange.message_stats.publish_out, *acknowledged]
        return len(counts) == 3 and min(counts) > sent


async def _acknowledge(taken: AbstractIncomingMessage) -> None:
    await taken.ack()


async def sampled(broker: RabbitManagement, enough: Callable[[Sample], bool]) -> Sample:
    """The first sample that shows what was done.

    Raises:
        TimeoutError: none does.
    """
    async with asyncio.timeout(SHOWN_WITHIN_S):
        while True:
            sample = await asyncio.to_thread(broker.sample)
            if enough(sample):
                return sample
            await asyncio.sleep(BETWEEN_QUESTIONS_S)


async def looked(broker: RabbitManagement, first: Sample, second: Sample, seconds: float) -> Report:
    """The report of two samples, with the counters of all nodes that answer."""
    metrics, answered, _ = await asyncio.to_thread(broker.metrics, len(second.nodes))
    return examine(Snapshot(first, second, seconds, metrics, answered))


async def test_nothing_is_found_where_nothing_is_wrong(nodes: list[RabbitNode]) -> None:
    shop = Shop(nodes[0], "clean")
    await build(shop)
    await shop.leave()
    done = asyncio.Event()
    work = Work(nodes[1], shop.vhost)
    working = asyncio.create_task(work.run(done))

    urls = [node.metrics_url for node in nodes]
    with RabbitManagement(nodes[0].management_url, [shop.vhost], urls) as broker:
        first = await sampled(broker, lambda sample: work.shown(sample, 0))
        began, sent = time.monotonic(), work.sent
        second = await sampled(broker, lambda sample: work.shown(sample, sent))
        report = await looked(broker, first, second, time.monotonic() - began)
    done.set()
    await working

    assert report.findings == []
    assert (report.lost.total, report.lost.exact) == (0, True)
    assert report.unseen == []
    assert "No rule is broken" in text(report)
    assert [len(one.members) for one in second.queues] == [3, 3]


async def test_a_lost_node_is_found_and_nothing_else(nodes: list[RabbitNode]) -> None:
    shop = Shop(nodes[0], "one-lost")
    await build(shop)
    await shop.leave()
    urls = [node.metrics_url for node in nodes]
    nodes[2].kill()
    try:
        with RabbitManagement(nodes[0].management_url, [shop.vhost], urls) as broker:
            began = time.monotonic()
            first = await sampled(broker, _shows_the_loss)
            second = await asyncio.to_thread(broker.sample)
            report = await looked(broker, first, second, time.monotonic() - began)
    finally:
        nodes[2].start()

    assert {one.rule for one in report.findings} == {30}
    assert not report.harmful
    assert not report.lost.exact


def _shows_the_loss(sample: Sample) -> bool:
    return all(len(one.online) == 2 for one in sample.queues) and len(sample.queues) == 2
