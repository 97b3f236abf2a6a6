"""Published is consumed, parked or under way: our rows against the broker's own books."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from orderkeep.adapters.rabbitmq.topology import inbox_queue
from orderkeep.adapters.rabbitmq.watch import BrokerWatch
from orderkeep.adapters.rabbitmq_management import RabbitManagement
from orderkeep.adapters.sql.tally import tally
from orderkeep.delivery.tally import BrokerBooks, Tally, differences
from orderkeep.kernel.clock import SystemClock
from orderkeep.testing.amqp_road import CONSUMERS, ROUTES, Road, admin, road, sweep
from orderkeep.testing.rabbitmq_node import RabbitNode


@pytest.fixture(scope="module")
def node() -> Iterator[RabbitNode]:
    with RabbitNode() as running:
        yield running


@pytest.fixture
def watch(node: RabbitNode) -> Iterator[BrokerWatch]:
    asyncio.run(sweep(node.url))
    with RabbitManagement(node.management_url) as management:
        yield BrokerWatch(management.sample, ROUTES, "/", lambda _: None)


async def counted(at: Road) -> Tally:
    now = SystemClock().now() + timedelta(seconds=1)  # all that is under way is overdue
    return await at.store.read(lambda work: tally(work, ROUTES, 10_000, now))


async def books(watch: BrokerWatch) -> BrokerBooks:
    await watch.step()
    assert watch.books is not None
    return watch.books


async def test_every_message_is_counted_once_here_and_once_at_the_broker(
    node: RabbitNode, watch: BrokerWatch, tmp_path: Path
) -> None:
    async with road(node.url, tmp_path) as at:
        await at.until_up()
        before = (await books(watch)).published
        await at.post(60)
        await at.until_all_is_there()
        for row in range(1, 11):
            await at.store.write(
                lambda work, row=row: work.inbox.handled(row, SystemClock().now())  # type: ignore[misc]  # Its row, not the last.
            )
        await at.store.write(lambda work: work.inbox.park(11, SystemClock().now(), "for good"))

        found = await counted(at)

        assert [one.published for one in found.flows] == [
            len(at.meant_for(name)) for name in CONSUMERS
        ]
        assert sum(one.handled for one in found.flows) == 10
        assert sum(one.parked for one in found.flows) == 1
        assert [one.under_way for one in found.flows] == [0, 0]
        assert differences(found, await books(watch)) == []
        # Its counts come with its next sample; each try of ours has to be among them, and no more.
        [(tries,)] = at.ask("SELECT sum(tries) FROM outbox")
        async with asyncio.timeout(30):
            while (await books(watch)).published - before < tries:
                pass
        assert (await books(watch)).published - before == tries


async def test_what_a_deleted_queue_held_is_named_by_its_orders(
    node: RabbitNode, watch: BrokerWatch, tmp_path: Path
) -> None:
    async with road(node.url, tmp_path) as at:
        await at.until_up()
        at.shelf.hold()  # nobody empties the queues
        await at.post(21)
        await at.until(lambda: not at.unsent())
        async with asyncio.timeout(30):
            while differences(await counted(at), await books(watch)):
                pass  # until the broker has counted what it holds
        for consumer in CONSUMERS:
            async with admin(node.url) as harm:
                await harm.queue_delete(inbox_queue(consumer))

        async with asyncio.timeout(30):
            while not (told := differences(await counted(at), await books(watch))):
                pass

        assert "21 messages are neither here nor at the broker, which holds 0" in told[0]
        assert "order-0" in told[0]
        at.shelf.let_go()
