"""A shop hands over through a database: whoever commits late is read, and nobody twice."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MethodType
from typing import Any, cast

import asyncpg
import pytest
from sqlalchemy import select

from orderkeep.adapters.sql import tables
from orderkeep.config import load
from orderkeep.http.office.said import said
from orderkeep.intake import sentences as say
from orderkeep.intake.accept import Intake
from orderkeep.intake.arrivals import Fate
from orderkeep.intake.checks import Catalogue
from orderkeep.intake.homes import CHANNEL, Flag
from orderkeep.intake.mapping import Source
from orderkeep.intake.modes import Mode, ModeRefused, Takes
from orderkeep.intake.polling import LARGE_PAGE, PAGE, START, Poller
from orderkeep.intake.roads import DatabaseRoad
from orderkeep.intake.shadow import (
    Compared,
    Comparison,
    Seen,
    Verdict,
    compare_with_mes,
)
from orderkeep.intake.taking_over import TakingOver
from orderkeep.kernel.clock import SystemClock
from orderkeep.kernel.errors import StoreBusy, Unavailable
from orderkeep.kernel.ids import Ids, order_no
from orderkeep.orders.evolve import rebuild
from orderkeep.orders.home import Home
from orderkeep.orders.master import OrderMaster
from orderkeep.orders.order import Stage
from orderkeep.orders.policy import Policy
from orderkeep.quoting.price_book import example_book
from orderkeep.roles.taking_over import astray, rows, takers
from orderkeep.testing import shared_shop
from orderkeep.testing.stores import Store

BOOK = example_book()


def source(folder: Path, url: str, **more: str) -> Source:
    shared_shop.hands_over(folder, url, partner="P", overlap="100", **more)
    return load({}, folder)[0].sources["shop"]


def poller(store: Any, shop: Source) -> Poller:
    """Looks whenever it is asked to, in a process that has heard of no flag."""
    clock, ids, policy = SystemClock(), Ids(), Policy()
    assert isinstance(shop.road, DatabaseRoad)
    at_once = DatabaseRoad(
        shop.road.url, shop.road.query, shop.road.cursor, shop.road.overlap, timedelta(0)
    )
    intake = Intake(
        store,
        store.accepting(policy),
        lambda: Catalogue(BOOK.materials, BOOK.skus),
        lambda _, now: now + policy.lead_time,
        clock,
        ids,
    )
    shop = shop._replace(road=at_once)
    master = OrderMaster(store, clock, ids, policy)
    return Poller(shop, store, takers(shop, store, intake, master, clock, ids), rows, astray, clock)


async def live(store: Store, shop: Source) -> None:
    over = TakingOver(store, {"shop": shop}, SystemClock(), Ids())
    for mode in (Mode.TAP, Mode.SHADOW):
        await over.move("shop", mode, "t", "t")
    with pytest.raises(ModeRefused, match="second time"):
        await over.move("shop", Mode.LIVE, "t", "t")
    moved = await over.move("shop", Mode.LIVE, "t", "t", old_road_closed=True)
    assert moved.takes is Takes.ROWS


async def taken(store: Store) -> list[str]:
    asked = select(tables.orders.c.client_ref)
    found = await store.read(lambda work: work.connection.execute(asked).scalars().all())
    return sorted(found, key=int)


async def counts(store: Store) -> dict[Fate, int]:
    return await store.read(lambda work: work.arrivals.counts("shop"))


def sold(path: Path, *statements: str) -> None:
    """The shop works with its own database."""
    with closing(sqlite3.connect(path)) as raw:
        for statement in statements:
            raw.execute(statement)
        raw.commit()


ONE = "INSERT INTO sold (buyer) VALUES ('Anna')"
TABLE = "CREATE TABLE sold (id INTEGER PRIMARY KEY, buyer TEXT)"


async def test_what_is_there_already_went_the_old_road(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    sold(path, TABLE, ONE, ONE)
    shop = source(tmp_path, f"sqlite:///{path}")
    await live(store, shop)
    looks = poller(store, shop)

    await looks.step()
    assert await taken(store) == []
    sold(path, *[ONE] * 3)
    await looks.step()

    # The two before are read again, as part of the overlap: their makers are known.
    assert await taken(store) == ["3", "4", "5"]
    assert await counts(store) == {Fate.ACCEPTED: 3, Fate.ELSEWHERE: 2}


async def test_an_empty_table_is_read_from_its_first_row(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    sold(path, TABLE)
    shop = source(tmp_path, f"sqlite:///{path}")
    await live(store, shop)
    looks = poller(store, shop)
    await looks.step()

    sold(path, *[ONE] * (PAGE + 7))
    await looks.step()

    assert len(await taken(store)) == PAGE + 7
    before = await counts(store)
    await looks.step()
    assert await counts(store) == before == {Fate.ACCEPTED: PAGE + 7}


async def test_whoever_commits_late_is_not_skipped(
    store: Store, tmp_path: Path, postgres_url: str
) -> None:
    """The first to take a number is the last to commit."""
    early, late = await asyncpg.connect(postgres_url), await asyncpg.connect(postgres_url)
    await early.execute("CREATE TABLE sold (id bigserial PRIMARY KEY, buyer text)")
    shop = source(tmp_path, postgres_url)
    await live(store, shop)
    looks = poller(store, shop)
    await looks.step()

    transaction = late.transaction()
    await transaction.start()
    await late.execute(ONE)
    await early.execute(ONE)
    await looks.step()
    assert await taken(store) == ["2"]

    await transaction.commit()
    await looks.step()
    assert await taken(store) == ["1", "2"]
    assert await counts(store) == {Fate.ACCEPTED: 2}
    await early.close()
    await late.close()


async def test_what_was_kept_before_the_place_was_is_not_taken_twice(
    store: Store, tmp_path: Path
) -> None:
    """A crash between the orders and the cursor: another process begins where the last one was."""
    path = tmp_path / "shop.db"
    sold(path, TABLE)
    shop = source(tmp_path, f"sqlite:///{path}")
    await live(store, shop)
    first: Any = poller(store, shop)
    await first.step()
    sold(path, *[ONE] * 5)

    async def dies(_: str) -> None:
        raise StoreBusy("as if the process had ended here")

    first._keep = dies
    await first.step()
    assert len(await taken(store)) == 5
    assert (await store.read(lambda work: work.sources.get("shop"))).cursor == START

    await poller(store, shop).step()

    assert await counts(store) == {Fate.ACCEPTED: 5}


async def test_whoever_is_in_the_middle_of_a_look_takes_nothing_after_the_way_back(
    store: Store, tmp_path: Path
) -> None:
    """It may lead no more: who leads says meanwhile that the old road may begin."""
    path = tmp_path / "shop.db"
    sold(path, TABLE)
    shop = source(tmp_path, f"sqlite:///{path}")
    await live(store, shop)
    over, looks = TakingOver(store, {"shop": shop}, SystemClock(), Ids()), poller(store, shop)
    await looks.step()
    sold(path, *[ONE] * (PAGE + 1))
    slow: Any = poller(store, shop)

    async def given_back(road: DatabaseRoad, since: Any, most: int) -> Any:
        if since == PAGE:
            await over.move("shop", Mode.BACK, "t", "t")
            await looks.step()
        return await rows(road, since, most)

    slow._rows = given_back
    await slow.step()

    state = await store.read(lambda work: work.sources.get("shop"))
    assert (state.is_settling, len(await taken(store))) == (False, PAGE)


@pytest.mark.parametrize("begun", [Mode.TAP, Mode.SHADOW, Mode.LIVE])
async def test_a_page_that_was_read_before_somebody_else_led_is_not_kept(
    store: Store, tmp_path: Path, begun: Mode
) -> None:
    """Paused between reading and keeping; by then another leads, and has given the rows back."""
    path = tmp_path / "shop.db"
    sold(path, TABLE)
    shop = source(tmp_path, f"sqlite:///{path}")
    over, looks = TakingOver(store, {"shop": shop}, SystemClock(), Ids()), poller(store, shop)
    for mode in (Mode.TAP, Mode.SHADOW, Mode.LIVE)[: list(Mode).index(begun)]:
        await over.move("shop", mode, "t", "t", old_road_closed=True)
        await looks.step()
    sold(path, *[ONE] * 3)
    slow: Any = poller(store, shop)
    take = slow._takers[begun]

    async def late(*page: Any) -> Any:
        await over.move("shop", Mode.OFF if begun is not Mode.LIVE else Mode.BACK, "t", "t")
        await looks.step()
        return await take(*page)

    slow._takers = {begun: late}
    await slow.step()

    state = await store.read(lambda work: work.sources.get("shop"))
    assert (state.is_settling, await taken(store), await counts(store)) == (False, [], {})
    assert await store.read(lambda work: work.shadow.tap_counts("shop")) == {}
    assert await store.read(lambda work: work.shadow.page("shop", None, None, 9)) == []


async def test_two_that_both_believe_to_lead_take_each_row_once(
    store: Store, tmp_path: Path
) -> None:
    path = tmp_path / "shop.db"
    sold(path, TABLE)
    shop = source(tmp_path, f"sqlite:///{path}")
    await live(store, shop)
    looks, slow = poller(store, shop), cast(Any, poller(store, shop))
    await looks.step()
    sold(path, *[ONE] * 3)
    take = slow._takers[Mode.LIVE]

    async def late(*page: Any) -> Any:
        await looks.step()
        sold(path, ONE)
        return await take(*page)

    slow._takers = {Mode.LIVE: late}
    await slow.step()

    assert (await taken(store), await counts(store)) == (["1", "2", "3"], {Fate.ACCEPTED: 3})
    await looks.step()
    assert await taken(store) == ["1", "2", "3", "4"]


async def test_what_the_old_road_took_after_the_way_back_is_not_made_a_second_time(
    store: Store, tmp_path: Path
) -> None:
    """Its rows lie behind our place, and nothing but the MES tells who has made them."""
    path = tmp_path / "shop.db"
    sold(path, TABLE, *[ONE] * 200)
    shop = source(tmp_path, f"sqlite:///{path}")
    await live(store, shop)
    looks, over = poller(store, shop), TakingOver(store, {"shop": shop}, SystemClock(), Ids())
    await looks.step()
    await over.move("shop", Mode.BACK, "t", "a rehearsal")
    await over.move("shop", Mode.LIVE, "t", "at once: nobody else has begun", old_road_closed=True)
    await over.move("shop", Mode.BACK, "t", "another one")
    await looks.step()

    sold(path, *[ONE] * 150)
    with pytest.raises(ModeRefused, match="let the shadow see them first"):
        await over.move("shop", Mode.LIVE, "t", "t", old_road_closed=True)
    await over.move("shop", Mode.SHADOW, "t", "t")
    with pytest.raises(ModeRefused, match="has not looked yet"):
        await over.move("shop", Mode.LIVE, "t", "t", old_road_closed=True)
    await looks.step()

    seen = await store.read(lambda work: work.shadow.page("shop", Comparison.WAITING, None, 500))
    assert len(seen) == 150
    await over.move("shop", Mode.LIVE, "t", "t", old_road_closed=True)


async def test_a_database_that_is_away_is_said_and_read_again_later(
    store: Store, tmp_path: Path
) -> None:
    path = tmp_path / "shop.db"
    shop = source(tmp_path, f"sqlite:///{path}")
    await live(store, shop)
    looks = poller(store, shop)

    await looks.step()
    state = await store.read(lambda work: work.sources.get("shop"))
    assert "cannot be opened" in (state.trouble or "")
    sold(path, TABLE)
    await looks.step()
    sold(path, ONE)
    await looks.step()

    state = await store.read(lambda work: work.sources.get("shop"))
    assert (state.trouble, await taken(store)) == (None, ["1"])


async def test_the_query_can_only_read(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    sold(path, TABLE, ONE)
    shop = source(tmp_path, f"sqlite:///{path}")
    assert isinstance(shop.road, DatabaseRoad)
    evil = "SELECT 1) AS q; DELETE FROM sold; SELECT * FROM (SELECT 1 AS id"
    bad = DatabaseRoad(shop.road.url, evil, "id", 100, timedelta(0))
    await live(store, shop)

    await poller(store, shop._replace(road=bad)).step()

    state = await store.read(lambda work: work.sources.get("shop"))
    assert state.trouble
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("SELECT count(*) FROM sold").fetchone() == (1,)


# --- rows without a place -------------------------------------------------------------------------


async def trouble(store: Store) -> str:
    return (await store.read(lambda work: work.sources.get("shop"))).trouble or ""


async def test_nothing_begins_while_a_row_has_no_place(store: Store, tmp_path: Path) -> None:
    """It would be passed over: nobody comes by it."""
    path = tmp_path / "shop.db"
    sold(path, SOLD, "INSERT INTO sold VALUES (1, 'Anna', 'new', NULL, NULL)")
    shop = source(tmp_path, f"sqlite:///{path}", **CHANGED)
    over, looks = TakingOver(store, {"shop": shop}, SystemClock(), Ids()), poller(store, shop)
    await over.move("shop", Mode.TAP, "t", "t")

    await looks.step()

    assert "without a value in `changed`" in await trouble(store)
    told = said(await trouble(store))
    assert told is not None
    assert (told.code, told.facts) == ("source_without_place", {"column": "changed"})
    assert (await store.read(lambda work: work.sources.get("shop"))).cursor is None
    sold(path, "UPDATE sold SET changed = 1")
    await looks.step()
    assert await trouble(store) == ""


async def test_a_row_without_a_place_is_said_keeps_nobody_waiting_and_is_taken_once_it_has_one(
    store: Store, tmp_path: Path, postgres_url: str
) -> None:
    shop_server = await asyncpg.connect(postgres_url)
    await shop_server.execute("CREATE TABLE sold (id int, buyer text, changed bigint)")
    shop = source(tmp_path, postgres_url, columns="id, buyer, changed", cursor="changed")
    await live(store, shop)
    looks = poller(store, shop)
    await looks.step()

    await shop_server.execute("INSERT INTO sold VALUES (1, 'Anna', NULL), (2, 'Boris', 2)")
    await looks.step()
    assert await taken(store) == ["2"]
    assert "without a value in `changed`" in await trouble(store)

    await shop_server.execute("UPDATE sold SET changed = 3 WHERE id = 1")
    await looks.step()
    assert (await taken(store), await trouble(store)) == (["1", "2"], "")
    await shop_server.close()


async def test_a_table_that_was_empty_when_we_began_is_read_past_a_row_without_a_place(
    store: Store, tmp_path: Path
) -> None:
    path = tmp_path / "shop.db"
    sold(path, SOLD)
    shop = source(tmp_path, f"sqlite:///{path}", **CHANGED)
    await live(store, shop)
    looks = poller(store, shop)
    await looks.step()

    sold(path, "INSERT INTO sold VALUES (1, 'Anna', 'new', NULL, NULL)")
    sold(path, "INSERT INTO sold VALUES (2, 'Boris', 'new', NULL, 5)")
    await looks.step()

    assert await taken(store) == ["2"]
    assert "without a value in `changed`" in await trouble(store)


# --- rows that the shadow still looks for ---------------------------------------------------------


async def left_by_a_shadow(store: Store, folder: Path, *statements: str) -> tuple[Path, Source]:
    """A source just gone live, whose shadow does not know yet who has the rows that it saw."""
    path = folder / "shop.db"
    sold(path, TABLE, ONE)
    shop = source(folder, f"sqlite:///{path}")
    over, looks = TakingOver(store, {"shop": shop}, SystemClock(), Ids()), poller(store, shop)
    await over.move("shop", Mode.TAP, "t", "t")
    await looks.step()
    await over.move("shop", Mode.SHADOW, "t", "t")
    sold(path, *statements)
    await looks.step()
    await over.move("shop", Mode.LIVE, "t", "t", old_road_closed=True)
    return path, shop


async def settle(store: Store, ref: str, found: Compared) -> None:
    """The shadow has looked, beside the live source."""
    due = await store.read(lambda work: work.shadow.to_look(SystemClock().now(), 999))
    [order] = [one for one in due if one.client_ref == ref]
    await store.write(lambda work: work.shadow.looked(order, found))


async def left(store: Store, shop: Source) -> int:
    [shown] = await TakingOver(store, {"shop": shop}, SystemClock(), Ids()).all()
    return shown.left


async def test_what_the_shadow_still_looks_for_is_left_and_new_rows_are_taken(
    store: Store, tmp_path: Path
) -> None:
    """The old road has it, and the MES shows it late: taken at once it would be made twice."""
    path, shop = await left_by_a_shadow(store, tmp_path, ONE, ONE)
    looks = poller(store, shop)
    await looks.step()
    assert (await taken(store), await left(store, shop)) == ([], 2)

    sold(path, *[ONE] * 200)
    await looks.step()
    assert await taken(store) == [str(n) for n in range(4, 204)]
    assert await poller(store, shop).step() == 0  # Another process begins where this one was.
    assert len(await taken(store)) == 200

    await settle(store, "2", Compared(Comparison.SAME, None, None, "M-2"))
    await settle(store, "3", Compared(Comparison.MISSING, "nobody makes it", None))
    await poller(store, shop).step()
    assert await taken(store) == [str(n) for n in range(3, 204)]
    assert await left(store, shop) == 0
    assert (await counts(store))[Fate.ACCEPTED] == 201


async def test_what_the_shadow_saw_long_before_is_not_passed_either(
    store: Store, tmp_path: Path
) -> None:
    """The old road may take longer than any transaction: such a row lies before the overlap."""
    _, shop = await left_by_a_shadow(store, tmp_path, *[ONE] * (PAGE + 300))
    looks = poller(store, shop)
    await looks.step()
    assert (await taken(store), await left(store, shop)) == ([], PAGE + 300)

    await settle(store, "2", Compared(Comparison.MISSING, "nobody makes it", None))
    await looks.step()
    assert await taken(store) == ["2"]

    await settle(store, "3", Compared(Comparison.SAME, None, None, "M-3"))
    await looks.step()
    state = await store.read(lambda work: work.sources.get("shop"))
    assert (await taken(store), state.cursor) == (["2"], "3")


async def test_where_the_mes_cannot_be_asked_nothing_is_left(store: Store, tmp_path: Path) -> None:
    _, shop = await left_by_a_shadow(store, tmp_path, ONE)
    await settle(store, "2", Compared(Comparison.WAITING, "the MES cannot be asked", None))

    await poller(store, shop).step()

    assert (await taken(store), await left(store, shop)) == (["2"], 0)


async def changed_before_live(store: Store, folder: Path) -> Source:
    """The shadow waits for an order, and the shop changes it; the old road may have either."""
    path = folder / "shop.db"
    sold(path, SOLD)
    shop = source(folder, f"sqlite:///{path}", **CHANGED)
    over, looks = TakingOver(store, {"shop": shop}, SystemClock(), Ids()), poller(store, shop)
    await over.move("shop", Mode.TAP, "t", "t")
    await looks.step()
    await over.move("shop", Mode.SHADOW, "t", "t")
    sold(path, "INSERT INTO sold VALUES (1, 'Anna', 'new', NULL, 1)")
    await looks.step()
    sold(path, "UPDATE sold SET buyer = 'Anja', changed = 2")
    await looks.step()
    await over.move("shop", Mode.LIVE, "t", "t", old_road_closed=True)
    return shop


async def test_what_changed_while_the_shadow_waited_is_left_and_looked_for(
    store: Store, tmp_path: Path
) -> None:
    """Whoever made the first of it has the number: taken at once it would be made twice."""
    shop = await changed_before_live(store, tmp_path)

    await poller(store, shop).step()

    assert (await taken(store), await left(store, shop)) == ([], 1)
    [seen] = await store.read(lambda work: work.shadow.page("shop", None, None, 9))
    assert (seen.state, seen.detail, seen.came_twice) == (
        Comparison.DIFFERS,
        say.CAME_TWICE(),
        True,
    )

    await settle(store, "1", compare_with_mes(seen, ["M-1"], timedelta(0), seen.at))
    await poller(store, shop).step()
    assert (await taken(store), await left(store, shop)) == ([], 0)
    [seen] = await store.read(lambda work: work.shadow.page("shop", None, None, 9))
    assert (seen.state, seen.detail) == (Comparison.DIFFERS, say.CAME_TWICE())


async def test_what_changed_and_nobody_makes_is_taken_as_it_is_now(
    store: Store, tmp_path: Path
) -> None:
    shop = await changed_before_live(store, tmp_path)
    [seen] = await store.read(lambda work: work.shadow.page("shop", None, None, 9))

    await settle(store, "1", compare_with_mes(seen, [], timedelta(0), seen.at))
    await poller(store, shop).step()

    asked = select(tables.submissions.c.body)
    [body] = await store.read(lambda work: work.connection.execute(asked).scalars().all())
    assert b"Anja" in bytes(body)
    [seen] = await store.read(lambda work: work.shadow.page("shop", None, None, 9))
    assert (seen.state, seen.detail) == (Comparison.MISSING, say.CAME_TWICE())


async def test_what_was_looked_up_before_it_changed_says_nothing_of_it(
    store: Store, tmp_path: Path
) -> None:
    _, shop = await left_by_a_shadow(store, tmp_path, ONE)
    due = await store.read(lambda work: work.shadow.to_look(SystemClock().now(), 9))
    [before] = [one for one in due if one.client_ref == "2"]
    seen = Seen("2", "m", "0" * 64, Verdict.ACCEPT)
    await store.write(lambda work: work.shadow.see("shop", seen, SystemClock().now()))

    await store.write(
        lambda work: work.shadow.looked(before, Compared(Comparison.MISSING, None, None))
    )

    assert await left(store, shop) == 1


async def test_a_copy_is_left_to_nobody(store: Store, tmp_path: Path) -> None:
    _, shop = await left_by_a_shadow(store, tmp_path, ONE)
    await store.write(lambda work: work.homes.put(MIRRORED))

    await poller(store, shop).step()

    assert (await taken(store), await left(store, shop)) == (["2"], 0)


# --- a copy follows the rows of its home ----------------------------------------------------------

FOLLOWED = """
status = "state"
tracking_no = "parcel"

[sources.shop.values.status]
new = "accepted"
"in work" = "started"
posted = "shipped"
refused = "cancelled"
asked = "ignored"
"""
MIRRORED = Flag(CHANNEL, "shop", Home.MIRRORED, datetime(2026, 3, 2, tzinfo=UTC), "t")
SOLD = (
    "CREATE TABLE sold (id INTEGER PRIMARY KEY, buyer TEXT, state TEXT, parcel TEXT,"
    " changed INTEGER)"
)


CHANGED = {"columns": "id, buyer, state, parcel, changed", "cursor": "changed"}
"""A cursor that grows with every change of a row."""


def old_sales(path: Path, count: int) -> None:
    """So many orders of earlier years, each with its own instant."""
    with closing(sqlite3.connect(path)) as raw:
        raw.execute(SOLD)
        rows = ((n, "A", "posted", "T", n) for n in range(1, count + 1))
        raw.executemany("INSERT INTO sold VALUES (?, ?, ?, ?, ?)", rows)
        raw.commit()


async def test_an_order_of_before_is_the_old_roads_whenever_the_shop_touches_it(
    store: Store, tmp_path: Path
) -> None:
    path = tmp_path / "shop.db"
    old_sales(path, 299)
    shop = source(tmp_path, f"sqlite:///{path}", **CHANGED)
    await live(store, shop)
    looks = poller(store, shop)
    await looks.step()

    sold(path, "UPDATE sold SET parcel = 'T2', changed = 1000 WHERE id = 7")
    await looks.step()

    assert await taken(store) == []
    assert set(await counts(store)) == {Fate.ELSEWHERE}  # The overlap is read again too.


async def test_what_was_tapped_went_the_old_road_too(store: Store, tmp_path: Path) -> None:
    """It came after we began, and before anybody compared or took."""
    path = tmp_path / "shop.db"
    old_sales(path, 1)
    shop = source(tmp_path, f"sqlite:///{path}", **CHANGED)
    over, looks = TakingOver(store, {"shop": shop}, SystemClock(), Ids()), poller(store, shop)
    await over.move("shop", Mode.TAP, "t", "t")
    await looks.step()
    sold(path, "INSERT INTO sold VALUES (2, 'A', 'new', NULL, 500)")
    await looks.step()
    await over.move("shop", Mode.SHADOW, "t", "t")
    await looks.step()
    assert await store.read(lambda work: work.shadow.page("shop", None, None, 9)) == []
    await over.move("shop", Mode.LIVE, "t", "t", old_road_closed=True)

    sold(path, "UPDATE sold SET parcel = 'T2', changed = 1000")
    sold(path, "INSERT INTO sold VALUES (3, 'A', 'new', NULL, 1001)")
    await looks.step()

    assert await taken(store) == ["3"]


async def test_a_beginning_that_is_killed_begins_anew_and_forgets_nothing(
    store: Store, tmp_path: Path
) -> None:
    path = tmp_path / "shop.db"
    count = 2 * LARGE_PAGE + 7
    old_sales(path, count)
    shop = source(tmp_path, f"sqlite:///{path}", **CHANGED)
    over = TakingOver(store, {"shop": shop}, SystemClock(), Ids())
    dying: Any = poller(store, shop)
    for mode in (Mode.TAP, Mode.SHADOW):
        await over.move("shop", mode, "t", "t")
    pages = 0

    async def dies(*asked: Any) -> Any:
        nonlocal pages
        pages += 1
        if pages == 3:
            raise Unavailable("as if the process had ended here")
        return await rows(*asked)

    dying._rows = dies
    await dying.step()
    with pytest.raises(ModeRefused, match="still being read"):
        await over.move("shop", Mode.LIVE, "t", "t", old_road_closed=True)

    # The shop goes on meanwhile: what had its turn already is behind the last row now.
    sold(path, f"UPDATE sold SET changed = {count + 1} WHERE id = {count - 1}")
    looks = poller(store, shop)
    await looks.step()
    await over.move("shop", Mode.LIVE, "t", "t", old_road_closed=True)
    sold(path, f"UPDATE sold SET parcel = 'T2', changed = {count} + id + 1 WHERE id % 1000 < 3")
    sold(path, f"INSERT INTO sold VALUES ({count + 1}, 'A', 'new', NULL, 999999)")
    await looks.step()

    assert await taken(store) == [str(count + 1)]


async def stages(store: Store) -> dict[str, str]:
    asked = select(tables.orders.c.client_ref, tables.orders.c.stage)
    found = await store.read(lambda work: work.connection.execute(asked).all())
    return {str(ref): str(stage) for ref, stage in found}


async def in_tray(store: Store) -> list[tuple[str, str]]:
    page = await store.read(lambda work: work.tray.page(None, None, 10))
    return [(one.source, one.why.partition(":")[0]) for one in page]


async def a_followed_shop(store: Store, folder: Path) -> tuple[Path, Poller]:
    path = folder / "shop.db"
    sold(path, SOLD)
    shop = source(folder, f"sqlite:///{path}", more=FOLLOWED, **CHANGED)
    await live(store, shop)
    await store.write(lambda work: work.homes.put(MIRRORED))
    looks = poller(store, shop)
    await looks.step()
    return path, looks


async def test_a_copy_is_one_whatever_this_process_has_heard_of_the_flags(
    store: Store, tmp_path: Path
) -> None:
    """It may have gone live a moment after its flag was set: taken for ours it is made twice."""
    path, looks = await a_followed_shop(store, tmp_path)
    sold(path, "INSERT INTO sold VALUES (1, 'Anna', 'new', NULL, 1)")

    await looks.step()

    history = await store.read(lambda work: work.orders.history(order_no(1)))
    assert rebuild(history).home is Home.MIRRORED


async def test_a_changed_row_leads_the_copy_of_its_order(store: Store, tmp_path: Path) -> None:
    path, looks = await a_followed_shop(store, tmp_path)
    sold(
        path,
        "INSERT INTO sold VALUES (1, 'Anna', 'new', NULL, 1)",
        "INSERT INTO sold VALUES (2, 'Boris', 'in work', NULL, 2)",
        "INSERT INTO sold VALUES (3, 'Vera', 'asked', NULL, 3)",
    )
    await looks.step()
    assert await stages(store) == {
        "1": Stage.SUBMITTED,
        "2": Stage.MANUFACTURING_STARTED,
        "3": Stage.SUBMITTED,
    }

    sold(
        path,
        "UPDATE sold SET state = 'posted', parcel = 'T-1', changed = 4 WHERE id = 1",
        "UPDATE sold SET state = 'new', changed = 5 WHERE id = 2",
        "UPDATE sold SET state = 'refused', changed = 6 WHERE id = 3",
    )
    await looks.step()

    assert await stages(store) == {
        "1": Stage.SHIPPED,
        "2": Stage.MANUFACTURING_STARTED,  # The furthest that was said.
        "3": Stage.CANCELLED,
    }
    assert await in_tray(store) == []


async def test_a_word_that_nobody_understands_waits_in_the_tray(
    store: Store, tmp_path: Path
) -> None:
    path, looks = await a_followed_shop(store, tmp_path)
    sold(path, "INSERT INTO sold VALUES (1, 'Anna', 'in work', NULL, 1)")
    await looks.step()

    sold(path, "UPDATE sold SET state = 'melting', changed = 2 WHERE id = 1")
    await looks.step()

    assert await stages(store) == {"1": Stage.MANUFACTURING_STARTED}
    assert await in_tray(store) == [("shop", "not-mapped")]


async def test_killed_between_the_order_and_its_word_both_come_in(
    store: Store, tmp_path: Path
) -> None:
    path, looks = await a_followed_shop(store, tmp_path)
    takes = looks._takers[Mode.LIVE]
    assert isinstance(takes, MethodType)
    dying: Any = takes.__self__
    follow = dying._follow

    def dies(*_: Any) -> bool:
        raise StoreBusy("as if the process had ended here")

    dying._follow = dies
    sold(path, "INSERT INTO sold VALUES (1, 'Anna', 'in work', NULL, 1)")
    await looks.step()
    assert await stages(store) == {"1": Stage.SUBMITTED}

    dying._follow = follow
    await looks.step()

    assert await stages(store) == {"1": Stage.MANUFACTURING_STARTED}
