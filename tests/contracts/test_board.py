"""Every store shows the same lists, counts and sums of the same orders."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random

import pytest

from orderkeep.adapters.sql.ledger import ledger_of
from orderkeep.adapters.sql.work import SqlWork
from orderkeep.bench.accept import PARTNER, Submissions, add_partner
from orderkeep.board.filters import PageQuery, parse
from orderkeep.board.ports import Page, Wanted
from orderkeep.delivery.envelope import Envelope
from orderkeep.intake.ports import Submission
from orderkeep.kernel.ids import EnvelopeId, FileId, OrderNo, order_no
from orderkeep.orders.order import Stage
from orderkeep.orders.policy import Policy
from orderkeep.testing.store import SimStore
from orderkeep.testing.stores import ON_DISK, ON_POSTGRESQL, Store

# The store in memory is what the others are compared with.
pytestmark = pytest.mark.parametrize("store", [ON_DISK, ON_POSTGRESQL], indirect=True)
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


async def test_the_backlog_says_how_long_the_oldest_has_waited_to_be_handled(store: Store) -> None:
    def receive(work: SqlWork, consumer: str, after_s: int) -> None:
        one = Envelope(EnvelopeId(consumer), "priced", 1, consumer, NOON, "t", b"{}")
        work.inbox.receive(consumer, [one], NOON + timedelta(seconds=after_s))

    def waits_s(work: SqlWork) -> float:
        return work.board.backlog(NOON + timedelta(seconds=90)).oldest_unhandled_s

    assert await store.read(waits_s) == 0.0
    await store.write(partial(receive, consumer="quoting", after_s=30))
    await store.write(partial(receive, consumer="bridge", after_s=10))

    assert await store.read(waits_s) == 80.0
