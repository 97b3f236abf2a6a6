"""Every store shows the same lists, counts and sums of the same orders."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random

import pytest

from orderkeep.adapters.sql.ledger import ledger_of
from orderkeep.adapters.sql.migrate import migrate
from orderkeep.adapters.sql.postgres import store as postgres_store
from orderkeep.adapters.sql.postgres.store import PgStore
from orderkeep.adapters.sql.store import SqliteStore, open_store
from orderkeep.adapters.sql.work import SqlWork
from orderkeep.bench.accept import PARTNER, Submissions, add_partner
from orderkeep.board.filters import PageQuery, parse
from orderkeep.board.ports import Page, Wanted
from orderkeep.intake.ports import Submission
from orderkeep.kernel.bells import Bells
from orderkeep.kernel.ids import FileId, OrderNo, order_no
from orderkeep.orders.order import Stage
from orderkeep.orders.policy import Policy
from orderkeep.testing.store import SimStore

Store = SqliteStore | SimStore | PgStore
ORDERS = 120
NOON = datetime(2026, 12, 24, 12, tzinfo=UTC)
FILTERS: tuple[dict[str, str], ...] = (
    {},
    {"sort": "due"},
    {"sort": "changed"},
    {"stage": "SUBMITTED"},
    {"stage": "SUBMITTED,PACKAGING", "sort": "due"},
    {"stage": "CLOSED,CANCELLED"},
    {"stage": "CLOSED,SUBMITTED"},
    {"risk": "late,at_risk", "channel": "bench"},
    {"risk": "ok"},
    {"needs": "any"},
    {"needs": "price,uncertain", "sort": "due"},
    {"claim": "oleg"},
    {"claim": "free"},
    {"held": "1"},
    {"held": "1", "stage": "SUBMITTED"},
    {"material": "au585"},
    {"partner": PARTNER},
    {"q": "0001"},
)
# Everything the lists go by, from the order's number alone: the same orders in every store.
SCATTER = (
    "UPDATE orders SET stage = ?2, priority = ?3, risk = ?4, needs_person = ?5, is_open = (?6 > 0),"
    " is_claimable = (?7 > 0), claim_operator = ?8, due_at = CASE WHEN ?9 > 0 THEN due_at END,"
    " hold_until = CASE WHEN ?10 > 0 THEN due_at END WHERE n = ?1"
)


@pytest.fixture(params=["on disk", "on PostgreSQL"])
def store(
    request: pytest.FixtureRequest, tmp_path: Path, runner: asyncio.Runner
) -> Iterator[Store]:
    opened: Store
    if request.param == "on disk":
        url = f"sqlite:///{tmp_path / 'orderkeep.db'}"
        migrate(url)
        opened = open_store(url, Bells())
    else:
        address = request.getfixturevalue("postgres_url")
        opened = runner.run(postgres_store.open_store(address, Bells()))
    yield opened
    runner.run(opened.close())


@pytest.fixture
def model(runner: asyncio.Runner) -> Iterator[SimStore]:
    """What the other stores are compared with."""
    opened = SimStore()
    yield opened
    runner.run(opened.close())


async def fill(store: Store, submissions: Sequence[Submission]) -> None:
    await store.write(add_partner)
    lane = store.accepting(Policy())
    for submission in submissions:
        await lane.accept(submission)
    await store.write(scatter)


def scatter(work: SqlWork) -> None:
    chance = Random(7)
    for n in range(1, ORDERS + 1):
        stage = chance.choice(list(Stage))
        ended = stage in {Stage.CLOSED, Stage.CANCELLED}
        values = (
            n,
            str(stage),
            chance.randint(1, 3),
            chance.choice(["ok", "at_risk", "late"]),
            None if ended else chance.choice([None, "price", "uncertain"]),
            int(not ended),
            int(not ended and chance.random() < 0.3),
            None if ended else chance.choice([None, "oleg", "olga"]),
            int(chance.random() < 0.7),
            int(chance.random() < 0.3),
        )
        work.raw.execute(SCATTER, values)


async def pages(store: Store, wanted: dict[str, str]) -> list[OrderNo]:
    """Every order of a list, read page by page."""
    found: list[OrderNo] = []
    query = parse({**wanted, "limit": "7"}, "oleg")
    while True:
        page = await store.read(partial(page_of, query))
        found += [row.order_no for row in page.rows]
        if page.next is None:
            return found
        query = replace(query, after=page.next)


def page_of(query: PageQuery, work: SqlWork) -> Page:
    return work.board.page(query)


def everything_counted(work: SqlWork) -> list[object]:
    board = work.board
    return [
        board.counts("oleg"),
        board.approvals(None, 50),
        board.backlog(NOON),
        board.search_refs("0" * 30 + "1", 20),
        board.search_newest(Wanted("ring", contacts=True, limit=9, deadline=timedelta(seconds=9))),
        board.hops(order_no(3), [], [NOON]),
        board.submitted(order_no(3)),
        board.row(order_no(5)),
        ledger_of(work).balance(NOON),
        list(ledger_of(work).doubles()),
        sorted(work.timers.due(NOON + timedelta(days=90), ORDERS)),  # all due at one instant
        work.receipts.find(PARTNER, f"{7:032}", "unknown"),
        work.files.find([FileId("f" * 26)]),
    ]


async def test_every_store_shows_the_same(store: Store, model: SimStore) -> None:
    fresh = Submissions()
    submissions = [fresh.next() for _ in range(ORDERS)]
    await fill(model, submissions)
    await fill(store, submissions)

    for wanted in FILTERS:
        expected = await pages(model, wanted)
        assert await pages(store, wanted) == expected, wanted
    assert await store.read(everything_counted) == await model.read(everything_counted)
