"""A RabbitMQ that breaks in every way: it costs delay and nothing else."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import aio_pika
import msgspec
import pytest

from orderkeep.adapters.rabbitmq.declare import declare, drift
from orderkeep.adapters.rabbitmq.link import Link
from orderkeep.adapters.rabbitmq.taker import PREFETCH
from orderkeep.adapters.rabbitmq.topology import (
    EXCHANGE,
    UNROUTABLE,
    dead_queue,
    inbox_queue,
    topology,
)
from orderkeep.adapters.rabbitmq.transport import RabbitTransport
from orderkeep.delivery.search import Search
from orderkeep.kernel.clock import SystemClock
from orderkeep.observe.traffic import Passed
from orderkeep.testing.amqp_road import (
    CONSUMERS,
    QUICK,
    ROUTES,
    Road,
    admin,
    an_envelope,
    road,
    sweep,
)
from orderkeep.testing.rabbitmq_node import RabbitNode

POST_BOUND_S = 2.0
"""Saving an envelope while the broker is in trouble: the disk's time on a busy machine, no more."""


@pytest.fixture(scope="module")
def node() -> Iterator[RabbitNode]:
    with RabbitNode(plugins=()) as running:
        yield running


@pytest.fixture
def url(node: RabbitNode) -> str:
    asyncio.run(sweep(node.url))
    return node.url


@asynccontextmanager
async def flowing(url: str, folder: Path, *, max_length: int | None = None) -> AsyncIterator[Road]:
    """A road on which the first envelopes have arrived; nothing may be lost on it by its end."""
    async with road(url, folder, max_length=max_length) as opened:
        await opened.until_up()
        await opened.post(30)
        await opened.until_all_is_there()
        yield opened
        await opened.post(10)
        await opened.until_all_is_there()
        assert opened.slowest_post_s < POST_BOUND_S
        assert opened.ask("SELECT * FROM quarantine") == []
        assert_balanced(opened)


def assert_balanced(at: Road) -> None:
    """Every publishing has one outcome, and every delivery is accounted for."""
    total = at.transport.traffic.total
    ends = (Passed.CONFIRMED, Passed.RETURNED, Passed.NACKED, Passed.UNCONFIRMED)
    assert total(Passed.PUBLISHED) == sum(map(total, ends))
    kept = (Passed.RECEIVED, Passed.DUPLICATES, Passed.QUARANTINED)
    counts = {(what, place): number for what, place, number in at.transport.traffic.rows()}
    for place in CONSUMERS:
        kept_here = sum(counts.get((what, place), 0) for what in kept)
        assert kept_here <= counts[Passed.DELIVERED, place]


async def test_a_broker_that_is_killed_costs_delay_only(
    node: RabbitNode, url: str, tmp_path: Path
) -> None:
    async with flowing(url, tmp_path) as at:
        # RabbitMQ 3.10 forgets a quorum queue if it is killed within seconds of its making.
        await asyncio.sleep(5)
        posting = asyncio.create_task(at.post(200))
        await asyncio.sleep(0.05)
        await asyncio.to_thread(node.kill)
        await posting
        await at.post(50)
        assert at.unsent() >= 50  # nothing pretends to have been carried

        await asyncio.to_thread(node.start)

        await at.until_all_is_there()


async def test_a_broker_that_hangs_and_then_dies_takes_nothing_with_it(
    node: RabbitNode, url: str, tmp_path: Path
) -> None:
    """What was written to it without an answer is lost: only a confirm counts as carried."""
    async with flowing(url, tmp_path) as at:
        await asyncio.sleep(5)  # for the same reason
        node.pause()
        await at.post(50)
        await at.until(lambda: at.transport.traffic.total(Passed.UNCONFIRMED) > 0)
        await asyncio.to_thread(node.kill)
        await asyncio.to_thread(node.start)

        await at.until_all_is_there()


async def test_a_broker_application_that_stops_and_starts_costs_delay_only(
    node: RabbitNode, url: str, tmp_path: Path
) -> None:
    async with flowing(url, tmp_path) as at:
        stopping = asyncio.create_task(asyncio.to_thread(node.ctl, "stop_app"))
        while not stopping.done():
            await at.post(5)
            await asyncio.sleep(0.02)
        await at.post(50)

        await asyncio.to_thread(node.ctl, "start_app")

        await at.until_all_is_there()


ALARMS = {
    "disk": (("set_disk_free_limit", "900000GB"), ("set_disk_free_limit", "50MB")),
    "memory": (
        ("set_vm_memory_high_watermark", "absolute", "1MB"),
        ("set_vm_memory_high_watermark", "0.8"),
    ),
}


@pytest.mark.parametrize("alarm", ALARMS)
async def test_an_alarm_of_the_broker_is_seen_and_costs_delay_only(
    node: RabbitNode, url: str, tmp_path: Path, alarm: str
) -> None:
    raised, cleared = ALARMS[alarm]
    async with flowing(url, tmp_path) as at:
        await asyncio.to_thread(node.ctl, *raised)
        try:
            await at.post(50)
            await at.until(lambda: at.transport.state()["publish"].blocked)
            assert at.unsent()
        finally:
            await asyncio.to_thread(node.ctl, *cleared)

        await at.until_all_is_there()

        assert not at.transport.state()["publish"].blocked


async def test_a_broker_that_hangs_costs_delay_only(
    node: RabbitNode, url: str, tmp_path: Path
) -> None:
    async with flowing(url, tmp_path) as at:
        node.pause()
        try:
            await at.post(100)
            # Nothing says good-bye: only our own deadlines tell.
            await at.until(lambda: at.transport.state()["publish"].connected_since is None)
            await at.post(50)
            await asyncio.sleep(QUICK.connect + 1)  # a handshake that never ends, at least once
        finally:
            node.resume()

        await at.until_all_is_there()


async def test_a_broker_that_never_answers_holds_nothing_up(tmp_path: Path) -> None:
    """TCP is taken, and nobody says a word: neither posting nor closing waits for that."""
    held = []

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)
        await reader.read()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    timing = msgspec.structs.replace(QUICK, connect=0.3)
    async with road(f"amqp://u:secret@127.0.0.1:{port}/", tmp_path, timing=timing) as at:
        await at.post(20)
        await at.until(lambda: at.transport.state()["publish"].attempts >= 3)
        assert (at.unsent(), at.transport.state()["publish"].connected_since) == (20, None)
        assert "TimeoutError" in (at.transport.state()["publish"].last_error or "")
        begun = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - begun < 3
    for writer in held:
        writer.transport.abort()
    server.close()


async def test_a_channel_that_the_broker_closes_is_made_anew(url: str, tmp_path: Path) -> None:
    """Publishing to an exchange that is gone closes the channel, with 404."""
    async with flowing(url, tmp_path) as at:
        async with admin(url) as harm:
            await harm.exchange_delete(EXCHANGE)

        await at.post(20)

        await at.until_all_is_there()


async def test_connections_that_are_closed_by_the_broker_are_made_anew(
    node: RabbitNode, url: str, tmp_path: Path
) -> None:
    async with flowing(url, tmp_path) as at:
        posting = asyncio.create_task(at.post(300))
        await asyncio.to_thread(node.ctl, "close_all_connections", "maintenance")
        await posting

        await at.until_all_is_there()


class Lingering:
    """A tenant that takes long to move out."""

    def __init__(self) -> None:
        self.leaves = asyncio.Event()

    async def ready(self) -> None: ...

    async def move_in(self, connection: aio_pika.Connection) -> None: ...

    async def move_out(self) -> None:
        self.leaves.set()
        await asyncio.Event().wait()


async def test_a_link_that_ends_while_its_tenant_moves_out_leaves_no_connection(
    node: RabbitNode, url: str
) -> None:
    """It stayed open, with all that the broker had handed out on it and got no answer for."""
    tenant = Lingering()
    async with Link(url, "lingering", tenant, SystemClock(), Random(7), QUICK) as link:
        async with asyncio.timeout(60):
            while not link.is_up:  # noqa: ASYNC110  # A link rings no bell for a test.
                await asyncio.sleep(0.02)
        link.broken("told so")
        await tenant.leaves.wait()

    seen = ("list_connections", "name", "client_properties")
    async with asyncio.timeout(60):
        while "lingering" in await asyncio.to_thread(node.ctl, *seen):
            pass


@pytest.mark.parametrize(
    "link, queue",
    [
        ("consume.bridge", inbox_queue("bridge")),
        ("consume.floor", inbox_queue("floor")),
        ("consume.dead.floor", dead_queue("floor")),
        ("consume.nobody", UNROUTABLE),
    ],
)
async def test_a_deleted_queue_is_made_anew(
    url: str, tmp_path: Path, link: str, queue: str
) -> None:
    async with flowing(url, tmp_path) as at:
        first = at.transport.state()[link].connected_since
        async with admin(url) as harm:
            await harm.queue_delete(queue)
        await at.until(lambda: at.transport.state()[link].connected_since != first)
        await at.until_up()

        await at.post(30)

        await at.until_all_is_there()


async def test_what_a_deleted_queue_held_is_sent_again(url: str, tmp_path: Path) -> None:
    """The broker had confirmed it, so only our own two ends can tell that it is missing."""
    async with road(url, tmp_path, searched=True) as at:
        await at.until_up()
        at.shelf.away = True  # nobody empties the queues
        await at.post(60)
        await at.until(lambda: not at.unsent())
        async with admin(url) as harm:
            for consumer in CONSUMERS:
                await harm.queue_delete(inbox_queue(consumer))

        at.shelf.away = False

        await at.until(lambda: not at.unsent() and not at.missing())
        assert sorted(at.arrived("bridge")) == sorted(at.meant_for("bridge"))


async def test_a_lost_binding_keeps_nothing_from_its_consumer(url: str, tmp_path: Path) -> None:
    """What no queue takes comes to us by the alternate exchange, and we know whose it is."""
    async with flowing(url, tmp_path) as at:
        async with admin(url) as harm:
            await harm.queue_unbind(inbox_queue("bridge"), EXCHANGE, "priced")

        await at.post(30)

        await at.until_all_is_there()
        assert at.ask("SELECT * FROM inbox WHERE consumer = 'nobody'") == []


async def test_what_comes_back_is_not_carried_and_holds_up_its_own_order_only(
    url: str, tmp_path: Path
) -> None:
    """Not even the alternate exchange is there: the broker sends it back, and then confirms it."""
    async with road(url, tmp_path) as at:
        await at.until_up()
        async with admin(url) as harm:
            await harm.exchange_delete(UNROUTABLE)
        before, behind = an_envelope(1, "priced"), an_envelope(8, "priced")
        stranger, other = an_envelope(15, "weighed"), an_envelope(2, "priced")

        first = at.transport.state()["publish"].connected_since
        carried = await at.transport.publish([before, stranger, behind, other])

        assert list(map(bool, carried)) == [True, False, False, True]
        assert [one.answer for one in carried] == ["confirmed", "returned", None, "confirmed"]
        assert at.transport.traffic.total(Passed.RETURNED) == 1
        await at.until(lambda: len(at.arrived("bridge")) == 2)
        # It is mended by the next connection, without anybody's help.
        await at.until(lambda: at.transport.state()["publish"].connected_since != first)
        await at.until_up()
        assert all(await at.transport.publish([stranger, behind]))
        await at.until(lambda: at.arrived("nobody") == [stranger.id])
        await at.until(lambda: len(at.arrived("bridge")) == 3)
        assert at.arrived("bridge")[2] == behind.id


async def test_what_a_full_queue_refuses_waits_in_the_outbox(url: str, tmp_path: Path) -> None:
    async with flowing(url, tmp_path, max_length=5) as at:
        at.shelf.away = True  # nobody empties the queues
        await at.post(60)
        await at.until(lambda: at.transport.traffic.total(Passed.NACKED) > 0)
        assert at.unsent()

        at.shelf.away = False

        await at.until_all_is_there()


async def test_while_the_store_is_away_nothing_is_consumed_and_nothing_worn_out(
    url: str, tmp_path: Path
) -> None:
    async with flowing(url, tmp_path) as at:
        at.shelf.away = True
        await at.post(60)
        await at.until(lambda: at.transport.state()["consume.bridge"].connected_since is None)
        await at.until(lambda: at.transport.state()["consume.bridge"].attempts > 4)
        delivered = at.transport.traffic.total(Passed.DELIVERED)
        await asyncio.sleep(0.5)
        assert at.transport.traffic.total(Passed.DELIVERED) == delivered

        at.shelf.away = False

        await at.until_all_is_there()
        async with admin(url) as look:
            dead = await look.queue_declare("orderkeep.dead.bridge", passive=True)
        assert dead.message_count == 0


@asynccontextmanager
async def hanging(node: RabbitNode, queue: str) -> AsyncIterator[None]:
    """A queue whose leader answers nobody, while the broker is well."""
    await asyncio.to_thread(node.ctl, "eval", f"sys:suspend('%2F_{queue}').")
    try:
        yield
    finally:
        await asyncio.to_thread(node.ctl, "eval", f"sys:resume('%2F_{queue}').")


async def test_a_queue_that_hangs_holds_up_nobody_else(
    node: RabbitNode, url: str, tmp_path: Path
) -> None:
    """It held up all: on one connection, and for as long as it was the oldest in the outbox."""
    hung = [an_envelope(n, "cancelled", key=f"order-{n}") for n in range(300)]
    others = [an_envelope(n, "priced", key=f"order-{n}") for n in range(300, 400)]
    async with road(url, tmp_path) as at:
        await at.until_up()
        async with hanging(node, inbox_queue("floor")):
            at.posted = [*hung, *others]
            await at.store.write(lambda work: work.outbox.post(at.posted))

            await at.until(lambda: {one.id for one in others} <= set(at.arrived("bridge")), 60)

            # A new consumer of the hanging queue hangs as well, and alone.
            await asyncio.to_thread(node.ctl, "close_all_connections", "begin anew")
            at.posted.append(an_envelope(400, "priced", key="order-400"))
            await at.store.write(lambda work: work.outbox.post(at.posted[-1:]))
            await at.until(lambda: at.posted[-1].id in at.arrived("bridge"), 60)
            assert any(one.startswith("floor") for one in at.missing())

        await at.until(lambda: not at.unsent() and not at.missing(), 60)
        for consumer in CONSUMERS:
            assert sorted(at.arrived(consumer)) == sorted(at.meant_for(consumer))


async def test_a_try_that_was_cut_off_is_made_again_on_the_same_connection(
    node: RabbitNode, url: str, tmp_path: Path
) -> None:
    """Behind a blocked broker a batch ends without a new connection: its kind was left for good."""
    doubted, other = an_envelope(0, "cancelled", key="a"), an_envelope(1, "priced", key="b")
    async with road(url, tmp_path) as at:
        await at.until_up()
        since = at.transport.state()["publish"].connected_since
        async with hanging(node, inbox_queue("floor")):
            answers = await at.transport.publish([doubted, other])
            assert [one.carried for one in answers] == [False, True]
            await asyncio.sleep(QUICK.rest_hanging)
            cut_off = asyncio.create_task(at.transport.publish([doubted]))
            await asyncio.sleep(QUICK.publish / 2)
            cut_off.cancel()
            await asyncio.wait({cut_off})

        [again] = await at.transport.publish([doubted])

        assert again.carried
        assert at.transport.state()["publish"].connected_since == since


def connected(at: Road, *links: str) -> list[str]:
    """Those of these links that have a connection."""
    return [one for one in links if at.transport.state()[one].connected_since]


async def test_nothing_is_acked_before_it_is_on_our_disk(
    node: RabbitNode, url: str, tmp_path: Path
) -> None:
    """Acked before its commit, what the commit then does not take is nowhere any more."""
    async with flowing(url, tmp_path) as at:
        before = at.transport.traffic.total(Passed.DELIVERED)
        at.shelf.hold()
        await at.post(20)
        meant = sum(len(ROUTES[one.kind]) for one in at.posted[-20:])
        await at.until(lambda: at.transport.traffic.total(Passed.DELIVERED) > before)
        await at.until(lambda: not at.unsent())

        # The broker keeps each until its ack, and would have heard of any by now.
        await until_the_broker_keeps(node, meant)
        await asyncio.to_thread(node.ctl, "close_all_connections", "the commit was slow")
        # None comes back before the store takes work again.
        await at.until(lambda: not connected(at, *(f"consume.{one}" for one in CONSUMERS)))
        assert at.missing()
        at.shelf.let_go()

        await at.until_all_is_there()
        assert at.transport.traffic.total(Passed.REDELIVERED) >= meant


async def test_a_delivery_is_not_held_until_its_effect_is_done(
    node: RabbitNode, url: str, tmp_path: Path
) -> None:
    """An effect may take longer than the broker waits for an ack: it would cut the channel."""
    async with road(url, tmp_path) as at:  # nobody handles what comes into the inboxes
        await at.until_up()
        for _ in range(3):  # The broker's counts may be of the instant before.
            await at.post(1)
            await at.until_all_is_there(seconds=15)

        await until_the_broker_keeps(node, 0)
        assert at.ask("SELECT 1 FROM inbox WHERE handled_at IS NOT NULL") == []


async def until_the_broker_keeps(node: RabbitNode, number: int) -> None:
    kept = -1
    with suppress(TimeoutError):
        async with asyncio.timeout(120):
            while kept != number:
                kept = await asyncio.to_thread(kept_for_us, node)
    assert kept == number


def kept_for_us(node: RabbitNode) -> int:
    """How many messages the broker keeps, delivered or not, until somebody acks them."""
    rows = node.ctl("list_queues", "--no-table-headers", "name", "messages").splitlines()
    return sum(int(row.split()[-1]) for row in rows if "orderkeep.inbox." in row)


async def test_the_rights_that_the_guide_gives_are_enough(
    node: RabbitNode, url: str, tmp_path: Path
) -> None:
    rights = [r"^orderkeep\."] * 3
    for words in (
        ("enable_feature_flag", "all"),
        ("add_vhost", "orderkeep"),
        ("add_user", "orderkeep", "pass word"),
        ("set_permissions", "-p", "orderkeep", "orderkeep", *rights),
    ):
        await asyncio.to_thread(node.ctl, *words)

    async with flowing(
        f"amqp://orderkeep:pass%20word@127.0.0.1:{node.port}/orderkeep", tmp_path
    ) as at:
        await at.transport.publish([an_envelope(1, "weighed")])
        await at.until(lambda: bool(at.ask("SELECT 1 FROM inbox WHERE consumer = 'nobody'")))


async def test_what_differs_at_the_broker_is_told_and_stays(url: str, tmp_path: Path) -> None:
    wanted = topology(ROUTES)
    queue = inbox_queue("floor")
    async with admin(url) as other:
        await other.queue_declare(queue, durable=True, arguments={"x-queue-type": "quorum"})

    connection = await aio_pika.connect(url)
    told = await drift(connection, wanted, 5)

    assert [f"{one.name} is missing" in " ".join(told) for one in wanted.exchanges] == [True] * 3
    [differs] = [sentence for sentence in told if queue in sentence]
    assert differs.startswith(f"Queue {queue} differs: PRECONDITION_FAILED")
    assert len(told) == len(wanted.exchanges) + len(wanted.queues)

    assert [s for s in await declare(connection, wanted, 5) if "differs" not in s] == []
    assert await drift(connection, wanted, 5) == [differs]
    await connection.close()
    async with flowing(url, tmp_path):
        pass  # a queue with other arguments is used as it is


POISON: list[tuple[dict[str, Any], str]] = [
    ({}, "no headers"),
    ({"id": "x"}, "x"),
    ({"id": "", "kind": "priced"}, "empty id"),
    ({"id": "y", "kind": "k", "schema_version": 1, "order_key": 5, "at": "x"}, "y"),
    ({"id": "a\x00b", "kind": "k", "schema_version": 1, "order_key": "o", "at": "2026-01-01"}, "z"),
]


async def test_poison_is_quarantined_once_and_stops_nobody(url: str, tmp_path: Path) -> None:
    async with road(url, tmp_path) as at:
        await at.until_up()
        await at.post(10)
        async with admin(url) as harm:
            for _ in range(2):  # whoever sends rubbish sends it again
                for number, (headers, id_) in enumerate(POISON):
                    await publish_raw(harm, f"poison {number}".encode(), headers, id_)
        await at.post(10)

        await at.until_all_is_there()
        await at.until(lambda: len(at.ask("SELECT * FROM quarantine")) >= len(POISON))

        found = at.ask("SELECT consumer, message_id, body FROM quarantine ORDER BY row")
        assert found == [
            ("bridge", id_, f"poison {number}".encode()) for number, (_, id_) in enumerate(POISON)
        ]
        await at.until(lambda: at.transport.traffic.total(Passed.QUARANTINED) == 2 * len(POISON))
    # Only now would it show what had been delivered and not acked.
    async with admin(url) as look:
        left = await look.queue_declare(inbox_queue("bridge"), passive=True)
    assert left.message_count == 0


async def publish_raw(channel: Any, body: bytes, headers: dict[str, Any], id_: str) -> None:
    packed = aio_pika.Message(body, headers=headers, message_id=id_)
    await channel.basic_publish(
        body, routing_key=inbox_queue("bridge"), properties=packed.properties
    )


async def test_a_storm_of_repeats_has_no_effect(url: str, tmp_path: Path) -> None:
    async with flowing(url, tmp_path) as at:
        chance = Random(5)
        for _ in range(20):
            again = [an_envelope(int(str(one.id)[9:])) for one in at.posted]
            chance.shuffle(again)
            await at.transport.publish(again)

        traffic = at.transport.traffic
        await at.until(lambda: traffic.total(Passed.DUPLICATES) >= 20 * 40)


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from orderkeep.kernel.failpoints import install
from orderkeep.testing.amqp_road import road

def die(name):
    if name == "transport.after_receive":
        os.kill(os.getpid(), signal.SIGKILL)

async def main():
    async with road(sys.argv[1], Path(sys.argv[2])) as at:
        await at.post(40)
        await at.until_up()
        install(die)
        await asyncio.sleep(120)

asyncio.run(main())
"""


async def test_a_process_killed_between_inbox_and_ack_doubles_nothing(
    url: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", KILLED, url, str(tmp_path)]
    died = await asyncio.to_thread(partial(subprocess.run, command, check=False, timeout=150))
    assert died.returncode == -signal.SIGKILL

    async with road(url, tmp_path) as at:
        at.posted = [an_envelope(n) for n in range(40)]
        # Its lease died with it; the relay's next one waits for that to end, and we do not.
        await at.store.write(lambda work: work.outbox.release_all())
        await at.until_all_is_there()

        # They are counted after they are in the inbox, and what is known may come last.
        await at.until(lambda: at.transport.traffic.total(Passed.REDELIVERED) > 0)
        await at.until(lambda: at.transport.traffic.total(Passed.DUPLICATES) > 0)


async def test_a_stand_by_does_not_send_again_what_another_process_still_receives(
    url: str, tmp_path: Path
) -> None:
    """Nothing comes to a stand-by: it took the whole backlog for lost, and sent it once more."""
    async with road(url, tmp_path) as at:
        await at.until_up()
        at.shelf.hold()  # the one that receives is slow
        await at.post(PREFETCH + 100)
        await at.until(lambda: not at.unsent())
        standing_by = RabbitTransport(url, at.store, ROUTES, SystemClock(), Random(9), timing=QUICK)
        async with standing_by:
            await at.until(lambda: all(one.connected_since for one in standing_by.state().values()))
            search = Search(at.store, ROUTES, standing_by.is_quiet, SystemClock(), timedelta(0))
            await asyncio.sleep(2 * QUICK.quiet)  # it has heard nothing for longer than it waits
            for _ in range(5):
                await search.step()

            assert not at.unsent()
            assert at.ask("SELECT count(*), sum(tries) FROM outbox") == [(len(at.posted),) * 2]
            at.shelf.let_go()
            await at.until_all_is_there()
            # And when all is received it says so, or nobody would ever look for what is lost.
            async with asyncio.timeout(120):
                while not await standing_by.is_quiet():  # noqa: ASYNC110  # No bell rings for it.
                    await asyncio.sleep(0.05)


class Wire:
    """A line to the broker that can lose everything that goes one way, and nobody is told."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.deaf = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> int:
        self._server = await asyncio.start_server(self._join, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        for source, sink, answers in ((reader, far_writer, False), (far_reader, writer, True)):
            task = asyncio.create_task(self._carry(source, sink, answers=answers))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, answers: bool
    ) -> None:
        lost = False
        try:
            while data := await source.read(65536):
                # A stream that has lost something never goes on behind it.
                lost = lost or (answers and self.deaf.is_set())
                if not lost:
                    sink.write(data)
                    await sink.drain()
        except OSError:
            pass
        finally:
            sink.transport.abort()


async def test_a_network_that_loses_the_answers_doubles_nothing(
    node: RabbitNode, url: str, tmp_path: Path
) -> None:
    """What we say arrives and is confirmed, and the confirms do not come: it is sent once more."""
    wire = Wire(node.port)
    async with wire as port, flowing(url.replace(str(node.port), str(port)), tmp_path) as at:
        wire.deaf.set()
        await at.post(60)
        await at.until(lambda: at.transport.traffic.total(Passed.UNCONFIRMED) > 0)
        await at.until(lambda: at.transport.state()["publish"].connected_since is None)
        await at.post(20)
        assert at.unsent() >= 20
        wire.deaf.clear()

        await at.until_all_is_there()
        await at.until(lambda: at.transport.traffic.total(Passed.DUPLICATES) > 0)
