"""Every store counts the same balance, and keeps it: runs, a trend, differences with their age."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import msgspec
import pytest
import structlog
from sqlalchemy import insert

from orderkeep.adapters.sql import tables
from orderkeep.adapters.sql.explain import facts_of
from orderkeep.adapters.sql.ledger import ledger_of
from orderkeep.adapters.sql.work import SqlWork
from orderkeep.bench.accept import PARTNER, Submissions, add_partner
from orderkeep.kernel.ids import Ids, OrderNo, order_no, work_order_ref
from orderkeep.kernel.money import Money
from orderkeep.ledger.balance import Balance, Class, Difference, Proof, Sums
from orderkeep.ledger.keeping import NAMED_AT_ONCE, Keeper, Tables
from orderkeep.ledger.kept import HOURS_KEPT, MINUTES_KEPT, Noted, Run
from orderkeep.orders import commands as c
from orderkeep.orders.events import Actor, ActorKind, Cause
from orderkeep.orders.master import OrderMaster
from orderkeep.orders.order import Delivered
from orderkeep.orders.policy import Policy
from orderkeep.testing.clock import TestClock
from orderkeep.testing.stores import Store

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)  # before any envelope: none is late
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
POLICY = Policy()
SELLER = Cause(Actor(ActorKind.PERSON, "sofia", "seller"), "test", "office", "1" * 32)
OTHER = "other"


@pytest.fixture
def clock() -> TestClock:
    return TestClock(NOON)


@pytest.fixture
def store(store: Store, runner: asyncio.Runner) -> Store:
    runner.run(store.write(add_partner))
    runner.run(store.write(add_another))
    return store


def add_another(work: SqlWork) -> None:
    partner = {"id": OTHER, "name": "Other", "created_at": NOON}
    work.connection.execute(insert(tables.partners), partner)


async def accept(store: Store, count: int) -> list[OrderNo]:
    lane, submissions = store.accepting(POLICY), Submissions()
    accepted = [await lane.accept(submissions.next()) for _ in range(count)]
    return [one.order_no for one in accepted]


async def do(store: Store, no: OrderNo, *commands: c.OrderCommand) -> None:
    master = OrderMaster(store, TestClock(NOON), Ids(), POLICY)
    for command in commands:
        await master.handle(no, command, SELLER)


def priced() -> c.OrderCommand:
    return c.RecordPrice(1, Money(Decimal(90), "EUR"), [], "book")


def delivered(no: OrderNo, *states: Delivered) -> list[c.OrderCommand]:
    return [c.RecordDelivery("mes", work_order_ref(no, 1), state) for state in states]


async def count(store: Store, now: datetime = NOON) -> Balance:
    return await store.read_long(lambda work: ledger_of(work).balance(now))


async def damage(store: Store, statement: str, *values: Any) -> None:
    def unit(work: SqlWork) -> None:
        work.raw.execute(statement, values)

    await store.write(unit)


def classes(found: Balance) -> dict[str, int]:
    return {name: getattr(found, name) for name in Class if getattr(found, name)}


def keeper(store: Store, clock: TestClock) -> Keeper:
    look = Tables(
        lambda work, now: ledger_of(work).balance(now),
        lambda work, no: facts_of(work, no, POLICY),
    )
    return Keeper(store, look, clock, lambda: 0.0)


# --- counting -----------------------------------------------------------------------------------


async def test_every_order_is_in_one_class_and_the_partners_add_up(store: Store) -> None:
    waiting, sent, unclear, refused, given_up, scrapped, closed, moving = await accept(store, 8)
    for no in (sent, unclear, refused, scrapped, closed):
        await do(store, no, priced(), c.ApproveOrder(), *delivered(no, Delivered.SENDING))
    await do(store, waiting, priced())
    await do(store, sent, *delivered(sent, Delivered.CONFIRMED))
    await do(store, unclear, *delivered(unclear, Delivered.UNCERTAIN))
    await do(store, refused, *delivered(refused, Delivered.REJECTED))
    await do(store, given_up, c.CancelOrder("no"))
    for no in (scrapped, closed):
        reference = work_order_ref(no, 1)
        await do(store, no, c.RecordMesWord("mes", reference, "started", operator="ivan"))
    await do(store, scrapped, c.CancelOrder("no"))
    said = c.RecordMesWord("mes", work_order_ref(scrapped, 1), "scrapped")
    await do(store, scrapped, said)
    said = c.RecordMesWord("mes", work_order_ref(closed, 1), "shipped", tracking_no="T")
    await do(store, closed, said, c.CloseOrder("delivered"))
    await damage(store, "UPDATE orders SET partner_id = ?1 WHERE n IN (1, 7)", OTHER)

    found = await count(store)

    assert classes(found) == {
        Class.WAITING: 1,
        Class.AT_MES: 3,
        Class.UNCERTAIN: 1,
        Class.QUARANTINED: 1,
        Class.CANCELLED: 1,
        Class.IN_FLIGHT: 1,
    }
    assert found.accepted == found.sum_of_classes == 8
    assert found.differences == []
    assert found.partners[OTHER] == Sums(accepted=2, waiting=1, at_mes=1)
    assert found.partners[PARTNER].accepted == 6
    assert moving == order_no(8)


async def test_drafts_are_beside_the_accepted(store: Store) -> None:
    await accept(store, 2)
    # As the tables show a draft that was begun, and one that was given up.
    begun = "UPDATE orders SET stage = 'INITIATED', body_sha256 = NULL WHERE n = 1"
    ended = "UPDATE orders SET stage = 'CANCELLED', body_sha256 = NULL, is_open = (1 = 0)"
    await damage(store, begun)
    await damage(store, f"{ended} WHERE n = 2")

    found = await count(store)

    assert (found.accepted, found.drafts, classes(found)) == (0, 2, {})


async def test_what_is_lost_misplaced_or_miscounted_is_named(store: Store) -> None:
    await accept(store, 4)
    for table in ("idempotency", "events", "submissions"):
        await damage(store, f"DELETE FROM {table} WHERE order_n = 2")
    await damage(store, "DELETE FROM orders WHERE n = 2")
    await damage(store, "DELETE FROM outbox WHERE order_key = ?1", order_no(3))
    await damage(store, "UPDATE orders SET price_state = 'none' WHERE n = 4")
    await damage(store, "UPDATE outbox SET sent_at = at WHERE order_key <> ?1", order_no(1))

    found = await count(store)

    named = {(one.system, one.kind, one.subject) for one in found.differences}
    assert named >= {
        ("own", "missing", order_no(2)),
        ("own", "stranded", order_no(3)),
        ("own", "nowhere", order_no(4)),
        ("own", "miscounted", "SUBMITTED"),
    }
    assert found.unaccounted == 2


async def test_an_envelope_that_nobody_carries_differs_from_the_broker(store: Store) -> None:
    [no] = await accept(store, 1)
    later = datetime.now(UTC) + HOUR

    found = await count(store, later)

    [one] = found.differences
    assert (one.system, one.kind, one.order_no) == ("broker", "not_carried", no)


# --- keeping ------------------------------------------------------------------------------------


async def test_a_minute_is_counted_once_and_the_next_one_again(
    store: Store, clock: TestClock
) -> None:
    keeping = keeper(store, clock)
    await accept(store, 3)

    for seconds in (0, 20, 60, 80, 120):
        clock.time = NOON + timedelta(seconds=seconds)
        await keeping.step()

    trend = await store.read(lambda work: work.balances.trend(NOON, 100))
    assert [point.at for point in trend] == [NOON, NOON + MINUTE, NOON + 2 * MINUTE]
    last = await store.read(lambda work: work.balances.last())
    assert last is not None
    assert (last.sums.accepted, last.sums.in_flight, last.unaccounted) == (3, 3, 0)
    assert last.partners[PARTNER].accepted == 3


async def test_a_clock_set_back_does_not_end_the_counting(store: Store, clock: TestClock) -> None:
    keeping = keeper(store, clock)
    await keeping.step()

    clock.time = NOON - 3 * HOUR
    await keeping.step()

    last = await store.read(lambda work: work.balances.last())
    assert last is not None
    assert last.at == NOON - 3 * HOUR


async def test_a_difference_keeps_its_age_and_gets_its_last_proof(
    store: Store, clock: TestClock
) -> None:
    keeping, [no] = keeper(store, clock), await accept(store, 1)
    await damage(store, "DELETE FROM outbox WHERE order_key = ?1", no)

    await keeping.step()
    clock.time += 2 * MINUTE
    await keeping.step()

    [one] = await store.read(lambda work: work.balances.open(10))
    assert (one.order_no, one.kind, one.since) == (no, "stranded", NOON)
    assert one.proof is not None
    assert one.proof.hop == "accepted"


def run_at(at: datetime, differences: int = 0) -> Run:
    return Run(at, 1, Sums(1, in_flight=1), 0, 0, differences)


DIFFERENCE = Difference(order_no(1), "is not there")
STOCK = Difference(None, "two counts", kind="miscounted", reference="SUBMITTED")


async def note(store: Store, at: datetime, *found: Difference) -> Noted:
    return await store.write(lambda work: work.balances.note(found, at))


async def test_a_cause_that_strands_many_orders_names_some_in_the_log_and_counts_the_rest(
    store: Store, clock: TestClock
) -> None:
    await accept(store, NAMED_AT_ONCE + 5)
    await damage(store, "DELETE FROM outbox")

    with structlog.testing.capture_logs() as said:
        await keeper(store, clock).step()

    told = [one for one in said if one["event"] == "balance.differs"]
    assert len({one["order_id"] for one in told if "order_id" in one}) == NAMED_AT_ONCE
    assert [one["unnamed"] for one in told if "unnamed" in one] == [5]


async def test_what_is_gone_and_comes_again_is_new(store: Store) -> None:
    first = await note(store, NOON, DIFFERENCE, STOCK)
    await store.write(lambda work: work.balances.prove(DIFFERENCE, Proof(NOON, "kept")))
    second = await note(store, NOON + MINUTE, STOCK)
    third = await note(store, NOON + 2 * MINUTE, DIFFERENCE, STOCK)

    assert [len(one.fresh) for one in (first, second, third)] == [2, 0, 1]
    assert [one.order_no for one in second.gone] == [order_no(1)]
    shown = await store.read(lambda work: work.balances.open(10))
    assert [(one.subject, one.since) for one in shown] == [
        ("SUBMITTED", NOON),
        (order_no(1), NOON + 2 * MINUTE),
    ]
    assert shown[1].proof is None


async def test_minutes_are_kept_for_days_and_hours_for_months(store: Store) -> None:
    def keep(work: SqlWork) -> None:
        for minute in range(120):
            work.balances.keep(run_at(NOON + minute * MINUTE))

    await store.write(keep)
    days, months = NOON + MINUTES_KEPT + 3 * HOUR, NOON + HOURS_KEPT + 3 * HOUR

    gone = await store.write(lambda work: work.balances.forget(days))
    left = await store.read(lambda work: work.balances.trend(NOON, 500))

    assert (gone, [point.at for point in left]) == (118, [NOON, NOON + HOUR])
    assert await store.write(lambda work: work.balances.forget(months)) == 2


async def test_a_long_trend_is_thinned_and_hides_no_difference(store: Store) -> None:
    def keep(work: SqlWork) -> None:
        for minute in range(100):
            run = run_at(NOON + minute * MINUTE, differences=int(minute == 37))
            work.balances.keep(run)

    await store.write(keep)

    points = await store.read(lambda work: work.balances.trend(NOON, 20))

    assert len(points) <= 21
    assert max(point.differences for point in points) == 1
    assert points[-1].at == NOON + 99 * MINUTE


async def test_what_reconciliation_found_is_in_the_balance(store: Store, clock: TestClock) -> None:
    def found(work: SqlWork) -> None:
        facts = msgspec.json.encode({"what": "the MES has no OK-000013"}).decode()
        row = {
            "destination": "mes", "kind": "missing_there", "reference": order_no(1),
            "order_no": order_no(1), "facts": facts, "since": NOON - HOUR, "seen_at": NOON,
            "pass_row": 1, "state": "open",
        }  # fmt: skip
        work.connection.execute(insert(tables.reconcile_findings), row)

    await accept(store, 1)
    await store.write(found)

    await keeper(store, clock).step()

    shown = await store.read(lambda work: work.balances.open(10))
    [one] = [one for one in shown if one.system == "mes"]
    assert (one.system, one.kind, one.order_no, one.since) == (
        "mes", "missing_there", order_no(1), NOON - HOUR,
    )  # fmt: skip
    facts = await store.read(partial(facts_of, no=order_no(1), policy=POLICY))
    assert facts.finding is not None
    assert facts.finding[0] == "missing_there"
