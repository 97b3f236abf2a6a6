"""A present queue is taken over by the whole product: step by step, and killed on the way.

`make faults` does it on both stores and at every failpoint.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from orderkeep.adapters.rabbitmq.source import copies_queue
from orderkeep.testing.crew import Crew
from orderkeep.testing.old_road import OldRoad, configure, moved, order
from orderkeep.testing.postgres_server import PostgresServer
from orderkeep.testing.practice_mes import PracticeMesProcess
from orderkeep.testing.product import Keys, Product, change, copy, prepare
from orderkeep.testing.rabbitmq_node import RabbitNode
from orderkeep.testing.shop import MES, until

PREPARED = "prepared_for_sources"
ALL = "ORDERKEEP_ALL_FAULTS" in os.environ
STORES = ("SQLite", "PostgreSQL") if ALL else ("SQLite",)
PLACES = (
    ("source.before_keep", "source.after_keep", "source.after_ack")
    if ALL
    else ("source.after_keep",)
)
_TAPPED = "SELECT value FROM counters WHERE name = 'tap:shop:mapped'"


class OnSqlite(Product):
    """One process, restarted where it stands."""

    def again(self) -> None:
        assert self.start()

    def die_at(self, place: str) -> None:
        self.start(f"{place}:kill@1")
        assert self.wait() == -signal.SIGKILL

    def say(self, statement: str) -> None:
        change(self, statement)


class OnPostgres(Crew):
    """The same over PostgreSQL."""

    def again(self) -> None:
        self.begin(self.add())

    def wait(self) -> int | None:
        return self.hands[-1].wait() if self.hands else None

    def die_at(self, place: str) -> None:
        assert self.add(failpoint=f"{place}:kill@1").wait() == -signal.SIGKILL

    def say(self, statement: str) -> None:
        self.rows(statement)

    def signal(self, number: signal.Signals) -> None:
        self.hands[-1].signal(number)


@pytest.fixture(scope="module")
def node() -> Iterator[RabbitNode]:
    with RabbitNode(plugins=()) as running_node:
        yield running_node


@pytest.fixture(scope="module")
def server(postgres: PostgresServer) -> PostgresServer:
    return postgres


@pytest.fixture(scope="module")
def shared(server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return prepare(tmp_path_factory.mktemp("prepared"), server.database(name=PREPARED))


Maker = Callable[..., Any]
on_sqlite = pytest.mark.parametrize("a_maker", ["SQLite"], indirect=True)
"""What differs by store is tried on both in ``tests/integration/test_sources.py``."""


@pytest.fixture(params=STORES)
def a_maker(
    request: pytest.FixtureRequest, template: tuple[Path, Keys], node: RabbitNode, tmp_path: Path
) -> Maker:
    """Opens a product over a store, with a MES, beside a present broker."""

    @contextmanager
    def opened(queue_type: str = "classic") -> Iterator[tuple[Any, OldRoad, PracticeMesProcess]]:
        road = OldRoad(node.url, queue_type)
        road.begin()
        folder = tmp_path / "maker"
        with PracticeMesProcess(tmp_path / "journal.jsonl", "--lag", "0.2") as mes:
            far = {**MES, "mes_url": mes.address, "tap_url": node.url}
            with _product(request, template, folder, far) as product:
                configure(product.folder)
                yield product, road, mes

    return opened


@contextmanager
def _product(
    request: pytest.FixtureRequest,
    template: tuple[Path, Keys],
    folder: Path,
    settings: dict[str, str],
) -> Iterator[Any]:
    if request.param == "SQLite":
        copy(template[0], folder)
        with OnSqlite(folder, template[1], **settings) as product:
            yield product
        return
    server, keys = request.getfixturevalue("server"), request.getfixturevalue("shared")
    url = server.database(PREPARED)
    with OnPostgres(folder, keys, url, **settings) as crew:
        yield crew
    server.drop(url)


def step(product: Any, *words: str) -> None:
    assert product.command("sources", *words, "--because", "a test") == 0


def go(product: Any, mode: str, takes: str = "original") -> None:
    """Be there at once: the commands have a test of their own."""
    since = "0" if isinstance(product, OnSqlite) else "now()"
    product.say(
        "INSERT INTO sources (name, mode, since, by, because, takes)"
        f" VALUES ('shop', '{mode}', {since}, 'test', 'a test', '{takes}')"
        " ON CONFLICT (name) DO UPDATE SET mode = excluded.mode, takes = excluded.takes,"
        " settled_at = NULL"
    )


def refs(product: Any) -> list[str]:
    return sorted(ref for (ref,) in product.rows("SELECT client_ref FROM orders"))


def check(product: Any, road: OldRoad, mes: PracticeMesProcess, number: int) -> None:
    """Every order of the shop once: in the tables, at the MES, and none left at the broker."""
    wanted = sorted(f"S-{n}" for n in range(number))
    until(lambda: refs(product) == wanted, f"not every order came in: {len(refs(product))}")
    until(lambda: len(mes.effects()) == number, "not every order is made")
    until(lambda: road.waiting() == 0, "something waits at the broker")
    assert set(mes.effects().values()) == {1}
    fates = product.rows("SELECT fate, count(*) FROM arrivals GROUP BY fate")
    assert fates == [("accepted", number)]


def test_orders_of_a_real_queue_are_made(a_maker: Maker) -> None:
    with a_maker() as (product, road, mes):
        road.publish(*[order(n) for n in range(10)])
        product.again()
        for mode in ("tap", "shadow", "live"):
            step(product, mode, "shop")
        road.publish(*[order(n) for n in range(10, 20)])

        check(product, road, mes, 20)


@pytest.mark.parametrize("place", PLACES)
def test_killed_between_consume_commit_and_ack_every_order_is_made_once(
    place: str, a_maker: Maker
) -> None:
    with a_maker("quorum") as (product, road, mes):
        road.publish(*[order(n) for n in range(30)])
        go(product, "live")
        product.die_at(place)
        road.publish(*[order(n) for n in range(30, 40)])

        product.again()

        check(product, road, mes, 40)


@on_sqlite
def test_a_tap_that_is_killed_leaves_the_original_as_it_was(a_maker: Maker) -> None:
    with a_maker() as (product, road, _):
        go(product, "tap")
        product.again()
        until(lambda: _heard_anything(product, road), "the tap hears nothing")
        before = road.waiting()

        product.signal(signal.SIGKILL)
        product.wait()
        road.publish(*[order(n) for n in range(100, 150)])  # Each is confirmed, or this fails.

        assert road.waiting() == before + 50
        assert refs(product) == []


def _heard_anything(product: Any, road: OldRoad) -> bool:
    road.publish(order(road.waiting()))
    return bool(product.rows(_TAPPED))


@on_sqlite
def test_the_shadow_names_what_is_the_same_missing_and_different(a_maker: Maker) -> None:
    with a_maker() as (product, road, mes):
        go(product, "shadow")
        product.again()
        # Till the tap is there, nobody hears: this number is only to find out.
        until(lambda: _heard_anything(product, road), "the shadow hears nothing")
        for number in ("S-100", "S-102", "S-103", "S-103"):
            by_the_old_road(mes, number)
        # A MES may show the first of two jobs before the second: a look between is not this test.
        until(lambda: jobs_shown(mes, "S-103") == 2, "the MES does not show both jobs")
        road.publish(order(100), order(101), order(102, "no-such-piece"), order(103))

        def compared() -> dict[str, tuple[str, str | None]]:
            found = product.rows("SELECT client_ref, state, detail FROM shadow_orders")
            return {ref: (state, detail) for ref, state, detail in found}

        until(lambda: _settled(compared()), f"not everything was compared: {compared()}")
        found = compared()
        assert found["S-100"] == ("same", None)
        assert found["S-101"][0] == "missing"
        assert found["S-102"][0] == "differs"  # There it is made; here it would be refused.
        assert found["S-103"] == ("differs", "the old road made it 2 times")
        assert refs(product) == []

        # The old consumer had them and never said so: they are not made a second time.
        go(product, "live")
        until(lambda: road.waiting() == 0, "the queue is not taken over")
        until(lambda: "S-101" in refs(product), "what nobody made is not accepted")
        assert not {"S-100", "S-102", "S-103"} & set(refs(product))


def _settled(found: dict[str, tuple[str, str | None]]) -> bool:
    asked = {"S-100", "S-101", "S-102", "S-103"}
    return asked <= found.keys() and all(found[one][0] != "waiting" for one in asked)


def by_the_old_road(mes: PracticeMesProcess, number: str) -> None:
    """The old consumer hands an order over."""
    body = {"external_id": number, "positions": [{"position": 1, "sku": "studs-ag", "quantity": 1}]}
    answer = httpx.post(f"{mes.address}/api/orders", json=body, trust_env=False, timeout=30)
    assert answer.status_code == 201, answer.text


def jobs_shown(mes: PracticeMesProcess, number: str) -> int:
    """How many jobs of an order the MES admits to."""
    asked = {"ref": number}
    answer = httpx.get(f"{mes.address}/api/orders", params=asked, trust_env=False, timeout=30)
    return len(answer.json()["items"])


def test_killed_on_the_way_back_nothing_is_lost_or_left_to_be_made_twice(a_maker: Maker) -> None:
    with a_maker("quorum") as (product, road, mes):
        road.publish(*[order(n) for n in range(20)])
        go(product, "live")
        product.die_at("source.after_keep")  # Kept, and the broker does not know.
        go(product, "back")

        product.again()
        settled = "SELECT count(*) FROM sources WHERE settled_at IS NOT NULL"
        until(lambda: product.rows(settled) == [(1,)], "the way back does not end")

        left = road.consume()
        assert len(refs(product)) + len(left) == 20
        assert not {f"S-{n}" for n in range(20) if order(n) in left} & set(refs(product))
        until(lambda: len(mes.effects()) == len(refs(product)), "what is ours is not made")


@pytest.mark.parametrize("place", ["source.before_settle", "source.after_settle"])
def test_killed_between_the_last_look_and_its_mark_no_order_is_lost_or_in_two_hands(
    place: str, a_maker: Maker
) -> None:
    with a_maker("quorum") as (product, road, mes):
        road.publish(*[order(n) for n in range(20)])
        go(product, "live")
        product.die_at("source.after_keep")
        road.publish(*[order(n) for n in range(20, 30)])  # None of these ever came to us.
        go(product, "back")
        product.die_at(place)

        product.again()
        settled = "SELECT count(*) FROM sources WHERE settled_at IS NOT NULL"
        until(lambda: product.rows(settled) == [(1,)], "the way back does not end")

        left = road.consume()
        ours = refs(product)
        assert len(ours) + len(left) == 30
        assert not {f"S-{n}" for n in range(30) if order(n) in left} & set(ours)
        assert len(left) >= 9  # The last look marks one of them as ours.
        until(lambda: len(mes.effects()) == len(ours), "what is ours is not made")
        assert set(mes.effects().values()) == {1}


def mirror(product: Any, road: OldRoad) -> None:
    """Orders of the shop are copies of what is made elsewhere; the first is there."""
    step(product, "home", "channel", "shop", "mirrored")
    go(product, "live", "copies")
    product.again()
    until(lambda: road.has(copies_queue("shop")), "nobody listens")
    until(lambda: _copied(product, road), "no copy comes in")


@on_sqlite
def test_a_copy_is_kept_and_never_sent(a_maker: Maker) -> None:
    with a_maker() as (product, road, mes):
        mirror(product, road)

        priced = "SELECT count(*) FROM events WHERE kind = 'price.calculated'"
        until(lambda: product.rows(priced)[0][0] > 0, "it is not priced")
        time.sleep(1)  # Whatever would be sent is sent at once.
        assert mes.effects() == {}
        assert product.rows("SELECT count(*) FROM deliveries") == [(0,)]
        assert road.waiting() > 0  # The old road goes on.


def _copied(product: Any, road: OldRoad) -> bool:
    road.publish(order(road.waiting()))
    return bool(refs(product))


@on_sqlite
def test_a_copy_follows_its_home_also_when_we_are_killed(a_maker: Maker) -> None:
    with a_maker() as (product, road, mes):
        mirror(product, road)
        first = int(refs(product)[0].removeprefix("S-"))
        road.publish(moved(first, "in work"), kind="OrderMoved", ids=["m-1"])
        until(lambda: _stage(product, first) == "MANUFACTURING_STARTED", "its word is not followed")

        product.signal(signal.SIGKILL)
        product.wait()
        road.publish(
            moved(first, "posted", "T-1"), moved(first, "in work"), moved(first, "melting"),
            moved(10_000, "posted"), kind="OrderMoved", ids=["m-2", "m-1", "m-3", "m-4"],
        )  # fmt: skip
        product.die_at("source.after_keep")
        product.again()

        until(lambda: _stage(product, first) == "SHIPPED", "what came meanwhile is not followed")
        until(lambda: len(_aside(product)) == 2, f"not both are shown: {_aside(product)}")
        assert _aside(product) == {("shop", "not-mapped"), ("shop.words", "unknown-order")}
        events = product.rows(
            "SELECT kind FROM events WHERE order_n = (SELECT n FROM orders WHERE client_ref ="
            f" 'S-{first}') AND kind LIKE 'order.%' ORDER BY seq"
        )
        steps = ("submitted", "approved_elsewhere", "started", "completed", "packaging", "shipped")
        assert [kind for (kind,) in events] == [f"order.{name}" for name in steps]
        assert mes.effects() == {}
        assert product.command("verify") == 0


def _stage(product: Any, n: int) -> str:
    found = product.rows(f"SELECT stage FROM orders WHERE client_ref = 'S-{n}'")
    return str(found[0][0]) if found else ""


def _aside(product: Any) -> set[tuple[str, str]]:
    found = product.rows("SELECT source, why FROM unknown_messages")
    return {(source, why.partition(":")[0]) for source, why in found}
