"""Published is consumed, parked or under way: our rows against the broker's own books."""

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import aio_pika
import pytest

from orderkeep.adapters.rabbitmq.declare import prepare
from orderkeep.adapters.rabbitmq.topology import inbox_queue
from orderkeep.adapters.rabbitmq.watch import BrokerWatch
from orderkeep.adapters.rabbitmq_management import RabbitManagement
from orderkeep.adapters.sql.tally import tally
from orderkeep.delivery.tally import Between, BrokerBooks, Tally, differences, missing
from orderkeep.kernel.clock import SystemClock
from orderkeep.observe.traffic import Passed
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


async def counted(at: Road, late: datetime | None = None) -> Tally:
    """All that is under way the broker has to hold; unless said otherwise it is overdue, too."""
    now = SystemClock().now() + timedelta(seconds=1)
    seen = Between(now, now)  # its numbers are waited for, so we need not allow for their age
    return await at.store.read(lambda work: tally(work, ROUTES, 10_000, late or now, seen))


def ours(at: Road, what: Passed) -> int:
    """What we have counted ourselves."""
    return sum(number for name, _, number in at.transport.traffic.rows() if name == what)


def since(began: BrokerBooks, now: BrokerBooks) -> dict[str, int]:
    """How far the broker's own counters have come."""
    names = ("confirmed", "returned", "delivered", "acked", "redelivered")
    return {name: getattr(now, name) - getattr(began, name) for name in names}


async def books(watch: BrokerWatch) -> BrokerBooks:
    await watch.step()
    assert watch.books is not None
    return watch.books


async def test_every_message_is_counted_once_here_and_once_at_the_broker(
    node: RabbitNode, watch: BrokerWatch, tmp_path: Path
) -> None:
    async with road(node.url, tmp_path) as at:
        await at.until_up()
        began = await books(watch)
        before = began.published
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
        async with asyncio.timeout(120):
            while (await books(watch)).published - before < tries:
                pass
        told = await books(watch)
        assert told.published - before == tries
        # Each of its own counters beside what we have counted on both ends.
        async with asyncio.timeout(120):
            while since(began, told := await books(watch)) != {
                "confirmed": ours(at, Passed.CONFIRMED),
                "returned": ours(at, Passed.RETURNED),
                "delivered": ours(at, Passed.DELIVERED),
                "acked": ours(at, Passed.DELIVERED),
                "redelivered": ours(at, Passed.REDELIVERED),
            }:
                pass
        assert told.confirmed - began.confirmed == tries
        assert since(began, told)["delivered"] == sum(len(at.meant_for(one)) for one in CONSUMERS)


async def test_what_a_deleted_queue_held_is_named_by_its_orders(
    node: RabbitNode, watch: BrokerWatch, tmp_path: Path
) -> None:
    async with road(node.url, tmp_path) as at:
        await at.until_up()
        at.shelf.hold()  # nobody empties the queues
        await at.post(21)
        await at.until(lambda: not at.unsent())
        async with asyncio.timeout(120):
            while differences(await counted(at), await books(watch)):
                pass  # until the broker has counted what it holds
        for consumer in CONSUMERS:
            async with admin(node.url) as harm:
                await harm.queue_delete(inbox_queue(consumer))

        async with asyncio.timeout(120):
            while not (told := differences(await counted(at), await books(watch))):
                pass

        nowhere = "or more messages are neither here nor at the broker, which holds 0"
        assert [f"bridge: 21 {nowhere}", f"floor: 7 {nowhere}"] == [
            one.partition(";")[0] for one in told
        ]
        assert "order-0" in told[0]
        named = {one.order_key for one in missing(await counted(at), await books(watch))}
        assert named == {one.order_key for one in at.posted}
        at.shelf.let_go()


async def made_anew(url: str) -> None:
    """Have everything there that has to be, as the next process to start would."""
    async with await aio_pika.connect(url) as connection:
        await prepare(connection, ROUTES, seconds=10)


async def test_a_loss_is_named_beside_as_many_others_that_wait(
    node: RabbitNode, watch: BrokerWatch, tmp_path: Path
) -> None:
    async with road(node.url, tmp_path) as at:
        await at.until_up()
        at.shelf.hold()  # nobody empties the queues
        await at.post(21)
        await at.until(lambda: not at.unsent())
        async with admin(node.url) as harm:
            await harm.queue_delete(inbox_queue("bridge"))
        await made_anew(node.url)
        lost, now = {one.id for one in at.posted}, SystemClock().now()
        await at.post(21)  # lie there in their place
        await at.until(lambda: not at.unsent())
        async with asyncio.timeout(120):
            while (await books(watch)).held != {"bridge": 21, "floor": 14}:
                pass

        found, told = await counted(at, late=now), await books(watch)

        assert differences(found, told)[0].startswith("bridge: 21 or more messages are neither")
        assert {one.id for one in missing(found, told)} == lost
        at.shelf.let_go()


async def test_a_broker_that_starts_again_is_not_accused_of_what_it_has_not_counted_yet(
    node: RabbitNode, watch: BrokerWatch, tmp_path: Path
) -> None:
    async with road(node.url, tmp_path) as at:
        await at.until_up()
        at.shelf.hold()  # nobody empties the queues
        await at.post(21)
        await at.until(lambda: not at.unsent())
        for step in ("stop_app", "start_app"):
            await asyncio.to_thread(node.ctl, step)

        async with asyncio.timeout(120):
            while watch.books is None or watch.books.held != {"bridge": 21, "floor": 7}:
                await watch.step()
                assert differences(await counted(at), watch.books) == []
        at.shelf.let_go()
