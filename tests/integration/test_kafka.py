"""Kafka does what it likes, orders do not care: on librdkafka's mock cluster, not on a real broker.

The mock speaks the protocol over TCP and can go away, answer late and refuse. It keeps nothing on a
disk and replicates nothing: what a real cluster loses is not tried here.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest
from confluent_kafka import Producer

from orderkeep.adapters.kafka import TESTED, TOPIC
from orderkeep.adapters.kafka.transport import KafkaTransport
from orderkeep.adapters.sql.migrate import migrate
from orderkeep.adapters.sql.store import SqliteStore, open_store
from orderkeep.delivery.relay import Relay, TransportAway
from orderkeep.delivery.search import Search
from orderkeep.kernel.bells import Bells
from orderkeep.kernel.clock import SystemClock
from orderkeep.observe.traffic import Passed
from orderkeep.roles.loops import loop
from orderkeep.testing import kafka_mock as mock
from orderkeep.testing.amqp_road import CONSUMERS, ROUTES, Road, Shelf, an_envelope, assert_in_order
from orderkeep.testing.kafka_mock import HASTY, KafkaMock

DEADLINE_S = 150


@pytest.fixture
def cluster() -> Iterator[KafkaMock]:
    with KafkaMock() as running:
        yield running


class KafkaRoad(Road):
    """Outbox, relay, mock cluster, inbox; further processes may join."""

    def __init__(self, url: str, store: SqliteStore, bells: Bells, stack: AsyncExitStack) -> None:
        self._url = url
        self._bells = bells
        self._stack = stack
        shelf = Shelf(store)
        super().__init__(store, shelf, self._made(shelf))
        self.kafka: KafkaTransport = self.transport  # type: ignore[assignment]  # What we made.

    def _made(self, shelf: Shelf) -> Any:
        return KafkaTransport(
            self._url,
            shelf,
            ROUTES,
            SystemClock(),
            timing=HASTY,
            back=lambda: self._bells.ring("relay"),
        )

    async def another(self) -> KafkaTransport:
        """What another process would open; it only receives."""
        opened: KafkaTransport = await self._stack.enter_async_context(self._made(self.shelf))
        return opened

    async def posted_and_arrived(self, number: int) -> None:
        """Post some, and wait until all that was ever posted is there."""
        await self.post(number)
        self._bells.ring("relay")
        await self.until_all_is_there(DEADLINE_S)


@asynccontextmanager
async def road(cluster: KafkaMock, folder: Path) -> AsyncIterator[KafkaRoad]:
    bells, stop = Bells(), asyncio.Event()
    database = f"sqlite:///{folder / 'road.db'}"
    migrate(database)
    store = open_store(database, bells)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(store.close)
        found = KafkaRoad(cluster.url, store, bells, stack)
        relay = Relay(store, found.kafka, SystemClock())
        await stack.enter_async_context(found.kafka)
        async with asyncio.TaskGroup() as group:
            group.create_task(loop("relay", relay.step, bells, "relay", stop, poll_s=0.1))
            try:
                yield found
            finally:
                stop.set()
                bells.ring("relay")


async def test_while_the_cluster_is_away_envelopes_wait_and_accepting_goes_on(
    cluster: KafkaMock, tmp_path: Path
) -> None:
    async with road(cluster, tmp_path) as way:
        await way.until_up()
        await way.posted_and_arrived(20)
        cluster.down()
        begun = perf_counter()
        await way.post(30)
        took = perf_counter() - begun
        await way.until(lambda: not way.kafka.state()["publish"].connected_since, DEADLINE_S)
        with pytest.raises(TransportAway):
            await way.kafka.publish([an_envelope(99)])
        assert way.unsent() == 30
        cluster.up()

        await way.posted_and_arrived(10)

        assert took < DEADLINE_S
        state = way.kafka.state()["publish"]
        assert (state.tested, state.blocked) == (TESTED, False)


async def test_a_cluster_that_comes_later_is_found(tmp_path: Path) -> None:
    with KafkaMock() as cluster:
        cluster.down()
        async with road(cluster, tmp_path) as way:
            await way.post(10)
            await way.until(lambda: bool(way.kafka.state()["publish"].last_error), DEADLINE_S)
            cluster.up()

            await way.posted_and_arrived(1)


async def test_losing_one_broker_after_the_other_loses_nothing(
    cluster: KafkaMock, tmp_path: Path
) -> None:
    async with road(cluster, tmp_path) as way:
        await way.posted_and_arrived(10)
        for broker in (1, 2, 3):
            cluster.down(broker)
            await way.post(20)
            cluster.up(broker)
            await way.posted_and_arrived(10)


@pytest.mark.parametrize(
    "answers",
    [
        [mock.NOT_ENOUGH_REPLICAS] * 3,
        [mock.LEADER_UNKNOWN] * 3,
        [mock.OUT_OF_ORDER],  # Fatal to an idempotent producer: it is made anew.
        [mock.TOO_LARGE],
    ],
    ids=["too-few-replicas", "no-leader", "out-of-order", "refused"],
)
async def test_what_is_refused_is_sent_again_and_arrives_once(
    cluster: KafkaMock, tmp_path: Path, answers: list[int]
) -> None:
    async with road(cluster, tmp_path) as way:
        await way.posted_and_arrived(10)
        cluster.refuse(mock.PRODUCE, answers)

        await way.posted_and_arrived(40)

        published = way.kafka.traffic.total(Passed.PUBLISHED)
        fates = (Passed.CONFIRMED, Passed.NACKED, Passed.UNCONFIRMED)
        assert published == sum(way.kafka.traffic.total(one) for one in fates)


@pytest.mark.parametrize(
    "request_, answers",
    [
        (mock.FETCH, [mock.LEADER_UNKNOWN] * 5),
        (mock.FETCH, [mock.DISK_FAILED] * 5),
        (mock.JOIN_GROUP, [mock.NOT_COORDINATOR] * 3),
        (mock.HEARTBEAT, [mock.REBALANCING] * 2),
    ],
    ids=["no-leader", "disk", "no-coordinator", "rebalancing"],
)
async def test_a_reader_that_is_refused_goes_on_where_it_was(
    cluster: KafkaMock, tmp_path: Path, request_: int, answers: list[int]
) -> None:
    cluster.refuse(request_, answers)
    async with road(cluster, tmp_path) as way:
        await way.posted_and_arrived(20)
        cluster.refuse(request_, answers)

        await way.posted_and_arrived(40)


async def test_slow_answers_cost_time_only(cluster: KafkaMock, tmp_path: Path) -> None:
    async with road(cluster, tmp_path) as way:
        await way.until_up()
        cluster.slow(300)
        await way.posted_and_arrived(30)
        cluster.slow(0)


async def test_an_offset_that_could_not_be_moved_brings_repeats_without_effect(
    cluster: KafkaMock, tmp_path: Path
) -> None:
    async with road(cluster, tmp_path) as way:
        await way.until_up()
        cluster.refuse(mock.OFFSET_COMMIT, [mock.NOT_COORDINATOR] * 500)
        await way.posted_and_arrived(30)
        await way.kafka.__aexit__(None, None, None)

        cluster.forgive(mock.OFFSET_COMMIT)
        again = await way.another()

        await way.until(lambda: again.traffic.total(Passed.DUPLICATES) >= 30, DEADLINE_S)
        for consumer in CONSUMERS:
            assert_in_order(way.arrived(consumer), way.meant_for(consumer))


async def test_while_the_store_is_away_nothing_is_fetched_and_the_group_is_kept(
    cluster: KafkaMock, tmp_path: Path
) -> None:
    async with road(cluster, tmp_path) as way:
        await way.posted_and_arrived(10)
        way.shelf.away = True
        await way.post(30)
        await way.until(lambda: way.kafka.is_resting, DEADLINE_S)
        await way.until(lambda: not way.unsent(), DEADLINE_S)
        assert len(way.arrived("bridge")) == 10
        assert not await way.kafka.is_quiet()
        way.shelf.away = False

        await way.posted_and_arrived(10)

        assert not way.kafka.is_resting


async def test_the_offset_moves_only_after_the_inbox_has_it(
    cluster: KafkaMock, tmp_path: Path
) -> None:
    """A process that dies with a full net in its hands leaves it to the next one."""
    async with road(cluster, tmp_path) as way:
        await way.posted_and_arrived(10)
        way.shelf.away = True
        await way.post(30)
        await way.until(lambda: way.kafka.is_resting and not way.unsent(), DEADLINE_S)
        await way.kafka._fetcher.close()
        way.shelf.away = False

        await way.another()

        await way.until_all_is_there(DEADLINE_S)


async def test_processes_come_and_go_and_every_order_keeps_its_order(
    cluster: KafkaMock, tmp_path: Path
) -> None:
    async with road(cluster, tmp_path) as way:
        await way.posted_and_arrived(20)
        await way.post(100)
        second = await way.another()
        await way.post(100)
        await way.until(lambda: second.traffic.total(Passed.DELIVERED) > 0, DEADLINE_S)
        await second.__aexit__(None, None, None)

        await way.posted_and_arrived(50)


async def test_quiet_is_when_everything_is_kept_by_whomever(
    cluster: KafkaMock, tmp_path: Path
) -> None:
    async with road(cluster, tmp_path) as way:
        await way.posted_and_arrived(20)
        await _until_quiet(way.kafka)
        second = await way.another()
        await _until_quiet(second)
        way.shelf.away = True
        await way.post(1)
        await way.until(lambda: not way.unsent(), DEADLINE_S)

        assert not await second.is_quiet()
        way.shelf.away = False


async def _until_quiet(transport: KafkaTransport) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            if await transport.is_quiet():
                return
            await asyncio.sleep(0.05)


async def test_a_strangers_message_is_set_aside_and_holds_nothing_up(
    cluster: KafkaMock, tmp_path: Path
) -> None:
    async with road(cluster, tmp_path) as way:
        stranger = Producer({"bootstrap.servers": cluster.servers})
        stranger.produce(TOPIC, value=b"<order/>", headers={"ce_id": "x-1"})
        stranger.produce(TOPIC, value=None)
        stranger.produce(TOPIC, value=b"\xff", headers=[("ce_id", b"\xff\x00")])
        stranger.flush(10)

        await way.posted_and_arrived(10)

        await way.until(lambda: len(way.ask("SELECT 1 FROM quarantine")) == 3, DEADLINE_S)
        kept = way.ask("SELECT message_id, body FROM quarantine WHERE message_id = 'x-1'")
        assert kept == [("x-1", b"<order/>")]
        # It is counted once it is kept.
        await way.until(lambda: way.kafka.traffic.total(Passed.QUARANTINED) == 3, DEADLINE_S)


async def test_what_the_cluster_lost_is_found_and_sent_again(
    cluster: KafkaMock, tmp_path: Path
) -> None:
    """Records deleted before anyone read them, as a retention too short does."""
    async with road(cluster, tmp_path) as way:
        await way.posted_and_arrived(10)
        await _until_quiet(way.kafka)
        way.shelf.away = True
        await way.post(21)
        await way.until(lambda: not way.unsent() and way.kafka.is_resting, DEADLINE_S)
        cluster.forget()
        way.shelf.away = False
        search = Search(
            way.store, ROUTES, way.kafka.is_quiet, SystemClock(), grace=timedelta(seconds=1)
        )

        async with asyncio.timeout(DEADLINE_S):
            while way.missing():
                await search.step()
                await asyncio.sleep(0.2)

    for consumer in CONSUMERS:
        assert sorted(way.arrived(consumer)) == sorted(way.meant_for(consumer))


async def test_a_process_can_stop_while_the_cluster_is_away(
    cluster: KafkaMock, tmp_path: Path
) -> None:
    """Nobody can be told good-bye; what was not confirmed stays in the outbox."""
    async with asyncio.timeout(DEADLINE_S):
        async with road(cluster, tmp_path) as way:
            await way.posted_and_arrived(10)
            cluster.down()
            await way.post(10)

        assert way.unsent() == 10


@pytest.mark.parametrize("brokers", [1, 3])
async def test_a_topic_with_one_copy_is_told(tmp_path: Path, brokers: int) -> None:
    with KafkaMock(brokers) as cluster:
        async with road(cluster, tmp_path) as way:
            await way.posted_and_arrived(10)

            told = way.kafka.drift()

    assert [one.split(" of ")[0] for one in told] == (
        ["Topic orderkeep.envelopes has one copy"] if brokers == 1 else []
    )
