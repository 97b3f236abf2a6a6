"""Outbox, relay, broker, inbox: the road of envelopes on a real store and a real RabbitMQ."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from random import Random
from time import perf_counter
from typing import Any, TypeVar

import aio_pika

from orderkeep.adapters.rabbitmq.link import Timing
from orderkeep.adapters.rabbitmq.topology import topology
from orderkeep.adapters.rabbitmq.transport import RabbitTransport
from orderkeep.adapters.sql.migrate import migrate
from orderkeep.adapters.sql.store import SqliteStore, open_store
from orderkeep.adapters.sql.work import SqlWork
from orderkeep.delivery.envelope import Envelope
from orderkeep.delivery.relay import Relay
from orderkeep.delivery.search import Search
from orderkeep.kernel.bells import Bells
from orderkeep.kernel.clock import SystemClock
from orderkeep.kernel.errors import StoreBusy
from orderkeep.kernel.ids import EnvelopeId
from orderkeep.roles.loops import loop

T = TypeVar("T")

ROUTES: Mapping[str, Sequence[str]] = {"priced": ("bridge",), "cancelled": ("bridge", "floor")}
CONSUMERS = ("bridge", "floor")
KEYS = 7

QUICK = Timing(
    connect=3,
    set_up=10,
    call=3,
    publish=2,
    batch=6,
    heartbeat=2,
    first_pause=0.05,
    longest_pause=0.5,
    steady=5,
    rest_refused=0.1,
    rest_hanging=1.0,
    quiet=0.5,
    look=0.05,
)
"""A test does not wait as long as a night shift does."""


def an_envelope(
    n: int, kind: str | None = None, body: bytes | None = None, key: str | None = None
) -> Envelope:
    """The n-th envelope: one of seven orders, and every third kind goes to two consumers."""
    kind = kind or ("cancelled" if n % 3 == 0 else "priced")
    now = SystemClock().now()
    key, body = key or f"order-{n % KEYS}", b"%d" % n if body is None else body
    return Envelope(EnvelopeId(f"envelope-{n}"), kind, 1, key, now, "0" * 32, body)


class Shelf:
    """A store that can be away for the consumers, and stays for everybody else."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self.away = False
        self._open = asyncio.Event()
        self._open.set()

    def hold(self) -> None:
        """Let nothing more be written: its commit takes long."""
        self._open.clear()

    def let_go(self) -> None:
        """Let commits end again."""
        self._open.set()

    async def write(self, unit: Callable[[SqlWork], T]) -> T:
        """As the store does, unless it is away."""
        await self._open.wait()
        if self.away:
            raise StoreBusy("The disk is full")
        return await self._store.write(unit)

    async def read(self, query: Callable[[SqlWork], T]) -> T:
        """As the store does."""
        return await self._store.read(query)


class Road:
    """What was posted has to arrive: once, in order, without anybody's help."""

    def __init__(self, store: SqliteStore, shelf: Shelf, transport: RabbitTransport) -> None:
        self.store = store
        self.shelf = shelf
        self.transport = transport
        self.posted: list[Envelope] = []
        self.slowest_post_s = 0.0
        self.chance = Random(7)

    async def post(self, number: int) -> None:
        """Save envelopes one by one, as orders come in, and note how long the slowest took."""
        for _ in range(number):
            begun = perf_counter()
            await self._post(an_envelope(len(self.posted)))
            self.slowest_post_s = max(self.slowest_post_s, perf_counter() - begun)

    async def _post(self, one: Envelope) -> None:
        self.posted.append(one)
        await self.store.write(lambda work: work.outbox.post([one]))

    async def until(self, what: Callable[[], bool], seconds: float = 120) -> None:
        """Wait until something is so.

        Raises:
            AssertionError: it did not come about; says how it stands instead.
        """
        try:
            async with asyncio.timeout(seconds):
                while not what():  # noqa: ASYNC110  # Tables and brokers ring no bell for a test.
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"not so within {seconds:g} s: {self._standing()}") from None

    def _standing(self) -> str:
        missing = ", ".join(sorted(self.missing())) or "nothing"
        links = self.transport.state().items()
        away = ", ".join(name for name, link in links if not link.connected_since) or "nobody"
        return f"{self.unsent()} unsent, missing: {missing}, without a connection: {away}"

    async def until_up(self) -> None:
        """Wait until both connections are of use."""
        await self.until(lambda: all(s.connected_since for s in self.transport.state().values()))

    async def until_all_is_there(self, seconds: float = 150) -> None:
        """Wait until nothing is on its way, then check that nothing was lost, doubled or turned."""
        await self.until(lambda: not self.unsent() and not self.missing(), seconds)
        for consumer in CONSUMERS:
            assert_in_order(self.arrived(consumer), self.meant_for(consumer))

    def meant_for(self, consumer: str) -> list[str]:
        """The ids that a consumer has to get, in the order they were posted."""
        return [one.id for one in self.posted if consumer in ROUTES[one.kind]]

    def arrived(self, consumer: str) -> list[str]:
        """The ids in a consumer's inbox, in the order they came."""
        sql = "SELECT message_id FROM inbox WHERE consumer = ? ORDER BY row"
        return [row[0] for row in self.ask(sql, consumer)]

    def missing(self) -> set[str]:
        """What has not arrived everywhere."""
        return {
            f"{consumer}: {id_}"
            for consumer in CONSUMERS
            for id_ in set(self.meant_for(consumer)) - set(self.arrived(consumer))
        }

    def unsent(self) -> int:
        """Envelopes that the outbox does not hold for carried."""
        return int(self.ask("SELECT count(*) FROM outbox WHERE sent_at IS NULL")[0][0])

    def ask(self, sql: str, *values: Any) -> list[Any]:
        """Look into the tables."""
        with sqlite3.connect(self.store.path) as raw:
            found = raw.execute(sql, values).fetchall()
        raw.close()
        return found


def assert_in_order(arrived: list[str], meant: list[str]) -> None:
    """Every one once, and those of an order as they were posted."""
    assert sorted(arrived) == sorted(meant)
    numbers = [int(id_.removeprefix("envelope-")) for id_ in arrived]
    for key in range(KEYS):
        theirs = [n for n in numbers if n % KEYS == key]
        assert theirs == sorted(theirs)


@asynccontextmanager
async def road(
    url: str,
    folder: Path,
    *,
    timing: Timing = QUICK,
    max_length: int | None = None,
    searched: bool = False,
    ca_file: Path | None = None,
) -> AsyncIterator[Road]:
    """A road with its relay running; ``folder`` keeps the database.

    Without ``searched`` nobody sends again what was lost, so that a loss cannot be mended unseen.
    """
    bells = Bells()
    database = f"sqlite:///{folder / 'road.db'}"
    migrate(database)
    store = open_store(database, bells)
    shelf = Shelf(store)
    transport = RabbitTransport(
        url,
        shelf,
        ROUTES,
        SystemClock(),
        Random(7),
        ca_file=ca_file,
        timing=timing,
        max_length=max_length,
        back=lambda: bells.ring("relay"),
    )
    relay = Relay(store, transport, SystemClock())
    search = Search(store, ROUTES, transport.is_quiet, SystemClock(), timedelta(seconds=1))
    stop = asyncio.Event()
    try:
        async with transport, asyncio.TaskGroup() as group:
            group.create_task(loop("relay", relay.step, bells, "relay", stop, poll_s=0.2))
            if searched:
                group.create_task(loop("search", search.step, bells, "search", stop, poll_s=0.2))
            try:
                yield Road(store, shelf, transport)
            finally:
                stop.set()
                bells.ring("relay")
                bells.ring("search")
    finally:
        await store.close()


@asynccontextmanager
async def admin(url: str) -> AsyncIterator[Any]:
    """A bare channel of somebody else's, for doing harm."""
    connection = await aio_pika.connect(url)
    try:
        channel = await connection.channel(publisher_confirms=True)
        yield await channel.get_underlay_channel()
    finally:
        await connection.close()


async def sweep(url: str) -> None:
    """Remove everything of ours, so that the next test finds an empty broker."""
    wanted = topology(ROUTES)
    async with admin(url) as channel:
        for queue in wanted.queues:
            await channel.queue_delete(queue.name)
        for exchange in wanted.exchanges:
            await channel.exchange_delete(exchange.name)
