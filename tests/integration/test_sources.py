"""A present queue on a real RabbitMQ, into a real store: storms, outages, and the way back."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest
from sqlalchemy import func, select

from orderkeep.adapters.rabbitmq import taker
from orderkeep.adapters.rabbitmq.source import copies_queue
from orderkeep.adapters.sql import tables
from orderkeep.config import load
from orderkeep.intake.accept import Intake
from orderkeep.intake.arrivals import Fate
from orderkeep.intake.checks import Catalogue
from orderkeep.intake.mapping import Message
from orderkeep.intake.modes import Mode, SourceState, Takes
from orderkeep.intake.roads import QueueRoad
from orderkeep.kernel.clock import SystemClock
from orderkeep.kernel.errors import StoreBusy
from orderkeep.kernel.ids import Ids
from orderkeep.orders.master import OrderMaster
from orderkeep.orders.policy import Policy
from orderkeep.quoting.price_book import example_book
from orderkeep.roles.sources import Served, SourceKeeper
from orderkeep.roles.taking_over import takers, trying_again
from orderkeep.testing.amqp_road import QUICK, admin
from orderkeep.testing.old_road import QUEUE, OldRoad, configure, order
from orderkeep.testing.rabbitmq_node import RabbitNode
from orderkeep.testing.stores import Store

BOOK = example_book()


@pytest.fixture(scope="module")
def node() -> Iterator[RabbitNode]:
    with RabbitNode(plugins=()) as running_node:
        yield running_node


class Shelf:
    """A store that can be away."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.away = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def write(self, unit: Callable[[Any], Any]) -> Any:
        if self.away:
            raise StoreBusy("The disk is full")
        return await self._store.write(unit)

    def submit(self, lane: Any, item: Any) -> Any:
        if self.away:
            raise StoreBusy("The disk is full")
        return self._store.submit(lane, item)


class Beside:
    """The old road, its takers, and what is in the tables."""

    def __init__(
        self, store: Store, shelf: Shelf, road: OldRoad, keeper: SourceKeeper, intake: Intake
    ) -> None:
        self.store, self.shelf, self.road, self.keeper = store, shelf, road, keeper
        self.intake = intake

    async def go(self, mode: Mode, takes: Takes | None = None) -> None:
        now = SystemClock().now()

        def move(work: Any) -> None:
            before: SourceState = work.sources.get("shop")
            work.sources.move("shop", before, mode, takes=takes, by="t", because="t", now=now)

        await self.store.write(move)
        await self.keeper.step()

    async def publish(self, *bodies: bytes, **how: Any) -> None:
        await asyncio.to_thread(lambda: self.road.publish(*bodies, **how))

    async def counts(self) -> dict[Fate, int]:
        return await self.store.read(lambda work: work.arrivals.counts("shop"))

    async def orders(self) -> int:
        asked = select(func.count()).select_from(tables.orders)
        return await self.store.read(lambda work: work.connection.execute(asked).scalar_one())

    async def tapped(self) -> dict[str, int]:
        return dict(await self.store.read(lambda work: work.shadow.tap_counts("shop")))

    async def tray(self) -> list[str]:
        tray = tables.unknown_messages.c
        asked = select(tray.why).where(tray.state == "open")
        found = await self.store.read(lambda work: work.connection.execute(asked).scalars().all())
        return sorted(why.partition(":")[0] for why in found)

    def keeps_and_never_acks(self) -> asyncio.Event:
        """What comes first is kept, and its ack never leaves; set when it is kept."""
        held = asyncio.Event()
        takers = cast("dict[Mode, Any]", self.keeper._served["shop"].takers)
        live = takers[Mode.LIVE]

        async def take(messages: Sequence[Message]) -> None:
            await live(messages)
            if not held.is_set():
                held.set()
                await asyncio.Event().wait()

        takers[Mode.LIVE] = take
        return held

    async def settled(self) -> bool:
        state: SourceState = await self.store.read(lambda work: work.sources.get("shop"))
        return not state.is_settling

    async def listens(self) -> bool:
        """Whether all is bound and consumed that it takes."""
        return self.keeper.is_up("shop")

    async def until(self, what: Callable[[], Any], seconds: float = 120) -> None:
        async with asyncio.timeout(seconds):
            while not await what():
                await self.keeper.step()
                await asyncio.sleep(0.05)

    async def until_taken(self, number: int) -> None:
        async def taken() -> bool:
            return sum((await self.counts()).values()) >= number

        await self.until(taken)
        await self.until_empty()

    async def until_empty(self) -> None:
        async def empty() -> bool:
            return await asyncio.to_thread(self.road.waiting) == 0

        await self.until(empty)


@asynccontextmanager
async def beside(
    store: Store, node: RabbitNode, folder: Path, kind: str = "classic"
) -> AsyncIterator[Beside]:
    """A maker's queue, and who takes it over."""
    road = OldRoad(node.url, kind)
    await asyncio.to_thread(road.begin)
    configure(folder)
    source = load({}, folder)[0].sources["shop"]
    shelf, clock, ids = Shelf(store), SystemClock(), Ids()
    policy = Policy()
    intake = Intake(
        shelf,
        _lane(shelf, policy),
        lambda: Catalogue(BOOK.materials, BOOK.skus),
        lambda _, now: now + policy.lead_time,
        clock,
        ids,
    )
    assert isinstance(source.road, QueueRoad)
    served = Served(
        "shop", node.url, source.road, takers(source, shelf, intake, _master(shelf), clock, ids)
    )
    keeper = SourceKeeper(shelf, [served], _leads, clock, Random(7), QUICK)
    try:
        yield Beside(store, shelf, road, keeper, intake)
    finally:
        shelf.away = False
        await keeper.stop()


def _master(store: Any) -> OrderMaster:
    return OrderMaster(store, SystemClock(), Ids(), Policy())


def _lane(shelf: Shelf, policy: Policy) -> Any:
    lane = shelf.accepting(policy)
    lane._lanes = shelf  # What is accepted goes away with the store as well.
    return lane


async def _leads() -> bool:
    return True


def some(first: int, last: int) -> Sequence[bytes]:
    return [order(n) for n in range(first, last)]


async def test_a_store_that_is_away_stops_the_consumer_and_loses_nothing(
    store: Store, node: RabbitNode, tmp_path: Path
) -> None:
    async with beside(store, node, tmp_path) as maker:
        await maker.go(Mode.LIVE, Takes.ORIGINAL)
        await maker.publish(*some(0, 5))
        await maker.until_taken(5)

        maker.shelf.away = True
        await maker.publish(*some(5, 30))
        await asyncio.sleep(1)
        assert await maker.orders() == 5
        assert await asyncio.to_thread(maker.road.waiting) > 0  # The broker keeps them.

        maker.shelf.away = False
        await maker.until_taken(30)
        assert await maker.counts() == {Fate.ACCEPTED: 30}


async def test_a_storm_of_duplicates_in_any_order_makes_each_order_once(
    store: Store, node: RabbitNode, tmp_path: Path
) -> None:
    chance = Random(11)
    storm = [(f"m-{n % 20}", order(n % 20)) for n in range(200)]
    storm += [(f"again-{n}", order(n)) for n in range(20)]  # The same orders, sent anew.
    chance.shuffle(storm)
    async with beside(store, node, tmp_path, "quorum") as maker:
        await maker.go(Mode.LIVE, Takes.ORIGINAL)
        await maker.publish(*[body for _, body in storm], ids=[name for name, _ in storm])

        await maker.until_taken(40)

        assert await maker.orders() == 20
        counted = await maker.counts()
        assert counted == {Fate.ACCEPTED: 20, Fate.AGAIN: 20}
        assert await maker.tray() == []


async def test_what_cannot_be_an_order_is_put_aside_with_its_reason_and_acked(
    store: Store, node: RabbitNode, tmp_path: Path
) -> None:
    async with beside(store, node, tmp_path) as maker:
        await maker.go(Mode.LIVE, Takes.ORIGINAL)
        await maker.publish(order(1), ids=["m-1"])
        await maker.until_taken(1)
        await maker.publish(b"not json", b"{}", order(2, "no-such-piece"), ids=["a", "b", "c"])
        await maker.publish(order(3), ids=["m-1"])  # Its id is known.
        await maker.publish(order(1, "chain-ag-45"), ids=["m-9"])  # Its number is known.
        await maker.publish(b"{}", kind="NobodyKnows", ids=["d"])
        await maker.publish(b"{}", kind="CartChanged", ids=["e"])

        await maker.until_taken(7)

        assert await maker.orders() == 1
        assert await maker.tray() == [
            *("invalid", "message-changed", "not-mapped", "not-mapped", "number-taken"),
            "unknown-kind",
        ]
        assert await maker.counts() == {Fate.ACCEPTED: 1, Fate.IGNORED: 1, Fate.ASIDE: 5}


@pytest.mark.parametrize("kind", ["classic", "quorum"])
async def test_on_the_way_back_what_was_kept_and_not_acked_is_not_left_to_the_old_consumer(
    kind: str, store: Store, node: RabbitNode, tmp_path: Path
) -> None:
    async with beside(store, node, tmp_path, kind) as maker:
        await maker.publish(*some(0, 20))
        held = maker.keeps_and_never_acks()
        await maker.go(Mode.LIVE, Takes.ORIGINAL)
        await asyncio.wait_for(held.wait(), 120)
        await maker.publish(*some(20, 25))

        await maker.go(Mode.BACK)
        await maker.until(maker.settled)
        left = await asyncio.to_thread(maker.road.consume)
        accepted = await maker.orders()
        assert accepted >= 20  # Also what came to us and was never looked at: it is ours.
        assert accepted + len(left) == 25
        assert left == some(25 - len(left), 25)


@pytest.mark.parametrize("kind", ["classic", "quorum"])
async def test_the_way_back_leaves_to_the_old_consumer_what_never_came_to_us(
    kind: str, store: Store, node: RabbitNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message that is looked at and given back comes marked the next time, as ours do."""
    monkeypatch.setattr(taker, "PREFETCH", 5)
    async with beside(store, node, tmp_path, kind) as maker:
        await maker.publish(*some(0, 25))
        held = maker.keeps_and_never_acks()
        await maker.go(Mode.LIVE, Takes.ORIGINAL)
        await asyncio.wait_for(held.wait(), 120)

        await maker.go(Mode.BACK)
        await maker.until(maker.settled)

        assert await maker.orders() == 5
        assert await asyncio.to_thread(maker.road.consume) == some(5, 25)


async def test_two_never_share_the_queue(store: Store, node: RabbitNode, tmp_path: Path) -> None:
    async with beside(store, node, tmp_path) as maker, _somebody(node):
        await maker.publish(*some(0, 3))
        await maker.go(Mode.LIVE, Takes.ORIGINAL)

        async def refused() -> bool:
            state = await maker.store.read(lambda work: work.sources.get("shop"))
            return "ACCESS_REFUSED" in (state.trouble or "")

        await maker.until(refused)
        assert await maker.orders() == 0


@asynccontextmanager
async def _somebody(node: RabbitNode) -> AsyncIterator[None]:
    async def keep(_: Any) -> None: ...

    async with admin(node.url) as channel:
        await channel.basic_consume(QUEUE, keep)
        yield


async def test_copies_are_accepted_beside_the_old_road_and_given_up_on_the_way_back(
    store: Store, node: RabbitNode, tmp_path: Path
) -> None:
    async with beside(store, node, tmp_path) as maker:
        await maker.go(Mode.LIVE, Takes.COPIES)
        await maker.until(maker.listens)
        assert await asyncio.to_thread(maker.road.has, copies_queue("shop"))
        await maker.publish(*some(0, 10))

        async def all_ten() -> bool:
            return await maker.orders() == 10

        await maker.until(all_ten)
        assert await asyncio.to_thread(maker.road.waiting) == 10

        await maker.go(Mode.BACK)
        assert not await asyncio.to_thread(maker.road.has, copies_queue("shop"))
        assert await asyncio.to_thread(maker.road.waiting) == 10


async def test_a_shadow_accepts_nothing_and_keeps_every_number(
    store: Store, node: RabbitNode, tmp_path: Path
) -> None:
    async with beside(store, node, tmp_path) as maker:
        await maker.go(Mode.SHADOW)

        await maker.until(maker.listens)
        await maker.publish(order(1), order(2, "no-such-piece"), b"{}")

        async def three() -> bool:
            return sum((await maker.tapped()).values()) == 3

        await maker.until(three)
        seen = await maker.store.read(lambda work: work.shadow.page("shop", None, None, 10))
        assert {(one.client_ref, one.verdict) for one in seen} == {
            ("S-1", "accept"),
            ("S-2", "refuse"),
        }
        assert await maker.orders() == 0
        assert await maker.tray() == ["not-mapped"]
        assert await asyncio.to_thread(maker.road.waiting) == 3


async def test_what_was_put_aside_comes_in_once_the_mapping_is_mended(
    store: Store, node: RabbitNode, tmp_path: Path
) -> None:
    async with beside(store, node, tmp_path) as maker:
        await maker.go(Mode.LIVE, Takes.ORIGINAL)
        await maker.publish(order(1), order(2), kind="OrderPlaced", ids=["a", "b"])
        await maker.publish(b"{}", kind="OrderPlaced", ids=["c"])
        await maker.until_taken(3)
        assert await maker.orders() == 0

        toml = (tmp_path / "orderkeep.toml").read_text(encoding="utf-8")
        mended = toml.replace("messages.OrderSubmitted", "messages.OrderPlaced")
        (tmp_path / "orderkeep.toml").write_text(mended, encoding="utf-8")
        settings, intake = load({}, tmp_path)[0], maker.intake
        for _ in range(2):  # As two processes would, one after the other.
            again = trying_again(settings, store, intake, _master(store), SystemClock(), Ids())
            await again.step()

        assert await maker.orders() == 2
        assert await maker.tray() == ["unknown-kind"]
        assert await maker.counts() == {Fate.ASIDE: 3, Fate.ACCEPTED: 2}
