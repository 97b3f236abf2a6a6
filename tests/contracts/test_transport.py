"""What every transport must do, whether envelopes go from table to table or through a broker."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from orderkeep.adapters.embedded import NOBODY, EmbeddedTransport
from orderkeep.adapters.kafka.transport import KafkaTransport
from orderkeep.adapters.rabbitmq.transport import RabbitTransport
from orderkeep.adapters.sql.migrate import migrate
from orderkeep.adapters.sql.store import SqliteStore, open_store
from orderkeep.delivery.envelope import Envelope
from orderkeep.delivery.ports import Transport, Tried
from orderkeep.delivery.relay import Relay, TransportAway
from orderkeep.kernel.bells import Bells
from orderkeep.kernel.clock import SystemClock
from orderkeep.testing.amqp_road import (
    CONSUMERS,
    KEYS,
    QUICK,
    ROUTES,
    an_envelope,
    assert_in_order,
    sweep,
)
from orderkeep.testing.kafka_mock import HASTY, KafkaMock
from orderkeep.testing.rabbitmq_node import RabbitNode

DEADLINE_S = 120


class Carrier:
    """A transport, the store it carries into, and its bells."""

    def __init__(self, transport: Transport, store: SqliteStore, bells: Bells) -> None:
        self.transport = transport
        self.store = store
        self.bells = bells

    async def carry(self, envelopes: Sequence[Envelope]) -> None:
        """Publish as the relay does: again and again, until everything is carried."""
        left = list(envelopes)
        async with asyncio.timeout(DEADLINE_S):
            while left:
                try:
                    carried = list(await self.transport.publish(left))
                except TransportAway:
                    carried = [Tried(carried=False)] * len(left)
                    await asyncio.sleep(0.05)
                left = [one for one, done in zip(left, carried, strict=True) if not done]

    async def rows(self, sql: str, number: int) -> list[tuple[object, ...]]:
        """The rows of a query, as soon as there are so many, or after a while anyhow."""
        found: list[tuple[object, ...]] = []
        for _ in range(DEADLINE_S * 20):
            found = await self.store.read(lambda work: work.raw.execute(sql).fetchall())
            if len(found) >= number:
                break
            await asyncio.sleep(0.05)
        return found

    async def inbox(self, consumer: str, number: int) -> list[str]:
        """Ids in a consumer's inbox, in the order they came."""
        sql = f"SELECT message_id FROM inbox WHERE consumer = '{consumer}' ORDER BY row"
        return [str(row[0]) for row in await self.rows(sql, number)]


@pytest.fixture(scope="module")
def node() -> Iterator[RabbitNode]:
    with RabbitNode(plugins=()) as running:
        yield running


@pytest.fixture
def cluster() -> Iterator[KafkaMock]:
    """A mock of librdkafka's, not a real Kafka."""
    with KafkaMock() as running:
        yield running


@pytest.fixture(params=["embedded", "rabbitmq", "kafka"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def url(request: pytest.FixtureRequest, kind: str) -> str:
    if kind == "embedded":
        return "embedded:"
    if kind == "kafka":
        return str(request.getfixturevalue("cluster").url)
    address = str(request.getfixturevalue("node").url)
    asyncio.run(sweep(address))
    return address


@asynccontextmanager
async def carrier(url: str, folder: Path) -> AsyncIterator[Carrier]:
    bells = Bells()
    migrate(f"sqlite:///{folder / 'carrier.db'}")
    store = open_store(f"sqlite:///{folder / 'carrier.db'}", bells)
    clock = SystemClock()
    try:
        if url == "embedded:":
            yield Carrier(EmbeddedTransport(store, ROUTES, clock), store, bells)
        elif url.startswith("kafka:"):
            async with KafkaTransport(url, store, ROUTES, clock, timing=HASTY) as carrying:
                yield Carrier(carrying, store, bells)
        else:
            async with RabbitTransport(
                url, store, ROUTES, clock, Random(3), timing=QUICK
            ) as opened:
                yield Carrier(opened, store, bells)
    finally:
        await store.close()


async def test_every_envelope_arrives_in_every_inbox_of_its_routes(
    url: str, tmp_path: Path
) -> None:
    sent = [an_envelope(n) for n in range(300)]
    async with carrier(url, tmp_path) as at:
        await at.carry(sent)

        for consumer in CONSUMERS:
            meant = [one.id for one in sent if consumer in ROUTES[one.kind]]
            assert_in_order(await at.inbox(consumer, len(meant)), [str(id_) for id_ in meant])


async def test_what_arrives_is_what_was_sent(url: str, tmp_path: Path) -> None:
    """The body may be anything, to the byte; delivery reads the header only."""
    bodies = [b"", b"{}", bytes(range(256)), '{"имя":"кольцо"}'.encode(), b"x" * 300_000]
    sent = [an_envelope(n, "priced", body) for n, body in enumerate(bodies)]
    async with carrier(url, tmp_path) as at:
        await at.carry(sent)
        await at.inbox("bridge", len(sent))

        now = SystemClock().now()
        due = await at.store.read(lambda work: work.inbox.due("bridge", now, 10))
        arrived = {received.envelope.id: received.envelope for received in due}
        assert arrived == {one.id: one for one in sent}


async def test_envelopes_of_an_order_arrive_in_order_in_one_batch_and_over_many(
    url: str, tmp_path: Path
) -> None:
    sent = [an_envelope(n, "priced") for n in range(20 * KEYS)]
    async with carrier(url, tmp_path) as at:
        for start in range(0, len(sent), KEYS * 2):
            await at.carry(sent[start : start + KEYS * 2])

        ids = [str(one.id) for one in sent]
        assert_in_order(await at.inbox("bridge", len(sent)), ids)


async def test_a_kind_that_nobody_takes_is_put_aside_and_shown(url: str, tmp_path: Path) -> None:
    stranger, after = an_envelope(1, "weighed"), an_envelope(1 + KEYS, "priced")
    async with carrier(url, tmp_path) as at:
        await at.carry([stranger, after])

        sql = f"SELECT message_id, dead_at IS NOT NULL, why FROM inbox WHERE consumer = '{NOBODY}'"
        assert await at.rows(sql, 1) == [(stranger.id, 1, "nobody takes this kind")]
        assert await at.inbox("bridge", 1) == [after.id]
        now = SystemClock().now()
        assert (await at.store.read(lambda work: work.board.backlog(now))).unrouted == 1


async def test_what_comes_again_is_dropped(url: str, tmp_path: Path) -> None:
    sent = [an_envelope(n) for n in range(20)]
    last = an_envelope(99, "cancelled")
    async with carrier(url, tmp_path) as at:
        for _ in range(5):
            await at.carry(sent)
        await at.carry([last])
        await at.rows(f"SELECT 1 FROM inbox WHERE message_id = '{last.id}'", 2)

        assert len(await at.inbox("bridge", 21)) == 21
        assert await at.rows("SELECT 1 FROM quarantine", 0) == []


async def test_a_known_id_with_another_body_is_set_aside_once(url: str, tmp_path: Path) -> None:
    first, other = an_envelope(1, "priced", b"1"), an_envelope(1, "priced", b"2")
    async with carrier(url, tmp_path) as at:
        await at.carry([first])
        await at.inbox("bridge", 1)
        for _ in range(3):
            await at.carry([other])
        await at.carry([an_envelope(2, "priced")])
        await at.inbox("bridge", 2)

        sql = "SELECT consumer, message_id, why, body FROM quarantine"
        assert await at.rows(sql, 1) == [("bridge", first.id, "known id, other body", b"2")]


async def test_whoever_waits_for_an_inbox_is_woken(url: str, tmp_path: Path) -> None:
    async with carrier(url, tmp_path) as at:
        waiting = asyncio.create_task(at.bells.wait("inbox:floor", DEADLINE_S))
        await at.carry([an_envelope(3, "cancelled")])

        async with asyncio.timeout(DEADLINE_S / 2):
            await waiting


async def test_while_one_batch_is_carried_the_next_leaves_and_overtakes_nothing(
    tmp_path: Path,
) -> None:
    """Else an order waits for the confirms of all that came just before it."""
    async with carrier("embedded:", tmp_path) as at:
        slow = Slow(at.transport)
        relay = Relay(at.store, slow, SystemClock())
        first, same_order, other = (an_envelope(n, "priced") for n in (0, KEYS, 1))
        await at.store.write(lambda work: work.outbox.post([first]))
        held = asyncio.create_task(relay.step())
        await slow.asked.acquire()
        await at.store.write(lambda work: work.outbox.post([same_order, other]))
        beside = asyncio.create_task(relay.step())
        await slow.asked.acquire()
        assert await relay.step() == 0
        slow.go.set()

        assert (await held, await beside) == (1, 1)
        assert slow.carried == [[first], [other]]
        assert await relay.step() == 1
        assert slow.carried[2:] == [[same_order]]


class Slow:
    """Carries when it is told to, and says when it was asked."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self.asked = asyncio.Semaphore(0)
        self.go = asyncio.Event()
        self.carried: list[list[Envelope]] = []

    async def publish(self, envelopes: Sequence[Envelope]) -> Sequence[Tried]:
        self.carried.append(list(envelopes))
        self.asked.release()
        await self.go.wait()
        return await self._inner.publish(envelopes)
