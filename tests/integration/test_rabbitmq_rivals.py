"""Several relays on one PostgreSQL and one RabbitMQ: killed and frozen, they lose nothing."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from orderkeep.adapters.sql.postgres.store import PgStore, open_store
from orderkeep.delivery.envelope import Envelope
from orderkeep.kernel.bells import Bells
from orderkeep.testing.amqp_road import CONSUMERS, ROUTES, an_envelope, assert_in_order, sweep
from orderkeep.testing.rabbitmq_node import RabbitNode

DEADLINE_S = 150.0
PROCESSES = 3

RIVAL = """
import asyncio, sys
from datetime import timedelta
from random import Random
from orderkeep.adapters.rabbitmq.transport import RabbitTransport
from orderkeep.adapters.sql.postgres.store import open_store
from orderkeep.delivery import relay, search
from orderkeep.kernel.bells import Bells
from orderkeep.kernel.clock import SystemClock
from orderkeep.observe.logs import set_up_logs
from orderkeep.roles.loops import loop
from orderkeep.testing.amqp_road import QUICK, ROUTES

set_up_logs("warning", "relay")
relay.LEASE = timedelta(seconds=8)
relay.BATCH = 20

async def main():
    bells, clock, stop = Bells(), SystemClock(), asyncio.Event()
    store = await open_store(sys.argv[2], bells)
    chance = Random(int(sys.argv[3]))
    carrier = RabbitTransport(sys.argv[1], store, ROUTES, clock, chance, timing=QUICK)
    looking = search.Search(store, ROUTES, carrier.is_quiet, clock, timedelta(seconds=30))
    moving = relay.Relay(store.behind, carrier, clock)  # As it is run: its marks may be forgotten.
    print("ready", flush=True)
    async with carrier, asyncio.TaskGroup() as group:
        for _ in range(moving.at_once):
            group.create_task(loop("relay", moving.step, bells, "relay", stop, poll_s=0.2))
        group.create_task(loop("search", looking.step, bells, "search", stop, poll_s=0.5))

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def node() -> Iterator[RabbitNode]:
    with RabbitNode(plugins=()) as running:
        yield running


@pytest.fixture
def rivals(node: RabbitNode, postgres_url: str) -> Iterator[Callable[[], "subprocess.Popen[str]"]]:
    asyncio.run(sweep(node.url))
    started: list[subprocess.Popen[str]] = []

    def start() -> "subprocess.Popen[str]":
        number = str(len(started))
        rival = subprocess.Popen(
            [sys.executable, "-c", RIVAL, node.url, postgres_url, number],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        started.append(rival)
        assert rival.stdout is not None
        assert rival.stdout.readline() == "ready\n"
        return rival

    yield start
    for rival in started:
        rival.kill()
        rival.communicate()


async def test_relays_that_are_killed_and_frozen_lose_double_and_overtake_nothing(
    rivals: Callable[[], "subprocess.Popen[str]"], postgres_url: str
) -> None:
    posted: list[Envelope] = []
    store = await open_store(postgres_url, Bells())
    try:
        killed, frozen, _ = [rivals() for _ in range(PROCESSES)]
        await post(store, posted, 300)
        await until(store, posted, 60)
        killed.send_signal(signal.SIGKILL)
        await post(store, posted, 300)
        await until(store, posted, 330)
        frozen.send_signal(signal.SIGSTOP)
        await post(store, posted, 200)
        rivals()
        await post(store, posted, 200)
        await until(store, posted, 700)
        frozen.send_signal(signal.SIGCONT)

        await until(store, posted, len(posted))
        for consumer in CONSUMERS:
            meant = [str(one.id) for one in posted if consumer in ROUTES[one.kind]]
            assert_in_order(await arrived(store, consumer), meant)
        unsent = "SELECT count(*) FROM outbox WHERE sent_at IS NULL"
        assert await store.read(lambda work: work.raw.execute(unsent).fetchone()) == (0,)
        assert await store.read(lambda work: work.raw.execute(ASIDE).fetchall()) == []
    finally:
        await store.close()


ASIDE = "SELECT consumer, why FROM quarantine"


async def post(store: PgStore, posted: list[Envelope], number: int) -> None:
    for _ in range(number):
        posted.append(an_envelope(len(posted)))
        await store.write(lambda work: work.outbox.post(posted[-1:]))


async def arrived(store: PgStore, consumer: str) -> list[str]:
    sql = f"SELECT message_id FROM inbox WHERE consumer = '{consumer}' ORDER BY row"
    rows = await store.read(lambda work: work.raw.execute(sql).fetchall())
    return [str(row[0]) for row in rows]


async def until(store: PgStore, posted: list[Envelope], number: int) -> None:
    """Wait until the first so many have arrived wherever they are meant for."""
    async with asyncio.timeout(DEADLINE_S):
        for consumer in CONSUMERS:
            meant = {str(one.id) for one in posted[:number] if consumer in ROUTES[one.kind]}
            while meant - set(await arrived(store, consumer)):  # noqa: ASYNC110  # No bell rings.
                await asyncio.sleep(0.1)
